/* The line writer: keeps what each thread is in the middle of, and writes lines as strace does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "text.h"

#define ST_THREADS 1024 /* buckets */

struct thread {
    struct thread *next;
    int32_t tid, pid;
    struct st_buffer text;              /* its own output, with `split` */
    struct st_buffer held;              /* a call's text until its status is known, with a status filter */
    struct st_buffer entry;             /* the frame of the call it is in */
    uint8_t in_call, shown, incomplete; /* shown: the call is traced; incomplete: arguments are missing until its exit */
    uint64_t line_start;                /* where its unfinished line begins in the text it is written to */
};

struct st_lines {
    struct st_lines_options options;
    struct st_buffer text;
    struct thread *buckets[ST_THREADS];
    struct thread *last;
    int32_t open_tid;    /* whose line is unfinished; 0: nobody's */
    uint64_t open_start; /* where it begins, counted from the start of all text */
    uint64_t taken;      /* bytes that were taken from `text` */
    uint64_t previous;   /* time of the line before, for -r */
    uint64_t offset;     /* CLOCK_REALTIME - CLOCK_MONOTONIC */
    uint32_t threads;
    uint64_t site;  /* of the call at hand, for -i */
    int64_t number; /* of the call at hand, for -n */
    time_t minute;  /* whose local time `clock` holds */
    struct tm clock;
};

void st_lines_defaults(struct st_lines_options *o)
{
    memset(o, 0, sizeof *o);
    o->string_limit = 32;
    o->column = 40;
    o->status = ST_STATUS_ALL;
    memset(o->trace, 0xff, sizeof o->trace);
    memset(o->abbrev, 0xff, sizeof o->abbrev);
    memset(o->verbose, 0xff, sizeof o->verbose);
    memset(o->signals, 0xff, sizeof o->signals);
    o->utc_offset = INT64_MIN;
}

struct st_lines *st_lines_new(const struct st_lines_options *options)
{
    struct st_lines *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->options = *options;
    l->offset = options->start_ns;
    l->minute = -1;
    return l;
}

static void thread_free(struct thread *t)
{
    st_buffer_free(&t->text);
    st_buffer_free(&t->held);
    st_buffer_free(&t->entry);
    free(t);
}

void st_lines_free(struct st_lines *l)
{
    for (unsigned i = 0; i < ST_THREADS; i++)
        while (l->buckets[i]) {
            struct thread *t = l->buckets[i];
            l->buckets[i] = t->next;
            thread_free(t);
        }
    st_buffer_free(&l->text);
    free(l);
}

static struct thread *find(struct st_lines *l, int32_t tid)
{
    struct thread *t = l->last;
    if (t && t->tid == tid) return t;
    for (t = l->buckets[(uint32_t)tid % ST_THREADS]; t && t->tid != tid; t = t->next) {}
    if (t) l->last = t;
    return t;
}

static struct thread *thread_of(struct st_lines *l, int32_t tid, int32_t pid)
{
    struct thread *t = find(l, tid), **bucket = &l->buckets[(uint32_t)tid % ST_THREADS];
    if (t) {
        if (pid) t->pid = pid;
        return t;
    }
    t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->tid = tid;
    t->pid = pid;
    t->next = *bucket;
    *bucket = t;
    l->threads++;
    return l->last = t;
}

static void forget(struct st_lines *l, struct thread *t)
{
    struct thread **at = &l->buckets[(uint32_t)t->tid % ST_THREADS];
    while (*at && *at != t) at = &(*at)->next;
    if (!*at) return;
    l->threads--;
    if (t->text.used) { /* not taken yet: stays until it is */
        t->in_call = 0;
        t->pid = -1;
        return;
    }
    *at = t->next;
    l->last = NULL;
    thread_free(t);
}

/* ---- the beginning of a line ------------------------------------------------------------------------------------------ */

static void fraction(struct st_buffer *b, uint64_t nano, unsigned digits)
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
    fraction(b, nano, l->options.absolute_digits);
    st_putc(b, ' ');
}

static void relative_time(struct st_lines *l, struct st_buffer *b, uint64_t time)
{
    uint64_t passed = l->previous && time > l->previous ? time - l->previous : 0;
    l->previous = time;
    st_putf(b, l->options.absolute ? "(+%6llu" : "%6llu", (unsigned long long)(passed / 1000000000));
    fraction(b, passed % 1000000000, l->options.relative_digits);
    st_puts(b, l->options.absolute ? ") " : " ");
}

static struct st_buffer *target(struct st_lines *l, struct thread *t)
{
    return l->options.split ? &t->text : &l->text;
}

