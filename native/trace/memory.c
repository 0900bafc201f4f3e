/* Memory: mmap, mremap, mincore, NUMA policies. */
#include <string.h>

#include "text.h"

static void huge_size(struct st_decoder *d, uint64_t flags, const char *prefix)
{
    uint32_t shift = flags >> 26 & 63;
    if (shift) st_putf(d->out, "|%u<<%sHUGE_SHIFT", shift, prefix);
}

void st_print_map_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t flags = (uint32_t)value, hint = flags & 0x40000 /* MAP_HUGETLB */ ? flags & 0xfc000000 : 0;
    const struct st_set *kinds = &st_sets[ST_SET_MAP_TYPE], *bits = &st_sets[ST_SET_MAP_FLAGS];
    const char *kind = st_lookup(kinds, flags & 15);
    (void)type;
    if (d->options->names != ST_NAMES_ABBREV) st_put_hex(d->out, flags);
    if (d->options->names == ST_NAMES_RAW) return;
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " /* ");
    if (kind)
        st_puts(d->out, kind);
    else if (flags & 15)
        st_putf(d->out, "%#llx /* MAP_??? */", (unsigned long long)(flags & 15));
    else
        st_puts(d->out, "MAP_FILE");
    flags &= ~(15ull | hint);
    if (flags) {
        st_putc(d->out, '|');
        if (st_bit_names(d->out, bits, &flags, "|") && flags) st_putc(d->out, '|');
        if (flags) st_put_hex(d->out, flags);
    }
    if (hint) huge_size(d, hint, "MAP_");
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " */");
}

int st_call_mremap(struct st_decoder *d)
{
    if (d->exiting) return 0;
    d->returns = ST_RETURNS_HEX;
    st_arguments(d, 0, 4);
    if (d->args[3] & 6) { /* MREMAP_FIXED, MREMAP_DONTUNMAP */
        st_next(d, 4);
        st_address(d, d->args[4]);
    }
    return 0;
}

void st_print_mincore(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t pages = (d->args[1] + 4095) / 4096, shown = pages;
    (void)type;
    if (shown > d->options->string_limit && d->abbrev) shown = d->options->string_limit;
    const uint8_t *at = value && !d->failed && pages ? st_see(d, value, shown) : NULL;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    for (uint64_t i = 0; i < shown; i++) st_puts(d->out, i ? (at[i] & 1 ? ", 1" : ", 0") : at[i] & 1 ? "1" : "0");
    st_puts(d->out, shown < pages ? ", ...]" : "]");
}

static void node_word(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_putf(d->out, "%#016llx", (unsigned long long)st_load64(at));
}

void st_print_nodemask(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t bits = d->args[type->aux], words = bits ? (bits + 62) / 64 : 0;
    if (!words || bits > 1 << 20)
        st_address(d, value);
    else
        st_array(d, value, words, 8, node_word);
}

void st_print_mpol(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t mode = value, flags = mode & 0xe000;
    (void)type;
    if (!st_lookup(&st_sets[ST_SET_MPOL], mode & ~flags) && flags) {
        st_set(d, ST_SET_MPOL_MODE, mode);
        return;
    }
    st_set(d, ST_SET_MPOL, mode & ~flags);
    if (!flags) return;
    st_putc(d->out, '|');
    st_set(d, ST_SET_MPOL_MODE, flags);
}

int st_call_get_mempolicy(struct st_decoder *d)
{
    static const struct st_type mask = {.aux = 2, .when = ST_CAPTURE_EXIT};
    if (!d->exiting) return 0;
    const uint8_t *policy = d->args[0] && !d->failed ? st_see(d, d->args[0], 4) : NULL;
    st_next(d, 0);
    if (policy) {
        st_putc(d->out, '[');
        if (d->args[4] & 1)
            st_putf(d->out, "%u", st_load32(policy));
        else
            st_print_mpol(d, st_load32(policy), &mask);
        st_putc(d->out, ']');
    } else {
        st_address(d, d->args[0]);
    }
    st_next(d, 1);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_print_nodemask(d, d->args[1], &mask);
    st_arguments(d, 2, 5);
    return 0;
}

static void page_address(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_address(d, st_load64(at));
}

static void page_node(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_put_signed(d->out, (int32_t)st_load32(at));
}

static void page_status(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    int32_t status = (int32_t)st_load32(at);
    (void)address;
    (void)index;
    if (status < 0 && st_known_error(-(int64_t)status)) {
        st_putc(d->out, '-');
        st_error_name(d->out, -(int64_t)status);
    } else {
        st_put_signed(d->out, status);
    }
}

int st_call_move_pages(struct st_decoder *d)
{
    uint64_t count = d->args[1];
    if (!d->exiting) {
        st_arguments(d, 0, 2);
        st_next(d, 2);
        st_array(d, d->args[2], count, 8, page_address);
        st_next(d, 3);
        st_array(d, d->args[3], count, 4, page_node);
        st_comma(d);
        return 0;
    }
    st_label(d, 4);
    if (d->failed)
        st_address(d, d->args[4]);
    else
        st_array(d, d->args[4], count, 4, page_status);
    st_next(d, 5);
    st_set(d, ST_SET_MBIND_FLAGS, ST_ARG32(d, 5));
    return 0;
}
