/* The preload shim's way into a program that the loader starts: an entry in the environment on its stack, which the shim
 * takes out again before the program's first line. */
#include "core.h"

static const char variable[] = "LD_PRELOAD=", policy[] = "SELFTRACE_POLICY=";

static int is_preload(const uint8_t *entry)
{
    for (uint32_t i = 0; i < sizeof variable - 1; i++)
        if (entry[i] != (uint8_t)variable[i]) return 0;
    return 1;
}

/* "LD_PRELOAD=shim" or "LD_PRELOAD=shim:what was there", in memory of its own. NULL without memory. */
static uint8_t *entry_for(const uint8_t *shim, const uint8_t *held)
{
    uint32_t length = st_length(shim), rest = held ? st_length(held) : 0;
    int64_t r = ST_SYS(__NR_mmap, 0, sizeof variable + length + 1 + rest, 3, 0x22 /* PRIVATE, ANONYMOUS */, -1, 0);
    if (r < 0) return NULL;
    uint8_t *text = (uint8_t *)r, *at = text + sizeof variable - 1;
    memcpy(text, variable, sizeof variable - 1);
    memcpy(at, shim, length);
    if (!rest) return text;
    at[length] = ':';
    memcpy(at + length + 1, held, rest);
    return text;
}

/* Returns the new stack pointer. Below `sp` the loader's two words were: they become two variables, so that the stack stays
 * aligned. Without memory the program starts without the shim, and calls that only a handler can decide are refused. */
uint64_t *st_with_shim(uint64_t *sp, const uint8_t *shim)
{
    uint64_t *envp = sp + 1 + sp[0] + 1, *held = NULL, count = 0;
    for (; envp[count]; count++)
        if (is_preload((const uint8_t *)envp[count])) held = &envp[count]; /* ld.so takes the last one */
    uint8_t *entry = entry_for(shim, held ? (const uint8_t *)*held + sizeof variable - 1 : NULL);
    if (!entry) return sp;
    if (held) {
        *held = (uint64_t)entry;
        return sp;
    }
    memmove(sp - 2, sp, (uint64_t)((uint8_t *)&envp[count] - (uint8_t *)sp));
    envp[count - 2] = (uint64_t)entry;
    envp[count - 1] = (uint64_t)policy; /* empty: the shim knows by it that the loader has armed */
    return sp - 2;
}
