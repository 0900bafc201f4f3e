/* The lines of signals, ends and execs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "writer.h"

void st_line_signal(struct st_lines *l, struct thread *t, const struct st_event *event, uint32_t size)
{
    struct st_decoder d;
    struct st_entry none = {.event = *event};
    char room[16];
    if (!st_bit(l->options.signals, event->sysno, 2)) return;
    struct st_chunk head = {0}; /* of the siginfo: its address is where the program was */
    if (size >= sizeof *event + sizeof head) memcpy(&head, event + 1, sizeof head);
    l->site = head.address;
    l->number = -1;
    struct st_buffer *b = st_line_begin(l, t, event->time);
    st_line_decoder(l, &d, b, &none, sizeof none);
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
    st_line_end(l, t, b);
    st_line_stack(l, b, (const uint8_t *)event, size);
}

static void say_end(struct st_lines *l, struct thread *t, int32_t status, uint64_t time)
{
    char room[16];
    if (!(l->options.quiet & ST_QUIET_EXIT) && status != -1) {
        l->site = 0;
        l->number = -1;
        if (!(status & 0x7f)) {
            struct st_buffer *b = st_line_begin(l, t, time);
            st_putf(b, "+++ exited with %d +++", status >> 8 & 0xff);
            st_line_end(l, t, b);
        } else if (st_bit(l->options.signals, status & 0x7f, 2)) {
            struct st_buffer *b = st_line_begin(l, t, time);
            st_putf(b, "+++ killed by %s %s+++", st_signal_name((uint32_t)status & 0x7f, room), status & 0x80 ? "(core dumped) " : "");
            st_line_end(l, t, b);
        }
    }
    st_thread_forget(l, t);
}

/* Whether the process has another thread than its first and `but`. */
static int has_more(const struct st_lines *l, const struct thread *but, int32_t pid)
{
    for (unsigned i = 0; i < ST_THREADS; i++)
        for (const struct thread *t = l->buckets[i]; t; t = t->next)
            if (t != but && t->pid == pid && t->tid != pid) return 1;
    return 0;
}

/* A first thread that ends before the others stays until they are gone, as for whoever waits for the process. */
void st_line_task_end(struct st_lines *l, struct thread *t, const struct st_event *event)
{
    struct thread *first = event->pid == event->tid ? NULL : st_thread_find(l, event->pid);
    st_line_abandon(l, t, event->time);
    if (event->flags & ST_EVENT_STAYS) {
        t->ended = 1;
        t->status = event->sysno;
        return;
    }
    int last = first && first->ended && !has_more(l, t, event->pid);
    say_end(l, t, t->ended ? t->status : event->sysno, event->time);
    if (last) say_end(l, first, first->status, event->time);
}

/* A thread that is not the first of its process called execve: it takes the first one's number. */
void st_line_exec(struct st_lines *l, const struct st_event *event)
{
    struct thread *first = st_thread_of(l, event->pid, event->pid), *caller = st_thread_find(l, event->sysno);
    if (first) st_thread_comm(l, first);
    if (!first || !caller || first == caller) return;
    first->ended = 0;
    st_line_abandon(l, first, event->time); /* if that is a line, the caller's ends as any that another interrupts */
    if (st_line_open(l, caller) && caller->in_call && caller->shown) {
        struct st_buffer *b = st_line_target(l, caller);
        st_putf(b, " <pid changed to %d ...>", first->tid);
        st_line_end(l, caller, b);
    }
    if (!(l->options.quiet & ST_QUIET_SUPERSEDED)) {
        struct st_buffer *b = st_line_begin(l, first, event->time);
        st_putf(b, "+++ superseded by execve in pid %d +++", event->sysno);
        st_line_end(l, first, b);
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
    st_thread_forget(l, caller);
}

void st_line_clock(struct st_lines *l, const struct st_event *event, uint32_t size)
{
    const uint8_t *data = (const uint8_t *)(event + 1) + sizeof(struct st_chunk);
    if (size >= sizeof *event + sizeof(struct st_chunk) + 8) l->offset = st_load64(data) - event->time;
}
