/* A text that grows, and numbers in it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

uint8_t *st_room(struct st_buffer *b, uint64_t size)
{
    if (b->used + size > b->room) {
        uint64_t room = (b->room ? b->room * 2 : 4096) + size;
        uint8_t *data = realloc(b->data, room);
        if (!data) return NULL;
        b->data = data;
        b->room = room;
    }
    return b->data + b->used;
}

void st_buffer_free(struct st_buffer *b)
{
    free(b->data);
    *b = (struct st_buffer){0};
}

void st_put(struct st_buffer *b, const void *text, uint64_t size)
{
    uint8_t *to = st_room(b, size);
    if (!to) return;
    memcpy(to, text, size);
    b->used += size;
}

void st_puts(struct st_buffer *b, const char *text)
{
    st_put(b, text, strlen(text));
}

void st_putc(struct st_buffer *b, char c)
{
    uint8_t *to = st_room(b, 1);
    if (!to) return;
    *to = (uint8_t)c;
    b->used++;
}

static void put_number(struct st_buffer *b, uint64_t value, unsigned shift, const char *prefix)
{
    char digits[32];
    unsigned at = sizeof digits;
    do digits[--at] = "0123456789abcdef"[value & ((1u << shift) - 1)];
    while (value >>= shift);
    st_puts(b, prefix);
    st_put(b, digits + at, sizeof digits - at);
}

void st_put_unsigned(struct st_buffer *b, uint64_t value)
{
    char digits[24];
    unsigned at = sizeof digits;
    do digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    st_put(b, digits + at, sizeof digits - at);
}

void st_put_signed(struct st_buffer *b, int64_t value)
{
    if (value < 0) st_putc(b, '-');
    st_put_unsigned(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void st_put_hex(struct st_buffer *b, uint64_t value)
{
    put_number(b, value, 4, value ? "0x" : "");
}

void st_put_octal(struct st_buffer *b, uint64_t value)
{
    put_number(b, value, 3, value ? "0" : "");
}

void st_put_padded(struct st_buffer *b, uint64_t value, int digits)
{
    uint8_t *to = st_room(b, 20);
    if (!to || digits > 20) return;
    for (int i = digits; i--; value /= 10) to[i] = (uint8_t)('0' + value % 10);
    b->used += (uint64_t)digits;
}

void st_putf(struct st_buffer *b, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    int n = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (n > 0) st_put(b, text, (uint64_t)n < sizeof text ? (uint64_t)n : sizeof text - 1);
}
