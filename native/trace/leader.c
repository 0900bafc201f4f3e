/* How a line begins: whose it is, when, where; and what happens to one that is not finished. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mapped.h"
#include "writer.h"

void st_put_fraction(struct st_buffer *b, uint64_t nano, unsigned digits)
{
    static const uint32_t divisors[] = {1000000000, 100000000, 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1};
    if (!digits || digits > 9) return;
    st_putc(b, '.');
    st_put_padded(b, nano / divisors[digits], (int)digits);
}

static void absolute_time(struct st_lines *l, struct st_buffer *b, uint64_t time)
{
    uint64_t now = time + l->offset, nano = now % 1000000000;
    time_t seconds = (time_t)(now / 1000000000);
    if (l->options.absolute == ST_CLOCK_UNIX) {
        st_put_unsigned(b, (uint64_t)seconds);
    } else {
        if (seconds / 60 != l->minute) {
            localtime_r(&seconds, &l->clock);
            l->minute = seconds / 60;
        }
        st_put_padded(b, (uint64_t)l->clock.tm_hour, 2);
        st_putc(b, ':');
        st_put_padded(b, (uint64_t)l->clock.tm_min, 2);
        st_putc(b, ':');
        st_put_padded(b, (uint64_t)(seconds % 60), 2);
    }
    st_put_fraction(b, nano, l->options.absolute_digits);
    st_putc(b, ' ');
}

static void relative_time(struct st_lines *l, struct st_buffer *b, uint64_t time)
{
    uint64_t passed = l->previous && time > l->previous ? time - l->previous : 0;
    l->previous = time;
    st_putf(b, l->options.absolute ? "(+%6llu" : "%6llu", (unsigned long long)(passed / 1000000000));
    st_put_fraction(b, passed % 1000000000, l->options.relative_digits);
    st_puts(b, l->options.absolute ? ") " : " ");
}

struct st_buffer *st_line_target(struct st_lines *l, struct thread *t)
{
    return l->options.split ? &t->text : &l->text;
}

/* What was last known is what a task that is gone is called. */
void st_thread_comm(struct st_lines *l, struct thread *t)
{
    if (!l->options.comm || !l->options.comm_of || t->named) return;
    uint32_t n = l->options.comm_of(t->tid, t->comm, sizeof t->comm);
    if (n && n <= sizeof t->comm) t->comm_length = n;
}

/* Chunks of an event of the thread's: with its name, if that was captured. */
void st_thread_named(struct st_lines *l, struct thread *t, const uint8_t *chunks, uint32_t size)
{
    struct st_chunk head;
    const uint8_t *at = chunks, *end = chunks + size;
    if (!l->options.comm) return;
    while ((chunks = st_chunk_next(&at, end, ST_CHUNK_COMM, &head))) {
        if (head.address || !head.size || head.size > sizeof t->comm) continue;
        memcpy(t->comm, chunks, head.size);
        t->comm_length = head.size;
        t->named = 1;
    }
}

static void task_prefix(struct st_lines *l, struct st_buffer *b, int32_t tid)
{
    if (l->options.split || !l->options.prefix) return;
    if (l->options.prefix == ST_PREFIX_MANY && l->threads < 2) return;
    struct thread *t = l->options.comm ? st_thread_find(l, tid) : NULL;
    if (t) st_thread_comm(l, t);
    int named = t && t->comm_length;
    st_putf(b, l->options.prefix == ST_PREFIX_MANY ? "[pid %5d" : named ? "%d" : "%-5d", tid);
    if (named) {
        st_putc(b, '<');
        st_quote_name(&l->options, b, (const uint8_t *)t->comm, t->comm_length);
        st_putc(b, '>');
    }
    st_puts(b, l->options.prefix == ST_PREFIX_MANY ? "] " : " ");
}

void st_line_leader(struct st_lines *l, struct st_buffer *b, int32_t tid, uint64_t time)
{
    const struct st_lines_options *o = &l->options;
    task_prefix(l, b, tid);
    if (o->absolute) absolute_time(l, b, time);
    if (o->relative) relative_time(l, b, time);
    if (o->numbers) st_putf(b, "[%4lld] ", (long long)l->number);
    if (!o->addresses) return;
    if (l->site)
        st_putf(b, "[%016llx] ", (unsigned long long)l->site);
    else
        st_puts(b, "[????????????????] ");
}

/* Another thread's unfinished line ends here. */
void st_line_interrupt(struct st_lines *l, int32_t tid)
{
    if (!l->open_tid || l->options.split) return;
    if (l->open_tid != tid) st_puts(&l->text, " <unfinished ...>\n");
    if (l->open_tid != tid) l->open_tid = 0;
}

/* Begins a line of the thread's in the text it is written to. */
struct st_buffer *st_line_begin(struct st_lines *l, struct thread *t, uint64_t time)
{
    struct st_buffer *b = st_line_target(l, t);
    st_line_interrupt(l, t->tid);
    if (l->open_tid == t->tid && !l->options.split) st_puts(b, " <unfinished ...>\n");
    if (l->options.split && t->line_start) st_puts(b, " <unfinished ...>\n");
    t->line_start = t->taken + b->used + 1;
    l->open_start = l->taken + b->used;
    l->open_tid = t->tid;
    st_line_leader(l, b, t->tid, time);
    return b;
}

void st_line_end(struct st_lines *l, struct thread *t, struct st_buffer *b)
{
    st_putc(b, '\n');
    l->open_tid = 0;
    t->line_start = 0;
}

/* The thread's unfinished line as if it had never begun. 0: it has been handed out, or others' lines follow. */
int st_line_undo(struct st_lines *l, struct thread *t)
{
    struct st_buffer *b = st_line_target(l, t);
    uint64_t taken = l->options.split ? t->taken : l->taken, start = l->options.split ? t->line_start - 1 : l->open_start;
    if (!st_line_open(l, t) || start < taken) return 0;
    b->used = start - taken;
    l->open_tid = 0;
    t->line_start = 0;
    return 1;
}

int st_line_open(const struct st_lines *l, const struct thread *t)
{
    return l->options.split ? t->line_start != 0 : l->open_tid == t->tid;
}

/* Spaces up to -a's column. */
void st_line_align(struct st_lines *l, struct thread *t, struct st_buffer *b, uint64_t start)
{
    uint64_t column = l->options.split ? t->taken + b->used + 1 - t->line_start : b->used + l->taken - l->open_start;
    if (b == &t->held) column = b->used - start;
    while (column++ < l->options.column) st_putc(b, ' ');
}
