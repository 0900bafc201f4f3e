/* Names of flags and of values. */
#include "text.h"

const char *st_lookup(const struct st_set *set, uint64_t value)
{
    uint32_t low = 0, high = set->count;
    if (set->bits) {
        for (; low < high; low++)
            if (set->names[low].value == value) return set->names[low].name;
        return NULL;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (set->names[middle].value == value) return set->names[middle].name;
        if (set->names[middle].value < value)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void unknown(struct st_decoder *d, const char *label)
{
    if (!label || d->options->names == ST_NAMES_RAW) return;
    st_puts(d->out, " /* ");
    st_puts(d->out, label);
    st_puts(d->out, " */");
}

int st_bit_names(struct st_buffer *b, const struct st_set *set, uint64_t *value, const char *separator)
{
    int any = 0;
    for (uint32_t i = 0; i < set->count && *value; i++) {
        uint64_t bits = set->names[i].value;
        if (!bits || (*value & bits) != bits) continue;
        if (any++) st_puts(b, separator);
        st_puts(b, set->names[i].name);
        *value &= ~bits;
    }
    return any;
}

static void named_flags(struct st_decoder *d, const struct st_set *set, uint64_t value)
{
    uint64_t left = value;
    int any = st_bit_names(d->out, set, &left, "|");
    if (!value && set->zero) {
        st_puts(d->out, set->names[0].name);
    } else if (!any) {
        st_put_hex(d->out, value);
        if (value && d->options->names == ST_NAMES_ABBREV) unknown(d, set->unknown);
    } else if (left) {
        st_putc(d->out, '|');
        st_put_hex(d->out, left);
    }
}

/* Whether a value has any name: -X verbose then says both. */
static int has_name(const struct st_set *set, uint64_t value)
{
    if (!value) return set->zero;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->names[i].value && (set->names[i].value & value) == set->names[i].value) return 1;
    return 0;
}

void st_flags(struct st_decoder *d, const struct st_set *set, uint64_t value)
{
    if (d->options->names == ST_NAMES_ABBREV) {
        named_flags(d, set, value);
        return;
    }
    st_put_hex(d->out, value);
    if (d->options->names == ST_NAMES_RAW) return;
    if (!has_name(set, value)) {
        if (value) unknown(d, set->unknown);
        return;
    }
    st_puts(d->out, " /* ");
    named_flags(d, set, value);
    st_puts(d->out, " */");
}

void st_enum(struct st_decoder *d, const struct st_set *set, uint64_t value)
{
    const char *name = st_lookup(set, value);
    if (name && d->options->names == ST_NAMES_ABBREV) {
        st_puts(d->out, name);
        return;
    }
    st_put_hex(d->out, value);
    if (!name) {
        unknown(d, set->unknown);
    } else if (d->options->names == ST_NAMES_VERBOSE) {
        st_puts(d->out, " /* ");
        st_puts(d->out, name);
        st_puts(d->out, " */");
    }
}

void st_set(struct st_decoder *d, unsigned set, uint64_t value)
{
    (st_sets[set].bits ? st_flags : st_enum)(d, &st_sets[set], value);
}
