/* libdw, and what demangles C++ names, where the machine has them. */
#include "libdw.h"

#include <dlfcn.h>
#include <string.h>

static struct st_libdw library;
static int state; /* 1: found, -1: not */
static char reason[256];

#define NAME(function)                                                                                                                     \
    {                                                                                                                                      \
#function, (void **)(void *)&library.function                                                                                      \
    }
static const struct {
    const char *name;
    void **to;
} functions[] = {
    NAME(dwfl_begin),      NAME(dwfl_end),           NAME(dwfl_report_begin),        NAME(dwfl_report_elf),
    NAME(dwfl_report_end), NAME(dwfl_attach_state),  NAME(dwfl_getthread_frames),    NAME(dwfl_thread_state_registers),
    NAME(dwfl_frame_pc),   NAME(dwfl_addrmodule),    NAME(dwfl_module_addrinfo),     NAME(dwfl_module_getsrc),
    NAME(dwfl_lineinfo),   NAME(dwfl_module_getelf), NAME(dwfl_linux_proc_find_elf), NAME(dwfl_standard_find_debuginfo),
};

static int find(void)
{
    void *handle = dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!handle) return 0;
    for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!(*functions[i].to = dlsym(handle, functions[i].name))) return 0;
    return 1;
}

const struct st_libdw *st_libdw(const char **why)
{
    if (!state) {
        state = find() ? 1 : -1;
        const char *said = state < 0 ? dlerror() : NULL;
        if (said) strncpy(reason, said, sizeof reason - 1);
    }
    *why = state < 0 ? reason : NULL;
    return state > 0 ? &library : NULL;
}

char *st_demangle(const char *name)
{
    static char *(*demangle)(const char *, char *, size_t *, int *);
    static int looked;
    int status = 0;
    if (name[0] != '_' || name[1] != 'Z') return NULL;
    if (!looked) {
        void *handle = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
        if (handle) demangle = (char *(*)(const char *, char *, size_t *, int *))dlsym(handle, "__cxa_demangle");
        looked = 1;
    }
    return demangle ? demangle(name, NULL, NULL, &status) : NULL;
}
