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

/* Which bit of `decode` a link's detail falls under; 0: none. */
static unsigned detail_kind(const char *link)
{
    static const struct {
        const char *prefix;
        unsigned kind;
    } kinds[] = {{"socket:[", ST_DECODE_SOCKET},
                 {"anon_inode:[pidfd]", ST_DECODE_PIDFD},
                 {"anon_inode:[signalfd]", ST_DECODE_SIGNALFD},
                 {"anon_inode:[eventfd]", ST_DECODE_EVENTFD}};
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strncmp(link, kinds[i].prefix, strlen(kinds[i].prefix))) return kinds[i].kind;
    return 0;
}

static int detailed(struct st_decoder *d, int32_t fd, const char *link)
{
    char detail[1024];
    if (!(d->options->decode & detail_kind(link)) || !d->options->detail_of) return 0;
    uint32_t got = d->options->detail_of(d->pid, fd, link, detail, sizeof detail);
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
    if (!detailed(d, fd, text) && !((d->options->decode & ST_DECODE_DEVICE) && text[0] == '/' && device(d, text))) {
        if (!(d->options->decode & ST_DECODE_PATH)) {
            d->out->used = start;
            return;
        }
        int gone = size > 10 && !memcmp(link + size - 10, " (deleted)", 10);
        st_quote_name(d->options, d->out, link, gone ? size - 10 : size);
        st_puts(d->out, gone ? ">(deleted)" : ">");
        return;
    }
    st_putc(d->out, '>');
}

static void decorate(struct st_decoder *d, int32_t fd)
{
    uint32_t size;
    const uint8_t *link = d->options->decode ? st_see_link(d, fd, &size) : NULL;
    if (link) link_text(d, fd, link, size);
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
