/* ELF files: read and checked before an exec, mapped after it. */
#ifndef ST_IMAGE_H
#define ST_IMAGE_H
#include <elf.h>

#include "core.h"

#define ST_ELF_HEADERS 64 /* program headers; the linkers make a dozen */

struct st_elf {
    Elf64_Ehdr header;
    Elf64_Phdr programs[ST_ELF_HEADERS];
    uint64_t low, high, align;                /* of the PT_LOADs, page-aligned, as the file has them */
    uint64_t interpreter, interpreter_length; /* where the file names its interpreter; length 0: it has none */
    int executable_stack;
};

/* Where an ELF came to lie. */
struct st_image {
    uint64_t base, entry, headers; /* load bias, address of the first instruction, of the program headers */
    uint64_t code_low, code_high, data_low, data_high, end;
};

int64_t st_elf_read(int32_t fd, struct st_elf *elf);
int64_t st_elf_map(int32_t fd, const struct st_elf *elf, uint64_t base, struct st_image *image);
int64_t st_elf_reserve(const struct st_elf *elf, uint64_t hint);
int st_elf_wants_ours(const struct st_elf *elf);

#endif
