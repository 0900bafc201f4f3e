/* Descriptors: a number, and under -y what it stands for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "text.h"

#define ST_AT_FDCWD (-100)

static int device(struct st_decoder *d, const char *path)
{
    struct stat status;
    if (stat(path, &status) || !(S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))) return 0;
    st_quote_name(d->options, d->out, (const uint8_t *)path, strlen(path));
    st_putf(d->out, "<%s %u:%u>", S_ISCHR(status.st_mode) ? "char" : "block", major(status.st_rdev), minor(status.st_rdev));
    return 1;
}

static int socket_detail(struct st_decoder *d, int32_t fd, const char *text)
{
    char detail[1024];
    if (strncmp(text, "socket:[", 8) || !d->options->socket_of) return 0;
    uint32_t got = d->options->socket_of(d->pid, fd, strtoull(text + 8, NULL, 10), detail, sizeof detail);
    if (!got || got > sizeof detail) return 0;
    st_put(d->out, detail, got);
    return 1;
}

static void link_text(struct st_decoder *d, int32_t fd, const uint8_t *link, uint32_t size)
{
    char text[4097];
    uint32_t n = size < 4096 ? size : 4096;
    uint64_t start = d->out->used;
    memcpy(text, link, n);
    text[n] = 0;
    st_putc(d->out, '<');
    if (!((d->options->decode & ST_DECODE_SOCKET) && socket_detail(d, fd, text)) &&
        !((d->options->decode & ST_DECODE_DEVICE) && text[0] == '/' && device(d, text))) {
        if (!(d->options->decode & ST_DECODE_PATH)) {
            d->out->used = start;
            return;
        }
        st_quote_name(d->options, d->out, link, size);
    }
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
    if (d->options->decode & ST_DECODE_PATH) decorate(d, fd);
}
