/* Keys and keyrings. */
#include <string.h>

#include "text.h"

void st_print_keyring(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const char *name = st_lookup(&st_sets[ST_SET_KEYRING], (uint32_t)value);
    (void)type;
    if (name && d->options->names == ST_NAMES_ABBREV)
        st_puts(d->out, name);
    else
        st_put_signed(d->out, (int32_t)value);
    if (name && d->options->names == ST_NAMES_VERBOSE) st_putf(d->out, " /* %s */", name);
}

/* What each operation's arguments are: k a key, s a string, n a number, u an id, b a buffer with its length behind it, f flags,
 * v vectors, e an error; the rest of the table's letters stand for one special operation each. */
static const char *const key_arguments[32] = {"kd", "s",   "kb",  "k", "kuu", "kp", "k>", "k",   "kk",   "kk",  "kssk",
                                              "k>", "kbk", "knk", "r", "kn",  "k",  "k>", "",    "knek", "kvk", "k",
                                              "uk", "D",   "",    "",  "",    "",   "",   "kss", "kkkf", ""};

static void key_error(struct st_decoder *d, uint64_t value)
{
    if (st_known_error((int64_t)value))
        st_error_name(d->out, (int64_t)value);
    else
        st_put_unsigned(d->out, (uint32_t)value);
}

static void dh_parameters(struct st_decoder *d)
{
    const uint8_t *at = d->args[1] ? st_see(d, d->args[1], 12) : NULL;
    st_next(d, 1);
    if (!at) {
        st_address(d, d->args[1]);
        return;
    }
    st_puts(d->out, "{private=");
    st_print_keyring(d, st_load32(at), NULL);
    st_puts(d->out, ", prime=");
    st_print_keyring(d, st_load32(at + 4), NULL);
    st_puts(d->out, ", base=");
    st_print_keyring(d, st_load32(at + 8), NULL);
    st_putc(d->out, '}');
}

/* struct keyctl_kdf_params */
static void derivation(struct st_decoder *d, uint64_t address)
{
    const uint8_t *at = address ? st_see(d, address, 56) : NULL;
    uint32_t spare = 0;
    if (!at) {
        st_address(d, address);
        return;
    }
    st_puts(d->out, "{hashname=");
    st_string(d, st_load64(at));
    st_puts(d->out, ", otherinfo=");
    st_bytes(d, st_load64(at + 8), st_load32(at + 16));
    st_putf(d->out, ", otherinfolen=%u", st_load32(at + 16));
    for (unsigned i = 0; i < 8; i++) spare |= st_load32(at + 20 + i * 4);
    for (unsigned i = 0; spare && i < 8; i++) {
        st_puts(d->out, i ? ", " : ", __spare=[");
        st_put_hex(d->out, st_load32(at + 20 + i * 4));
    }
    st_puts(d->out, spare ? "]}" : "}");
}

/* One argument, or two for a buffer; returns the next. */
static unsigned key_argument(struct st_decoder *d, char kind, unsigned i)
{
    uint64_t value = d->args[i];
    st_next(d, i);
    switch (kind) {
    case 'k': st_print_keyring(d, value, NULL); break;
    case 's': st_string(d, value); break;
    case 'd': st_put_signed(d->out, (int32_t)value); break;
    case 'n': st_put_unsigned(d->out, (uint32_t)value); break;
    case 'u': st_id(d, (uint32_t)value); break;
    case 'p': st_set(d, ST_SET_KEY_PERM, (uint32_t)value); break;
    case 'f': st_put_hex(d->out, (uint32_t)value); break;
    case 'e': key_error(d, value); break;
    case 'r':
        if (st_lookup(&st_sets[ST_SET_KEY_REQKEYS], (uint32_t)value)) {
            st_set(d, ST_SET_KEY_REQKEYS, (uint32_t)value);
        } else {
            st_putf(d->out, "%d /* KEY_REQKEY_DEFL_??? */", (int32_t)value);
        }
        break;
    case 'b':
        st_bytes(d, value, d->args[i + 1]);
        st_next(d, ++i);
        st_put_unsigned(d->out, d->args[i]);
        break;
    case 'v':
        st_iovec(d, value, d->args[i + 1], ~0ull, 1);
        st_next(d, ++i);
        st_put_unsigned(d->out, d->args[i]);
        break;
    default: break;
    }
    return i + 1;
}

static void key_result(struct st_decoder *d)
{
    uint64_t size = (uint64_t)d->result < d->args[3] ? (uint64_t)d->result : d->args[3];
    static const uint8_t none[1];
    if (size > 256) size = 256;
    const uint8_t *at = d->failed || !d->args[2] ? NULL : size ? st_see(d, d->args[2], size) : none;
    int is_text = ST_ARG32(d, 0) != 11;
    st_label(d, 2);
    if (!at)
        st_address(d, d->args[2]);
    else if (is_text)
        st_quoted(d, at, size, ST_QUOTE_TEXT);
    else
        st_bytes(d, d->args[2], size);
    st_next(d, 3);
    st_put_unsigned(d->out, d->args[3]);
}

int st_call_keyctl(struct st_decoder *d)
{
    uint32_t op = ST_ARG32(d, 0);
    const char *kinds = op < 32 ? key_arguments[op] : "";
    if (d->exiting) {
        if (strchr(kinds, '>')) key_result(d);
        return 0;
    }
    st_next(d, 0);
    st_set(d, ST_SET_KEYCTL_OP, op);
    if (*kinds == 'D') {
        dh_parameters(d);
        for (unsigned i = 2; i < 5; i++) {
            st_next(d, i);
            if (i == 3)
                st_put_unsigned(d->out, d->args[i]);
            else if (i == 4)
                derivation(d, d->args[4]);
            else
                st_address(d, d->args[i]);
        }
        return 0;
    }
    unsigned i = 1;
    for (const char *k = kinds; *k && i < 5; k++) {
        if (*k == '>') {
            st_comma(d);
            return 0;
        }
        i = key_argument(d, *k, i);
    }
    if (!*kinds && op != 18)
        for (; i < 5; i++) {
            st_next(d, i);
            st_put_hex(d->out, d->args[i]);
        }
    return 0;
}
