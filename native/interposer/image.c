/* Reading and mapping ELF files as the kernel does; errors are those of its exec. */
#include "image.h"

#define PAGE 4096ull
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_FIXED_NOREPLACE 0x100000

static uint64_t page_down(uint64_t address)
{
    return address & ~(PAGE - 1);
}

static uint64_t page_up(uint64_t address)
{
    return (address + PAGE - 1) & ~(PAGE - 1);
}

static void note_load(struct st_elf *elf, const Elf64_Phdr *p)
{
    uint64_t low = page_down(p->p_vaddr), high = page_up(p->p_vaddr + p->p_memsz);
    if (p->p_filesz > p->p_memsz || high < low) elf->malformed = 1;
    if (low < elf->low) elf->low = low;
    if (high > elf->high) elf->high = high;
    if (elf->header.e_type == ET_EXEC && low < ST_REGION_HIGH && high > ST_BLOB_BASE) elf->wants_ours = 1;
    if (p->p_align > elf->align && !(p->p_align & (p->p_align - 1))) elf->align = p->p_align;
}

static void note_segment(struct st_elf *elf, const Elf64_Phdr *p)
{
    if (p->p_type == PT_LOAD) note_load(elf, p);
    if (p->p_type == PT_GNU_STACK) elf->executable_stack = (p->p_flags & PF_X) != 0;
    if (p->p_type != PT_INTERP || elf->has_interpreter) return;
    elf->has_interpreter = 1;
    elf->interpreter = p->p_offset;
    elf->interpreter_length = p->p_filesz;
}

/* A file's first bytes. Returns how many there are, or -errno. */
int64_t st_elf_open(int32_t fd, struct st_elf *elf)
{
    memset(elf, 0, sizeof *elf);
    return elf->head_size = ST_SYS(__NR_pread64, fd, elf->head, ST_ELF_HEAD, 0);
}

/* Bytes of an open file, from what is known of it where that is enough. Returns how many there are, or -errno. */
int64_t st_elf_bytes(int32_t fd, const struct st_elf *elf, void *to, uint64_t size, uint64_t offset)
{
    if (offset > ST_ELF_HEAD || (int64_t)(offset + size) > elf->head_size) return ST_SYS(__NR_pread64, fd, to, size, offset);
    memcpy(to, elf->head + offset, size);
    return (int64_t)size;
}

/* Program header number `index`, NULL if the file does not have it all. */
static const Elf64_Phdr *header_at(int32_t fd, struct st_elf *elf, uint32_t index)
{
    if (index - elf->window_first >= elf->window_count) {
        uint32_t count = elf->header.e_phnum - index;
        if (count > ST_ELF_WINDOW) count = ST_ELF_WINDOW;
        elf->window_first = index;
        elf->window_count = count;
        int64_t size = (int64_t)(count * sizeof(Elf64_Phdr));
        uint64_t offset = elf->header.e_phoff + index * sizeof(Elf64_Phdr);
        if (st_elf_bytes(fd, elf, elf->window, (uint64_t)size, offset) != size) return NULL;
    }
    return &elf->window[index - elf->window_first];
}

static uint64_t file_size(int32_t fd)
{
    uint64_t status[18];
    return ST_SYS(__NR_fstat, fd, status) < 0 ? 0 : status[6];
}

/* What an open file says of itself. 0, or -errno: EIO for what is too short to be an ELF file, ENOEXEC for what is no 64-bit x86-64 program. */
int64_t st_elf_read(int32_t fd, struct st_elf *elf)
{
    const Elf64_Ehdr *h = &elf->header;
    elf->low = ~0ull;
    elf->align = PAGE;
    if (elf->head_size < (int64_t)sizeof *h) return elf->head_size < 0 ? elf->head_size : -ST_EIO;
    if (memcmp(h->e_ident, ELFMAG, SELFMAG)) return -ST_ENOEXEC;
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_machine != EM_X86_64) return -ST_ENOEXEC;
    if ((h->e_type != ET_EXEC && h->e_type != ET_DYN) || h->e_phentsize != sizeof(Elf64_Phdr)) return -ST_ENOEXEC;
    if (!h->e_phnum || h->e_phnum * sizeof(Elf64_Phdr) > 0x10000) return -ST_ENOEXEC;
    for (uint32_t i = 0; i < h->e_phnum; i++) {
        const Elf64_Phdr *p = header_at(fd, elf, i);
        if (!p) return -ST_ENOEXEC;
        note_segment(elf, p);
    }
    return 0;
}

