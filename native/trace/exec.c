/* execve's strings. */
#include <string.h>

#include "text.h"

static uint64_t pointer_at(const struct st_decoder *d, uint64_t address, int *here)
{
    const uint8_t *at = st_see(d, address, 8);
    *here = at != NULL;
    return at ? st_load64(at) : 0;
}

/* Where an array of strings could not be read any further. */
static void unreadable(struct st_decoder *d, uint64_t address)
{
    st_puts(d->out, "... /* ");
    st_put_hex(d->out, address);
    st_puts(d->out, " */");
}

static void strings(struct st_decoder *d, uint64_t address)
{
    int here;
    pointer_at(d, address, &here);
    if (!address || !here || d->pointers) {
        st_address(d, address);
        return;
    }
    st_putc(d->out, '[');
    for (uint32_t i = 0;; i++) {
        uint64_t p = pointer_at(d, address + i * 8, &here);
        if (here && !p) break;
        if (i) st_comma(d);
        if (!here) {
            unreadable(d, address + i * 8);
            break;
        }
        if (d->abbrev && i >= d->options->string_limit) {
            st_puts(d->out, "...");
            break;
        }
        st_string(d, p);
    }
    st_putc(d->out, ']');
}

void st_print_argv(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    strings(d, value);
}

void st_print_envp(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint32_t count = 0;
    int here;
    (void)type;
    if (!d->abbrev) {
        strings(d, value);
        return;
    }
    st_address(d, value);
    pointer_at(d, value, &here);
    if (!value || !here || d->pointers) return;
    while (pointer_at(d, value + count * 8ull, &here)) count++;
    st_putf(d->out, " /* %u var%s%s */", count, count == 1 ? "" : "s", here ? "" : ", unterminated");
}