static void task_prefix(struct st_lines *l, struct st_buffer *b, int32_t tid)
{
    char name[32];
    uint32_t n = 0;
    if (l->options.split || !l->options.prefix) return;
    if (l->options.prefix == ST_PREFIX_MANY && l->threads < 2) return;
    st_putf(b, l->options.prefix == ST_PREFIX_MANY ? "[pid %5d" : "%-5d", tid);
    if (l->options.comm && l->options.comm_of) n = l->options.comm_of(tid, name, sizeof name);
    if (n && n <= sizeof name) {
        st_putc(b, '<');
        st_quote_bytes(&l->options, b, (const uint8_t *)name, n, l->options.hex_strings);
        st_putc(b, '>');
    }
    st_puts(b, l->options.prefix == ST_PREFIX_MANY ? "] " : " ");
}

static void leader(struct st_lines *l, struct st_buffer *b, int32_t tid, uint64_t time)
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
static void interrupt(struct st_lines *l, int32_t tid)
{
    if (!l->open_tid || l->options.split) return;
    if (l->open_tid != tid) st_puts(&l->text, " <unfinished ...>\n");
    if (l->open_tid != tid) l->open_tid = 0;
}

/* Begins a line of the thread's in the text it is written to. */
static struct st_buffer *line_begin(struct st_lines *l, struct thread *t, uint64_t time)
{
    struct st_buffer *b = target(l, t);
    interrupt(l, t->tid);
    if (l->open_tid == t->tid && !l->options.split) st_puts(b, " <unfinished ...>\n");
    if (l->options.split && t->line_start) st_puts(b, " <unfinished ...>\n");
    t->line_start = b->used + 1;
    l->open_start = l->taken + b->used;
    l->open_tid = t->tid;
    leader(l, b, t->tid, time);
    return b;
}

static void line_end(struct st_lines *l, struct thread *t, struct st_buffer *b)
{
    st_putc(b, '\n');
    l->open_tid = 0;
    t->line_start = 0;
}

static int is_open(const struct st_lines *l, const struct thread *t)
{
    return l->options.split ? t->line_start != 0 : l->open_tid == t->tid;
}

/* Spaces up to -a's column. */
static void align(struct st_lines *l, struct thread *t, struct st_buffer *b, uint64_t start)
{
    uint64_t column = l->options.split ? b->used + 1 - t->line_start : b->used + l->taken - l->open_start;
    if (b == &t->held) column = b->used - start;
    while (column++ < l->options.column) st_putc(b, ' ');
}

/* ---- calls ------------------------------------------------------------------------------------------------------------ */

static int bit(const uint64_t *bits, int32_t n, unsigned words)
{
    return n >= 0 && (unsigned)n < words * 64 && (bits[n / 64] >> (n & 63) & 1);
}

static void decoder(struct st_lines *l, struct st_decoder *d, struct st_buffer *out, const struct st_entry *entry, uint32_t size)
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
    d->abbrev = (uint8_t)bit(l->options.abbrev, n, ST_TRACE_BITS);
    d->raw = (uint8_t)bit(l->options.raw, n, ST_TRACE_BITS);
    d->pointers = (uint8_t)!bit(l->options.verbose, n, ST_TRACE_BITS);
    d->chunks[1] = (struct st_chunks){(const uint8_t *)(entry + 1), size - (uint32_t)sizeof *entry};
    d->note[0] = 0;
}

static int filtered(const struct st_lines *l)
{
    return l->options.status != ST_STATUS_ALL;
}

static void ends_open(struct thread *t, const struct st_buffer *b, const struct st_decoder *d)
{
    const char *end = (const char *)b->data + b->used;
    t->incomplete = b->used > 2 && ((end[-1] == ' ' && end[-2] == ',') || (end[-1] == '(' && d->row && d->row->count));
}

static void entry(struct st_lines *l, struct thread *t, const struct st_entry *frame, uint32_t size)
{
    struct st_decoder d;
    t->in_call = 1;
    t->shown = (uint8_t)((bit(l->options.trace, frame->event.sysno, ST_TRACE_BITS) || !st_call_name(frame->event.sysno)) && st_lines_wanted(&l->options, frame, size));
    if (!t->shown) return;
    t->entry.used = 0;
    st_put(&t->entry, frame, size);
    if (t->entry.used != size) return;
    l->site = frame->site;
    l->number = frame->event.sysno;
    struct st_buffer *b;
    if (filtered(l)) {
        b = &t->held;
        b->used = 0;
        leader(l, b, t->tid, frame->event.time);
    } else {
        b = line_begin(l, t, frame->event.time);
    }
    decoder(l, &d, b, (const struct st_entry *)t->entry.data, size);
    st_call_entry(&d);
    ends_open(t, b, &d);
}

static struct st_buffer *resume(struct st_lines *l, struct thread *t, uint64_t time, const char *name)
{
    struct st_buffer *b = line_begin(l, t, time);
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
    fraction(b, passed % 1000000000, l->options.times_digits);
    st_putc(b, '>');
}

