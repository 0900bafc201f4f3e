/* Descriptors: a number, and under -y what it stands for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "text.h"

#define ST_AT_FDCWD (-100)

static void plain(struct st_decoder *d, const uint8_t *link, uint32_t size)
{
    /* The same characters as in a path, but the ones that would end it. */
    for (uint32_t i = 0; i < size; i++) {
        if (link[i] == '<' || link[i] == '>')
            st_putf(d->out, "\\%o", link[i]);
        else
            st_quote_bytes(d->options, d->out, link + i, 1, d->options->hex_strings == ST_HEX_ALL ? ST_HEX_ALL : ST_HEX_NONE);
    }
}

static void device(struct st_decoder *d, const char *path)
{
    struct stat status;
    if (stat(path, &status) || !(S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))) return;
    st_putf(d->out, "<%s %u:%u>", S_ISCHR(status.st_mode) ? "char" : "block", major(status.st_rdev), minor(status.st_rdev));
}

static void link_text(struct st_decoder *d, int32_t fd, const uint8_t *link, uint32_t size)
{
    char text[4097];
    uint32_t n = size < 4096 ? size : 4096;
    memcpy(text, link, n);
    text[n] = 0;
    st_putc(d->out, '<');
    if ((d->options->decode & ST_DECODE_SOCKET) && !strncmp(text, "socket:[", 8) && d->options->socket_of) {
        char detail[1024];
        uint32_t got = d->options->socket_of(d->pid, fd, strtoull(text + 8, NULL, 10), detail, sizeof detail);
        if (got && got <= sizeof detail) {
            st_put(d->out, detail, got);
            st_putc(d->out, '>');
            return;
        }
    }
    plain(d, link, size);
    if ((d->options->decode & ST_DECODE_DEVICE) && text[0] == '/') device(d, text);
    st_putc(d->out, '>');
}

static void decorate(struct st_decoder *d, int32_t fd)
{
    uint32_t size;
    const uint8_t *link = d->options->decode ? st_see_link(d, fd, &size) : NULL;
    if (link && (d->options->decode & (ST_DECODE_PATH | ST_DECODE_SOCKET | ST_DECODE_DEVICE))) link_text(d, fd, link, size);
}

void st_fd(struct st_decoder *d, int32_t fd)
{
    st_put_signed(d->out, fd);
    if (fd >= 0) decorate(d, fd);
}

void st_dirfd(struct st_decoder *d, int32_t fd)
{
    if (fd != ST_AT_FDCWD) {
        st_fd(d, fd);
        return;
    }
    if (d->options->names == ST_NAMES_ABBREV)
        st_puts(d->out, "AT_FDCWD");
    else
        st_puts(d->out, d->options->names == ST_NAMES_RAW ? "-100" : "-100 /* AT_FDCWD */");
    decorate(d, fd);
}