/* Free address space for all of it, aligned as it asks. Returns the load bias or -errno. hint 0: wherever the kernel likes. */
int64_t st_elf_reserve(const struct st_elf *elf, uint64_t hint)
{
    uint64_t size = elf->high - elf->low, spare = elf->align > PAGE ? elf->align : 0;
    uint64_t flags = MAP_PRIVATE | MAP_ANONYMOUS | (hint ? MAP_FIXED_NOREPLACE : 0);
    int64_t at = ST_SYS(__NR_mmap, hint, size + spare, 0, flags, -1, 0);
    if (at < 0) return at;
    uint64_t start = ((uint64_t)at + elf->align - 1) & ~(elf->align - 1);
    if (start > (uint64_t)at) ST_SYS(__NR_munmap, at, start - (uint64_t)at);
    uint64_t end = (uint64_t)at + size + spare;
    ST_SYS(__NR_munmap, start, end - start); /* nobody else is here to take it; between segments nothing is mapped */
    return (int64_t)(start - elf->low);
}

/* As the kernel: the first segment of a program with fixed addresses replaces nothing, all others lie where they belong. */
static int64_t map_segment(int32_t fd, const Elf64_Phdr *p, uint64_t base, uint64_t fixed)
{
    uint64_t start = page_down(base + p->p_vaddr), file_end = base + p->p_vaddr + p->p_filesz, end = base + p->p_vaddr + p->p_memsz;
    uint64_t protection = (p->p_flags & PF_R ? 1u : 0u) | (p->p_flags & PF_W ? 2u : 0u) | (p->p_flags & PF_X ? 4u : 0u);
    uint64_t flags = MAP_PRIVATE | fixed, mapped = start;
    if (p->p_filesz) {
        mapped = page_up(file_end);
        int64_t r = ST_SYS(__NR_mmap, start, file_end - start, protection, flags, fd, page_down(p->p_offset));
        if (r < 0) return r;
        if (end > file_end && (protection & 2) && (file_end & (PAGE - 1))) {
            if (page_down(p->p_offset + p->p_filesz) >= page_up(file_size(fd))) return -ST_EFAULT; /* the file was cut off before it */
            /* to the end of the page, as the kernel does: ld.so's first malloc relies on it */
            memset((void *)file_end, 0, mapped - file_end);
        }
    }
    if (page_up(end) <= mapped) return 0;
    int64_t r = ST_SYS(__NR_mmap, mapped, page_up(end) - mapped, protection, flags | MAP_ANONYMOUS, -1, 0);
    return r < 0 ? r : 0;
}

static void note_image(struct st_image *image, const Elf64_Ehdr *h, const Elf64_Phdr *p)
{
    uint64_t start = image->base + p->p_vaddr, end = start + p->p_filesz;
    if (h->e_phoff >= p->p_offset && h->e_phoff < p->p_offset + p->p_filesz) image->headers = start + (h->e_phoff - p->p_offset);
    if (p->p_flags & PF_X) {
        if (!image->code_high || start < image->code_low) image->code_low = start;
        if (end > image->code_high) image->code_high = end;
    }
    if (start > image->data_low) image->data_low = start;
    if (end > image->data_high) image->data_high = end;
    if (start + p->p_memsz > image->end) image->end = start + p->p_memsz;
}

/* Maps the segments at `base` (for ET_DYN reserved before). 0 or -errno. */
int64_t st_elf_map(int32_t fd, struct st_elf *elf, uint64_t base, struct st_image *image)
{
    uint64_t fixed = elf->header.e_type == ET_EXEC ? MAP_FIXED_NOREPLACE : MAP_FIXED;
    memset(image, 0, sizeof *image);
    image->base = base;
    image->entry = base + elf->header.e_entry;
    for (uint32_t i = 0; i < elf->header.e_phnum; i++) {
        const Elf64_Phdr *p = header_at(fd, elf, i);
        if (!p) return -ST_EIO;
        if (p->p_type != PT_LOAD) continue;
        int64_t r = map_segment(fd, p, base, fixed);
        if (r < 0) return r;
        fixed = MAP_FIXED;
        note_image(image, &elf->header, p);
    }
    image->end = page_up(image->end);
    return 0;
}