static void call_exit(struct st_lines *l, struct thread *t, const struct st_exit *frame, uint32_t size)
{
    struct st_decoder d;
    const struct st_entry *begun = (const struct st_entry *)t->entry.data;
    int shown = t->in_call && t->shown;
    t->in_call = 0;
    if (!shown || begun->event.sysno != frame->event.sysno) return;
    l->site = begun->site;
    l->number = begun->event.sysno;
    decoder(l, &d, NULL, begun, (uint32_t)t->entry.used);
    d.exiting = 1;
    d.result = frame->result;
    d.failed = frame->result < 0 && frame->result >= -4095;
    d.chunks[0] = (struct st_chunks){(const uint8_t *)(frame + 1), size - (uint32_t)sizeof *frame};
    if (filtered(l) && !(l->options.status & status_of(&d))) return;
    struct st_buffer *b = filtered(l)     ? &t->held
                          : is_open(l, t) ? target(l, t)
                                          : resume(l, t, frame->event.time, d.row ? d.row->name : NULL);
    d.out = b;
    st_call_exit(&d);
    st_putc(b, ')');
    st_putc(b, ' ');
    align(l, t, b, 0);
    st_puts(b, "= ");
    st_call_result(&d, frame->event.flags);
    if (l->options.times) duration(l, b, begun->event.time, frame->event.time);
    if (filtered(l)) {
        struct st_buffer *to = target(l, t);
        interrupt(l, t->tid);
        st_put(to, b->data, b->used);
        b = to;
    }
    line_end(l, t, b);
    st_lines_dump(&d, b);
}

/* A call that will not return: "= ?". */
static void abandon(struct st_lines *l, struct thread *t, uint64_t time)
{
    const struct st_entry *begun = (const struct st_entry *)t->entry.data;
    int shown = t->in_call && t->shown;
    t->in_call = 0;
    if (!shown) return;
    if (filtered(l) && !(l->options.status & ST_STATUS_UNFINISHED)) return;
    l->site = begun->site;
    l->number = begun->event.sysno;
    const char *name = st_call_name(begun->event.sysno);
    struct st_buffer *b = filtered(l) ? &t->held : is_open(l, t) ? target(l, t) : resume(l, t, time, name);
    if (t->incomplete) {
        st_puts(b, " <unfinished ...>) = ?");
    } else {
        st_puts(b, ") ");
        align(l, t, b, 0);
        st_puts(b, "= ?");
    }
    if (filtered(l)) {
        struct st_buffer *to = target(l, t);
        interrupt(l, t->tid);
        st_put(to, b->data, b->used);
        b = to;
    }
    line_end(l, t, b);
}

/* ---- other events ------------------------------------------------------------------------------------------------------ */

static void signal_line(struct st_lines *l, struct thread *t, const struct st_event *event, uint32_t size)
{
    struct st_decoder d;
    struct st_entry none = {.event = *event};
    char room[16];
    if (!bit(l->options.signals, event->sysno, 2)) return;
    l->site = 0;
    l->number = -1;
    struct st_buffer *b = line_begin(l, t, event->time);
    decoder(l, &d, b, &none, sizeof none);
    d.chunks[1] = (struct st_chunks){(const uint8_t *)(event + 1), size - (uint32_t)sizeof *event};
    d.abbrev = 1;
    uint64_t address;
    uint32_t length;
    const uint8_t *info = st_see_first(&d, &address, &length);
    if (info && length >= 48) {
        uint8_t whole[128] = {0};
        memcpy(whole, info, length < 128 ? length : 128);
        st_puts(b, "--- ");
        st_signal(&d, (uint32_t)event->sysno);
        st_putc(b, ' ');
        st_siginfo_at(&d, whole);
        st_puts(b, " ---");
    } else {
        st_putf(b, "--- stopped by %s ---", st_signal_name((uint32_t)event->sysno, room));
    }
    line_end(l, t, b);
}

static void end_line(struct st_lines *l, struct thread *t, const struct st_event *event)
{
    int32_t status = event->sysno;
    char room[16];
    abandon(l, t, event->time);
    if (!(l->options.quiet & ST_QUIET_EXIT) && status != -1) {
        l->site = 0;
        l->number = -1;
        if (!(status & 0x7f)) {
            struct st_buffer *b = line_begin(l, t, event->time);
            st_putf(b, "+++ exited with %d +++", status >> 8 & 0xff);
            line_end(l, t, b);
        } else if (bit(l->options.signals, status & 0x7f, 2)) {
            struct st_buffer *b = line_begin(l, t, event->time);
            st_putf(b, "+++ killed by %s %s+++", st_signal_name((uint32_t)status & 0x7f, room), status & 0x80 ? "(core dumped) " : "");
            line_end(l, t, b);
        }
    }
    forget(l, t);
}

