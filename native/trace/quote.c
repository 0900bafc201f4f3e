/* Strings as strace quotes them. */
#include <string.h>

#include "text.h"

/* How a byte is written: itself, a letter behind a backslash, or in octal. */
static char escape(uint8_t c)
{
    switch (c) {
    case '"':
    case '\\': return (char)c;
    case '\t': return 't';
    case '\n': return 'n';
    case '\v': return 'v';
    case '\f': return 'f';
    case '\r': return 'r';
    default: return 0;
    }
}

static int printable(uint8_t c)
{
    return c >= ' ' && c < 127;
}

static int foreign(uint8_t c)
{
    return !printable(c) && !(c >= '\t' && c <= '\r');
}

static uint8_t *put_hex(uint8_t *to, uint8_t c)
{
    *to++ = '\\';
    *to++ = 'x';
    *to++ = (uint8_t) "0123456789abcdef"[c >> 4];
    *to++ = (uint8_t) "0123456789abcdef"[c & 15];
    return to;
}

/* As few octal digits as can be read back: all three before a digit. */
static uint8_t *put_octal(uint8_t *to, uint8_t c, int digit_follows)
{
    *to++ = '\\';
    if (digit_follows || c >= 64) *to++ = (uint8_t)('0' + (c >> 6));
    if (digit_follows || c >= 8) *to++ = (uint8_t)('0' + (c >> 3 & 7));
    *to++ = (uint8_t)('0' + (c & 7));
    return to;
}

static int digit(const uint8_t *text, uint64_t i, uint64_t size)
{
    return i < size && text[i] >= '0' && text[i] <= '7';
}

static void quote(struct st_buffer *b, const uint8_t *text, uint64_t size, unsigned hex)
{
    uint8_t *start = st_room(b, size * 4), *to = start;
    int all = hex == ST_HEX_ALL;
    if (!to) return;
    for (uint64_t i = 0; hex == ST_HEX_STRINGS && i < size && !all; i++) all = foreign(text[i]);
    for (uint64_t i = 0; i < size; i++) {
        uint8_t c = text[i];
        char letter;
        if (all) {
            to = put_hex(to, c);
        } else if (printable(c) && c != '"' && c != '\\') {
            *to++ = c;
        } else if ((letter = escape(c))) {
            *to++ = '\\';
            *to++ = (uint8_t)letter;
        } else if (hex == ST_HEX_CHARS) {
            to = put_hex(to, c);
        } else {
            to = put_octal(to, c, digit(text, i + 1, size));
        }
    }
    b->used += (uint64_t)(to - start);
}

void st_quote_bytes(const struct st_lines_options *o, struct st_buffer *b, const uint8_t *text, uint64_t size, unsigned hex)
{
    (void)o;
    quote(b, text, size, hex);
}

/* For what stands in <>: the same without quotation marks, and with its brackets escaped. */
void st_quote_name(const struct st_lines_options *o, struct st_buffer *b, const uint8_t *text, uint64_t size)
{
    unsigned hex = o->hex_strings == ST_HEX_ALL ? ST_HEX_ALL : ST_HEX_NONE;
    uint64_t start = 0;
    for (uint64_t i = 0; i <= size; i++) {
        if (i < size && text[i] != '<' && text[i] != '>') continue;
        quote(b, text + start, i - start, hex);
        uint8_t *to = i < size ? st_room(b, 4) : NULL;
        if (to && hex == ST_HEX_ALL) b->used += (uint64_t)(put_hex(to, text[i]) - to);
        if (to && hex != ST_HEX_ALL) b->used += (uint64_t)(put_octal(to, text[i], digit(text, i + 1, size)) - to);
        start = i + 1;
    }
}

int st_quoted(struct st_decoder *d, const uint8_t *text, uint64_t size, unsigned how)
{
    const struct st_lines_options *o = d->options;
    int cut = 0;
    if (how & ST_QUOTE_TEXT) size = strnlen((const char *)text, size);
    if (!(how & ST_QUOTE_WHOLE) && size > o->string_limit) {
        size = o->string_limit;
        cut = 1;
    }
    st_putc(d->out, '"');
    st_quote_bytes(o, d->out, text, size, o->hex_strings);
    st_puts(d->out, cut ? "\"..." : "\"");
    return cut;
}

void st_bytes(struct st_decoder *d, uint64_t address, uint64_t length)
{
    uint64_t shown = length < d->options->string_limit ? length : d->options->string_limit;
    /* One more than is shown is looked at: without it the memory ends, and so would the call. */
    const uint8_t *at = shown || length ? st_see(d, address, shown < length ? shown + 1 : shown) : (const uint8_t *)"";
    if (!address || !at) {
        st_address(d, address);
        return;
    }
    st_quoted(d, at, shown, ST_QUOTE_WHOLE);
    if (shown < length) st_puts(d->out, "...");
}

/* shown: how much of a text without an end is */
static void text(struct st_decoder *d, uint64_t address, uint64_t most, uint64_t shown, unsigned how)
{
    uint64_t size = most;
    const uint8_t *at = address ? st_see_some(d, address, &size) : NULL;
    /* Without a NUL and shorter than what was asked for: the memory ends there, the kernel would fail as well. */
    if (!at || (size < most && !memchr(at, 0, size))) {
        st_address(d, address);
        return;
    }
    int endless = size == most && !memchr(at, 0, size);
    if (!st_quoted(d, at, endless ? shown : size, how) && endless) st_puts(d->out, "...");
}

void st_string(struct st_decoder *d, uint64_t address)
{
    text(d, address, (uint64_t)d->options->string_limit + 1, d->options->string_limit, ST_QUOTE_TEXT);
}

void st_path(struct st_decoder *d, uint64_t address)
{
    text(d, address, 4096, 4095, ST_QUOTE_TEXT | ST_QUOTE_WHOLE);
}
