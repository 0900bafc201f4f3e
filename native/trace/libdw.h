/* What is used of elfutils' libdw, taken from the machine when it is asked for: nothing is linked, no header is needed.
 * Declarations after elfutils/libdwfl.h, whose interface has been the same since 0.158. */
#ifndef ST_LIBDW_H
#define ST_LIBDW_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Dwfl Dwfl;
typedef struct Dwfl_Module Dwfl_Module;
typedef struct Dwfl_Thread Dwfl_Thread;
typedef struct Dwfl_Frame Dwfl_Frame;
struct st_dwfl_callbacks {
    void *find_elf, *find_debuginfo, *section_address;
    char **debuginfo_path;
};
struct st_dwfl_thread_callbacks {
    pid_t (*next_thread)(Dwfl *, void *, void **);
    bool (*get_thread)(Dwfl *, pid_t, void *, void **);
    bool (*memory_read)(Dwfl *, uint64_t, uint64_t *, void *);
    bool (*set_initial_registers)(Dwfl_Thread *, void *);
    void (*detach)(Dwfl *, void *);
    void (*thread_detach)(Dwfl_Thread *, void *);
};
struct st_elf_symbol { /* Elf64_Sym */
    uint32_t name;
    uint8_t info, other;
    uint16_t section;
    uint64_t value, size;
};
/* Its functions, by the names that they have there. */
struct st_libdw {
    Dwfl *(*dwfl_begin)(const struct st_dwfl_callbacks *);
    void (*dwfl_end)(Dwfl *);
    void (*dwfl_report_begin)(Dwfl *);
    Dwfl_Module *(*dwfl_report_elf)(Dwfl *, const char *, const char *, int, uint64_t, bool);
    int (*dwfl_report_end)(Dwfl *, void *, void *);
    bool (*dwfl_attach_state)(Dwfl *, void *, pid_t, const struct st_dwfl_thread_callbacks *, void *);
    int (*dwfl_getthread_frames)(Dwfl *, pid_t, int (*)(Dwfl_Frame *, void *), void *);
    bool (*dwfl_thread_state_registers)(Dwfl_Thread *, int, unsigned, const uint64_t *);
    bool (*dwfl_frame_pc)(Dwfl_Frame *, uint64_t *, bool *);
    Dwfl_Module *(*dwfl_addrmodule)(Dwfl *, uint64_t);
    const char *(*dwfl_module_addrinfo)(Dwfl_Module *, uint64_t, uint64_t *, struct st_elf_symbol *, uint32_t *, void **, uint64_t *);
    void *(*dwfl_module_getsrc)(Dwfl_Module *, uint64_t);
    const char *(*dwfl_lineinfo)(void *, uint64_t *, int *, int *, uint64_t *, uint64_t *);
    void *(*dwfl_module_getelf)(Dwfl_Module *, uint64_t *);
    void *dwfl_linux_proc_find_elf, *dwfl_standard_find_debuginfo;
};

/* The library; NULL: it is not there, or lacks something; *why: what the dynamic linker said. */
const struct st_libdw *st_libdw(const char **why);
/* The name as its programmer wrote it, in memory of its own; NULL: it is no mangled one, or nothing is there to demangle it. */
char *st_demangle(const char *name);
#endif
