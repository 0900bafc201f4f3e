/* The line writer: keeps what each thread is in the middle of, and takes frames. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "writer.h"

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

struct thread *st_thread_find(struct st_lines *l, int32_t tid)
{
    struct thread *t = l->last;
    if (t && t->tid == tid) return t;
    for (t = l->buckets[(uint32_t)tid % ST_THREADS]; t && t->tid != tid; t = t->next) {}
    if (t) l->last = t;
    return t;
}

struct thread *st_thread_of(struct st_lines *l, int32_t tid, int32_t pid)
{
    struct thread *t = st_thread_find(l, tid), **bucket = &l->buckets[(uint32_t)tid % ST_THREADS];
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

void st_thread_forget(struct st_lines *l, struct thread *t)
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

static void frame(struct st_lines *l, const struct st_event *event, uint32_t size)
{
    struct thread *t;
    if (l->options.stacks) st_stacks_feed(l->options.stacks, (const uint8_t *)event, size);
    if (event->flags & ST_EVENT_UNSHOWN) return;
    if (event->kind == ST_EVENT_CLOCK) {
        st_line_clock(l, event, size);
        return;
    }
    if (event->kind == ST_EVENT_LOST || event->kind == ST_EVENT_EXEC) {
        if (event->kind == ST_EVENT_EXEC) st_line_exec(l, event);
        return;
    }
    if (event->kind < ST_EVENT_ENTRY || event->kind > ST_EVENT_END || !(t = st_thread_of(l, event->tid, event->pid))) return;
    uint32_t head = event->kind == ST_EVENT_ENTRY ? sizeof(struct st_entry) : sizeof(struct st_event);
    if (event->kind != ST_EVENT_EXIT && size > head) st_thread_named(l, t, (const uint8_t *)event + head, size - head);
    switch (event->kind) {
    case ST_EVENT_ENTRY:
        if (size >= sizeof(struct st_entry)) st_line_entry(l, t, (const struct st_entry *)event, size);
        break;
    case ST_EVENT_EXIT:
        if (size >= sizeof(struct st_exit)) st_line_exit(l, t, (const struct st_exit *)event, size);
        break;
    case ST_EVENT_SIGNAL: st_line_signal(l, t, event, size); break;
    case ST_EVENT_END: st_line_task_end(l, t, event); break;
    default: st_thread_comm(l, t); /* a task that begins: it may be gone when its next line is written */
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
    struct thread *t = st_thread_find(l, tid);
    if (!t) return;
    t->taken += t->text.used;
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
    struct thread *t = l->options.split ? st_thread_find(l, tid) : NULL;
    struct st_buffer *b = t ? &t->text : &l->text;
    if (l->options.split && !t) return;
    if (!t) st_line_interrupt(l, -1);
    st_puts(b, text);
    st_putc(b, '\n');
}
