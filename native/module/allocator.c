/* The memory of an embedded Python: not the C library's, whose locks the interrupted program may hold. Blocks are powers of
 * two with a header, freed ones wait for the next of their size; what is larger has a mapping of its own. */
#include <Python.h>

#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#include "module.h"

#define HEADER 16u
#define SMALLEST 5u /* 32 bytes, as a power of two */
#define CLASSES 13u /* up to 128 KiB */
#define CHUNK ((size_t)1 << 20)

struct block {
    size_t size; /* of the whole block; for a mapping a multiple of the page size */
    struct block *next;
};

static struct block *waiting[CLASSES];
static uint8_t *chunk, *chunk_end;
static uint32_t lock_word;

void st_allocator_hold(void)
{
    while (__atomic_exchange_n(&lock_word, 1, __ATOMIC_ACQUIRE)) sched_yield();
}

void st_allocator_release(void)
{
    __atomic_store_n(&lock_word, 0, __ATOMIC_RELEASE);
}

static void *map(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* CLASSES: it needs a mapping. */
static unsigned class_of(size_t size)
{
    unsigned class = 0;
    while (class < CLASSES && ((size_t)1 << (SMALLEST + class)) < size) class ++;
    return class;
}

static struct block *from_chunk(size_t size)
{
    if ((size_t)(chunk_end - chunk) < size) {
        uint8_t *fresh = map(CHUNK);
        if (!fresh) return NULL;
        chunk = fresh;
        chunk_end = fresh + CHUNK;
    }
    struct block *block = (struct block *)chunk;
    chunk += size;
    block->size = size;
    return block;
}

static void *allocate(void *unused, size_t wanted)
{
    (void)unused;
    if (wanted > PTRDIFF_MAX - CHUNK) return NULL;
    size_t size = (wanted ? wanted : 1) + HEADER;
    unsigned class = class_of(size);
    struct block *block;
    if (class == CLASSES) {
        size = (size + 4095) & ~(size_t)4095;
        block = map(size);
        if (block) block->size = size;
    } else {
        st_allocator_hold();
        block = waiting[class];
        if (block)
            waiting[class] = block->next;
        else
            block = from_chunk((size_t)1 << (SMALLEST + class));
        st_allocator_release();
    }
    return block ? (uint8_t *)block + HEADER : NULL;
}

static void release(void *unused, void *at)
{
    (void)unused;
    if (!at) return;
    struct block *block = (struct block *)((uint8_t *)at - HEADER);
    unsigned class = class_of(block->size);
    if (class == CLASSES) {
        munmap(block, block->size);
        return;
    }
    st_allocator_hold();
    block->next = waiting[class];
    waiting[class] = block;
    st_allocator_release();
}

static void *allocate_clear(void *unused, size_t count, size_t each)
{
    size_t size;
    if (__builtin_mul_overflow(count, each, &size)) return NULL;
    void *at = allocate(unused, size);
    return at ? memset(at, 0, size) : NULL;
}

static void *allocate_again(void *unused, void *at, size_t wanted)
{
    if (!at) return allocate(unused, wanted);
    size_t room = ((struct block *)((uint8_t *)at - HEADER))->size - HEADER;
    if (wanted <= room && wanted >= room / 4) return at;
    void *fresh = allocate(unused, wanted);
    if (!fresh) return NULL;
    memcpy(fresh, at, wanted < room ? wanted : room);
    release(unused, at);
    return fresh;
}

/* For the raw domain; the others take their arenas from mmap and what is large from here. */
void st_allocator_install(void)
{
    PyMemAllocatorEx ours = {NULL, allocate, allocate_clear, allocate_again, release};
    PyMem_SetAllocator(PYMEM_DOMAIN_RAW, &ours);
}
