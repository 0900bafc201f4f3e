/* -e read= and -e write=: all of the data below the line; -P: whether a call is about one of some paths. */
#include <string.h>

#include "text.h"

static void row(struct st_buffer *b, const uint8_t *at, uint64_t offset, uint64_t size)
{
    st_putf(b, " | %05llx ", (unsigned long long)offset);
    for (unsigned i = 0; i < 16; i++) {
        if (i < size)
            st_putf(b, " %02x", at[i]);
        else
            st_puts(b, "   ");
        if (i == 7) st_putc(b, ' ');
    }
    st_puts(b, "  ");
    for (unsigned i = 0; i < 16; i++) st_putc(b, i >= size ? ' ' : at[i] >= ' ' && at[i] < 127 ? (char)at[i] : '.');
    st_puts(b, " |\n");
}

static void dump(struct st_decoder *d, struct st_buffer *b, uint64_t address, uint64_t length)
{
    uint64_t size = length;
    const uint8_t *at = length ? st_see_some(d, address, &size) : NULL;
    for (uint64_t i = 0; at && i < size; i += 16) row(b, at + i, i, size - i < 16 ? size - i : 16);
}

static void dump_vectors(struct st_decoder *d, struct st_buffer *b, uint64_t address, uint64_t count, uint64_t left)
{
    if (count > ST_CAPTURE_MOST / 16 || !st_see(d, address, count * 16)) return;
    for (uint64_t i = 0; i < count && left; i++) {
        const uint8_t *at = st_see(d, address + i * 16, 16);
        if (!at) return;
        uint64_t length = st_load64(at + 8) < left ? st_load64(at + 8) : left;
        if (!length) continue;
        st_putf(b, " * %llu bytes in buffer %llu\n", (unsigned long long)length, (unsigned long long)i);
        dump(d, b, st_load64(at), length);
        left -= length;
    }
}

static void dump_message(struct st_decoder *d, struct st_buffer *b, uint64_t address, uint64_t left)
{
    const uint8_t *at = st_see(d, address, 56);
    if (at) dump_vectors(d, b, st_load64(at + 16), st_load64(at + 24), left);
}

static void dump_messages(struct st_decoder *d, struct st_buffer *b)
{
    for (int64_t i = 0; i < d->result && i < 64; i++) {
        const uint8_t *at = st_see(d, d->args[1] + (uint64_t)i * 64, 64);
        if (!at) return;
        st_putf(b, " = %llu buffers in vector %lld\n", (unsigned long long)st_load64(at + 24), (long long)i);
        dump_vectors(d, b, st_load64(at + 16), st_load64(at + 24), st_load32(at + 56));
    }
}

static int selected(const int32_t *fds, uint32_t count, int others, uint64_t fd)
{
    for (uint32_t i = 0; i < count; i++)
        if (fds[i] == -1 || fds[i] == (int32_t)fd) return !others;
    return others;
}

void st_lines_dump(struct st_decoder *d, struct st_buffer *b)
{
    const struct st_lines_options *o = d->options;
    if (!(o->read_count | o->write_count | o->read_others | o->write_others)) return;
    int reading = selected(o->read_fds, o->read_count, o->read_others, d->args[0]) && !d->failed;
    int writing = selected(o->write_fds, o->write_count, o->write_others, d->args[0]);
    uint64_t n = (uint64_t)d->result;
    switch (d->sysno) {
    case 0: /* read, pread64, recvfrom, mq_timedreceive */
    case 17:
    case 45:
    case 243:
        if (reading) dump(d, b, d->args[1], n);
        break;
    case 1:
    case 18:
    case 44:
    case 242:
        if (writing) dump(d, b, d->args[1], d->args[2]); /* whatever was written of it */
        break;
    case 19:
    case 295:
    case 327:
        if (reading) dump_vectors(d, b, d->args[1], d->args[2], n);
        break;
    case 20:
    case 296:
    case 328:
    case 278:
        if (writing) dump_vectors(d, b, d->args[1], d->args[2], ~0ull);
        break;
    case 47:
        if (reading) dump_message(d, b, d->args[1], n);
        break;
    case 46:
        if (writing) dump_message(d, b, d->args[1], ~0ull);
        break;
    case 299:
        if (reading) dump_messages(d, b);
        break;
    case 307:
        if (writing) dump_messages(d, b);
        break;
    default: break;
    }
}

static int among(const struct st_lines_options *o, const uint8_t *text, uint64_t size)
{
    for (uint32_t i = 0; i < o->path_count; i++)
        if (strlen(o->paths[i]) == size && !memcmp(o->paths[i], text, size)) return 1;
    return 0;
}

static int path_wanted(const struct st_decoder *d, uint64_t address)
{
    uint64_t size = 4096;
    const uint8_t *at = address ? st_see_some(d, address, &size) : NULL;
    return at && memchr(at, 0, size) && among(d->options, at, strnlen((const char *)at, size));
}

/* Any descriptor whose link was captured counts: arguments, and those that poll and select look at. */
static int link_wanted(const struct st_decoder *d)
{
    const uint8_t *at = d->chunks[1].at, *end = at + d->chunks[1].size;
    struct st_chunk head;
    while ((uint64_t)(end - at) >= sizeof head) {
        memcpy(&head, at, sizeof head);
        uint64_t padded = ((uint64_t)head.size + 7) & ~7ull;
        at += sizeof head;
        if (padded > (uint64_t)(end - at)) return 0;
        if (head.kind == ST_CHUNK_FD && (int32_t)head.address >= 0 && among(d->options, at, head.size)) return 1;
        at += padded;
    }
    return 0;
}

int st_lines_wanted(const struct st_lines_options *o, const struct st_entry *frame, uint32_t size)
{
    struct st_decoder d = {.options = o, .args = frame->args};
    int32_t n = frame->event.sysno;
    if (!o->path_count) return 1;
    d.chunks[1] = (struct st_chunks){(const uint8_t *)(frame + 1), size - (uint32_t)sizeof *frame};
    const struct st_row *row = n >= 0 && n < ST_TRACE_CALLS ? &st_rows[n] : NULL;
    for (unsigned i = 0; row && row->name && i < row->count; i++)
        if (row->types[i].kind == ST_V_PATH && path_wanted(&d, frame->args[i])) return 1;
    return link_wanted(&d);
}
