/* The few functions that a compiler expects, and the writing half of guarded access. */
#include "core.h"

void *memcpy(void *to, const void *from, size_t size)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return start;
}

void *memset(void *to, int value, size_t size)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if (out < in) return memcpy(to, from, size);
    while (size--) out[size] = in[size];
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *left = a, *right = b;
    for (; size; size--, left++, right++)
        if (*left != *right) return *left - *right;
    return 0;
}

uint32_t st_length(const uint8_t *text)
{
    uint32_t n = 0;
    while (text[n]) n++;
    return n;
}

/* The same leaf serves both directions: a fault on either side ends it. */
int64_t st_copy_out(void *to, const void *from, uint64_t size)
{
    return st_copy_in(to, from, size);
}