/* A thread that is not the first of its process called execve: it takes the first one's number. */
static void exec_line(struct st_lines *l, const struct st_event *event)
{
    struct thread *first = thread_of(l, event->pid, event->pid), *caller = find(l, event->sysno);
    if (!first || !caller || first == caller) return;
    if (is_open(l, caller) && caller->in_call && caller->shown) {
        struct st_buffer *b = target(l, caller);
        st_putf(b, " <pid changed to %d ...>", first->tid);
        line_end(l, caller, b);
    }
    abandon(l, first, event->time);
    if (!(l->options.quiet & ST_QUIET_SUPERSEDED)) {
        struct st_buffer *b = line_begin(l, first, event->time);
        st_putf(b, "+++ superseded by execve in pid %d +++", event->sysno);
        line_end(l, first, b);
    }
    struct st_buffer entry = first->entry;
    first->entry = caller->entry;
    caller->entry = entry;
    first->in_call = caller->in_call;
    first->shown = caller->shown;
    first->incomplete = caller->incomplete;
    caller->in_call = 0;
    struct st_buffer held = first->held;
    first->held = caller->held;
    caller->held = held;
    forget(l, caller);
}

static void clock_event(struct st_lines *l, const struct st_event *event, uint32_t size)
{
    const uint8_t *data = (const uint8_t *)(event + 1) + sizeof(struct st_chunk);
    if (size >= sizeof *event + sizeof(struct st_chunk) + 8) l->offset = st_load64(data) - event->time;
}

static void frame(struct st_lines *l, const struct st_event *event, uint32_t size)
{
    struct thread *t;
    if (event->kind == ST_EVENT_CLOCK) {
        clock_event(l, event, size);
        return;
    }
    if (event->kind == ST_EVENT_LOST || event->kind == ST_EVENT_EXEC) {
        if (event->kind == ST_EVENT_EXEC) exec_line(l, event);
        return;
    }
    if (event->kind < ST_EVENT_ENTRY || event->kind > ST_EVENT_END || !(t = thread_of(l, event->tid, event->pid))) return;
    switch (event->kind) {
    case ST_EVENT_ENTRY:
        if (size >= sizeof(struct st_entry)) entry(l, t, (const struct st_entry *)event, size);
        break;
    case ST_EVENT_EXIT:
        if (size >= sizeof(struct st_exit)) call_exit(l, t, (const struct st_exit *)event, size);
        break;
    case ST_EVENT_SIGNAL: signal_line(l, t, event, size); break;
    case ST_EVENT_END: end_line(l, t, event); break;
    default: break; /* a task that begins is known from now on */
    }
}

uint64_t st_lines_feed(struct st_lines *l, const uint8_t *frames, uint64_t size)
{
    uint64_t at = 0;
    while (size - at >= sizeof(struct st_event)) {
        const struct st_event *event = (const struct st_event *)(frames + at);
        uint32_t length = event->size;
        if (length < sizeof *event || length % 8 || length > size - at) break;
        frame(l, event, length);
        at += length;
    }
    return at;
}

/* ---- what the reader takes --------------------------------------------------------------------------------------------- */

const uint8_t *st_lines_text(struct st_lines *l, int32_t *tid, uint64_t *size)
{
    if (!l->options.split) {
        *tid = 0;
        *size = l->text.used;
        return l->text.used ? l->text.data : NULL;
    }
    for (unsigned i = 0; i < ST_THREADS; i++)
        for (struct thread *t = l->buckets[i]; t; t = t->next)
            if (t->text.used) {
                *tid = t->tid;
                *size = t->text.used;
                return t->text.data;
            }
    return NULL;
}

void st_lines_taken(struct st_lines *l, int32_t tid)
{
    if (!l->options.split) {
        l->taken += l->text.used;
        l->text.used = 0;
        return;
    }
    struct thread *t = find(l, tid);
    if (!t) return;
    if (t->line_start) t->line_start = 1; /* the column of what follows is not known any more: as if it began here */
    t->text.used = 0;
}

void st_lines_finish(struct st_lines *l, int32_t detached)
{
    const char *end = detached ? " <detached ...>\n" : " <unfinished ...>\n";
    if (!l->options.split) {
        if (l->open_tid) st_puts(&l->text, end);
        l->open_tid = 0;
        return;
    }
    for (unsigned i = 0; i < ST_THREADS; i++)
        for (struct thread *t = l->buckets[i]; t; t = t->next)
            if (t->line_start) {
                st_puts(&t->text, end);
                t->line_start = 0;
            }
}

void st_lines_note(struct st_lines *l, int32_t tid, const char *text)
{
    struct thread *t = l->options.split ? find(l, tid) : NULL;
    struct st_buffer *b = t ? &t->text : &l->text;
    if (l->options.split && !t) return;
    if (!t) interrupt(l, -1);
    st_puts(b, text);
    st_putc(b, '\n');
}
