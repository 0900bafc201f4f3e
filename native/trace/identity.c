/* Groups and capabilities. */
#include <string.h>

#include "text.h"

static void group(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_id(d, st_load32(at));
}

int st_call_setgroups(struct st_decoder *d)
{
    uint32_t count = ST_ARG32(d, 0);
    if (d->exiting) return 0;
    st_next(d, 0);
    st_put_signed(d->out, (int32_t)count);
    st_next(d, 1);
    if (count > 65536)
        st_address(d, d->args[1]);
    else
        st_array(d, d->args[1], count, 4, group);
    return 0;
}

int st_call_getgroups(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        return 0;
    }
    st_label(d, 1);
    if (d->failed || (!d->args[0] && d->result))
        st_address(d, d->args[1]);
    else
        st_array(d, d->args[1], (uint64_t)d->result, 4, group);
    return 0;
}

static void capabilities(struct st_decoder *d, uint64_t bits)
{
    int any = 0;
    if (!bits) {
        st_putc(d->out, '0');
        return;
    }
    if (bits == (1ull << 41) - 1 || d->options->names == ST_NAMES_RAW) {
        if (d->options->names == ST_NAMES_RAW) {
            st_put_hex(d->out, bits);
            return;
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        const char *name = bits >> i & 1 ? st_lookup(&st_sets[ST_SET_CAP], i) : NULL;
        if (!(bits >> i & 1)) continue;
        if (any++) st_putc(d->out, '|');
        if (name)
            st_putf(d->out, "1<<%s", name);
        else
            st_putf(d->out, "1<<%u", i);
    }
}

static void capability_data(struct st_decoder *d, uint64_t address)
{
    const uint8_t *head = st_see(d, d->args[0], 8);
    int two = head && st_load32(head) != 0x19980330;
    const uint8_t *at = address && head ? st_see(d, address, two ? 24 : 12) : NULL;
    static const char *const labels[] = {"{effective=", ", permitted=", ", inheritable="};
    if (!at) {
        st_address(d, address);
        return;
    }
    for (int i = 0; i < 3; i++) {
        st_puts(d->out, labels[i]);
        capabilities(d, st_load32(at + i * 4) | (two ? (uint64_t)st_load32(at + 12 + i * 4) << 32 : 0));
    }
    st_putc(d->out, '}');
}

int st_call_capget(struct st_decoder *d)
{
    if (!d->exiting) {
        st_next(d, 0);
        st_point(d, ST_STRUCT_CAP_HEADER, d->args[0]);
        st_comma(d);
        return 0;
    }
    st_label(d, 1);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        capability_data(d, d->args[1]);
    return 0;
}

int st_call_capset(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_next(d, 0);
    st_point(d, ST_STRUCT_CAP_HEADER, d->args[0]);
    st_next(d, 1);
    capability_data(d, d->args[1]);
    return 0;
}
