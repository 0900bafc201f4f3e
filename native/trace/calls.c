/* The lines of calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "writer.h"

int st_bit(const uint64_t *bits, int32_t n, unsigned words)
{
    return n >= 0 && (unsigned)n < words * 64 && (bits[n / 64] >> (n & 63) & 1);
}

void st_line_decoder(struct st_lines *l, struct st_decoder *d, struct st_buffer *out, const struct st_entry *entry, uint32_t size)
{
    int32_t n = entry->event.sysno;
    memset(d, 0, offsetof(struct st_decoder, note));
    d->out = out;
    d->options = &l->options;
    d->sysno = n;
    d->pid = entry->event.pid;
    d->tid = entry->event.tid;
    d->row = n >= 0 && n < ST_TRACE_CALLS && st_rows[n].name ? &st_rows[n] : NULL;
    d->args = entry->args;
    d->returns = d->row ? d->row->returns : ST_RETURNS_SIGNED;
    d->abbrev = (uint8_t)st_bit(l->options.abbrev, n, ST_TRACE_BITS);
    d->raw = (uint8_t)st_bit(l->options.raw, n, ST_TRACE_BITS);
    d->pointers = (uint8_t)!st_bit(l->options.verbose, n, ST_TRACE_BITS);
    d->chunks[1] = (struct st_chunks){(const uint8_t *)(entry + 1), size - (uint32_t)sizeof *entry};
    d->note[0] = 0;
}

int st_filtered(const struct st_lines *l)
{
    return l->options.status != ST_STATUS_ALL;
}

static void ends_open(struct thread *t, const struct st_buffer *b, const struct st_decoder *d)
{
    const char *end = (const char *)b->data + b->used;
    t->incomplete = b->used > 2 && ((end[-1] == ' ' && end[-2] == ',') || (end[-1] == '(' && d->row && d->row->count) || d->sysno == 35 ||
                                    d->sysno == 230);
}

void st_line_entry(struct st_lines *l, struct thread *t, const struct st_entry *frame, uint32_t size)
{
    struct st_decoder d;
    t->in_call = 1;
    t->shown = (uint8_t)((st_bit(l->options.trace, frame->event.sysno, ST_TRACE_BITS) || !st_call_name(frame->event.sysno)) &&
                         st_lines_wanted(&l->options, frame, size));
    if (!t->shown) return;
    t->entry.used = 0;
    st_put(&t->entry, frame, size);
    if (t->entry.used != size) return;
    l->site = frame->site;
    l->number = frame->event.sysno;
    struct st_buffer *b;
    if (st_filtered(l)) {
        b = &t->held;
        b->used = 0;
        st_line_leader(l, b, t->tid, frame->event.time);
    } else {
        b = st_line_begin(l, t, frame->event.time);
    }
    st_line_decoder(l, &d, b, (const struct st_entry *)t->entry.data, size);
    st_call_entry(&d);
    ends_open(t, b, &d);
}

static struct st_buffer *resume(struct st_lines *l, struct thread *t, uint64_t time, const char *name)
{
    struct st_buffer *b = st_line_begin(l, t, time);
    st_puts(b, "<... ");
    if (name)
        st_puts(b, name);
    else
        st_putf(b, "syscall_%#x", (uint32_t)l->number);
    st_puts(b, " resumed>");
    return b;
}

static unsigned status_of(const struct st_decoder *d)
{
    return d->failed ? ST_STATUS_FAILED : ST_STATUS_SUCCESSFUL;
}

static void duration(struct st_lines *l, struct st_buffer *b, uint64_t from, uint64_t to)
{
    uint64_t passed = to > from ? to - from : 0;
    st_puts(b, " <");
    st_put_unsigned(b, passed / 1000000000);
    st_put_fraction(b, passed % 1000000000, l->options.times_digits);
    st_putc(b, '>');
}

void st_line_exit(struct st_lines *l, struct thread *t, const struct st_exit *frame, uint32_t size)
{
    struct st_decoder d;
    const struct st_entry *begun = (const struct st_entry *)t->entry.data;
    int shown = t->in_call && t->shown;
    t->in_call = 0;
    if (!shown || begun->event.sysno != frame->event.sysno) return;
    if ((frame->event.flags & ST_EVENT_CANCELLED) && (st_filtered(l) || st_line_undo(l, t))) return; /* it was not made */
    l->site = begun->site;
    l->number = begun->event.sysno;
    st_line_decoder(l, &d, NULL, begun, (uint32_t)t->entry.used);
    d.exiting = 1;
    d.result = frame->result;
    if (d.result == -4 && !(frame->event.flags & (ST_EVENT_INJECTED | ST_EVENT_REFUSED))) d.result = st_call_interrupted(&d);
    d.failed = frame->result < 0 && frame->result >= -4095 && !(frame->event.flags & ST_EVENT_SUCCESS);
    d.chunks[0] = (struct st_chunks){(const uint8_t *)(frame + 1), size - (uint32_t)sizeof *frame};
    if (st_filtered(l) && !(l->options.status & status_of(&d))) return;
    struct st_buffer *b = st_filtered(l)       ? &t->held
                          : st_line_open(l, t) ? st_line_target(l, t)
                                               : resume(l, t, frame->event.time, d.row ? d.row->name : NULL);
    d.out = b;
    st_call_exit(&d);
    st_putc(b, ')');
    st_putc(b, ' ');
    st_line_align(l, t, b, 0);
    st_puts(b, "= ");
    st_call_result(&d, frame->event.flags);
    if (l->options.times) duration(l, b, begun->event.time, frame->event.time);
    if (st_filtered(l)) {
        struct st_buffer *to = st_line_target(l, t);
        st_line_interrupt(l, t->tid);
        st_put(to, b->data, b->used);
        b = to;
    }
    st_line_end(l, t, b);
    st_lines_dump(&d, b);
    st_line_stack(l, b, t->entry.data, (uint32_t)t->entry.used);
}

/* A call that will not return: "= ?". */
void st_line_abandon(struct st_lines *l, struct thread *t, uint64_t time)
{
    const struct st_entry *begun = (const struct st_entry *)t->entry.data;
    int shown = t->in_call && t->shown;
    t->in_call = 0;
    if (!shown) return;
    if (st_filtered(l) && !(l->options.status & ST_STATUS_UNFINISHED)) return;
    l->site = begun->site;
    l->number = begun->event.sysno;
    const char *name = st_call_name(begun->event.sysno);
    struct st_buffer *b = st_filtered(l) ? &t->held : st_line_open(l, t) ? st_line_target(l, t) : resume(l, t, time, name);
    if (t->incomplete) {
        st_puts(b, " <unfinished ...>) = ?");
    } else {
        st_puts(b, ") ");
        st_line_align(l, t, b, 0);
        st_puts(b, "= ?");
    }
    if (st_filtered(l)) {
        struct st_buffer *to = st_line_target(l, t);
        st_line_interrupt(l, t->tid);
        st_put(to, b->data, b->used);
        b = to;
    }
    st_line_end(l, t, b);
    st_line_stack(l, b, t->entry.data, (uint32_t)t->entry.used);
}
