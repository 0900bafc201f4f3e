/* ELF files: read and checked before an exec, mapped after it. */
#ifndef ST_IMAGE_H
#define ST_IMAGE_H
#include <elf.h>

#include "core.h"

#define ST_ELF_HEAD 1024 /* bytes of a file that are read at once: header, program headers and the interpreter's name of most */
#define ST_ELF_WINDOW 16 /* program headers looked at at once; the linkers make a dozen, the kernel takes a thousand */

struct st_elf {
    union {
        Elf64_Ehdr header;
        uint8_t head[ST_ELF_HEAD]; /* zeros behind the end of a short file */
    };
    int64_t head_size;
    Elf64_Phdr window[ST_ELF_WINDOW]; /* some of its program headers, from number window_first on */
    uint32_t window_first, window_count;
    uint64_t low, high, align;                /* of the PT_LOADs, page-aligned, as the file has them; high 0: none */
    uint64_t interpreter, interpreter_length; /* where the file names its interpreter */
    int has_interpreter, executable_stack;
    int malformed;  /* exec accepts the file, but cannot map it */
    int wants_ours; /* its fixed addresses are those that the interposer lies at */
};

/* Where an ELF came to lie. */
struct st_image {
    uint64_t base, entry, headers; /* load bias, address of the first instruction, of the program headers */
    uint64_t code_low, code_high, data_low, data_high, end;
};

int64_t st_elf_open(int32_t fd, struct st_elf *elf);
int64_t st_elf_read(int32_t fd, struct st_elf *elf);
int64_t st_elf_bytes(int32_t fd, const struct st_elf *elf, void *to, uint64_t size, uint64_t offset);
int64_t st_elf_map(int32_t fd, struct st_elf *elf, uint64_t base, struct st_image *image);
int64_t st_elf_reserve(const struct st_elf *elf, uint64_t hint);

#endif
