/* What a stop is told as: the same frames that the interposer writes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <unistd.h>

#include "../trace/capture.h"
#include "../trace/frame.h"
#include "internal.h"

uint64_t st_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* How long the task has been on a processor, in ns; 0 where the kernel does not say. */
static uint64_t cpu_time(struct st_task *t)
{
    char text[64];
    if (t->cpu_fd < 0) {
        snprintf(text, sizeof text, "/proc/%d/schedstat", t->tid);
        t->cpu_fd = open(text, O_RDONLY | O_CLOEXEC);
    }
    ssize_t size = t->cpu_fd < 0 ? 0 : pread(t->cpu_fd, text, sizeof text - 1, 0);
    if (size <= 0) return 0;
    text[size] = 0;
    return strtoull(text, NULL, 10);
}

static struct st_event *begin(struct st_ptrace *s, struct st_task *t, uint16_t kind, int32_t sysno, uint32_t size)
{
    struct st_event *event = (struct st_event *)(s->out + s->used);
    *event = (struct st_event){.stamp = ST_EVENT_STAMP,
                               .size = size,
                               .time = s->options.flags & ST_PTRACE_CPU_TIME ? cpu_time(t) : st_now(),
                               .pid = t->pid,
                               .tid = t->tid,
                               .kind = kind,
                               .sysno = sysno};
    return event;
}

static void end(struct st_ptrace *s, struct st_event *event)
{
    event->checksum = st_frame_sum(event);
    s->used += event->size;
}

static void capture(const struct st_ptrace *s, const struct st_task *t, struct st_event *event, int64_t result, uint32_t when)
{
    if (event->sysno < 0 || event->sysno >= ST_TRACE_CALLS) return;
    struct st_span span = s->options.spans[event->sysno];
    st_reader_task = t->tid;
    event->size += st_capture_all(s->options.ops + span.first, span.count, t->call.args, result, when, s->options.string_limit,
                                  (uint8_t *)event + event->size, ST_EVENT_MAX - event->size, &event->flags);
}

static void add_stack(const struct st_ptrace *s, const struct st_task *t, struct st_event *event)
{
    if (!(s->options.flags & ST_PTRACE_STACK)) return;
    event->size += st_put_stack(t->tid, (uint8_t *)event + event->size, ST_EVENT_MAX - event->size, &event->flags);
}

/* The call that restart_syscall makes again. */
static void add_resumed(struct st_event *event, int32_t sysno)
{
    struct st_chunk *chunk = (struct st_chunk *)((uint8_t *)event + event->size);
    const uint64_t number = (uint32_t)sysno;
    *chunk = (struct st_chunk){0, 4, ST_CHUNK_MEMORY};
    memcpy(chunk + 1, &number, 8);
    event->size += (uint32_t)sizeof *chunk + 8;
}

void st_frame_entry(struct st_ptrace *s, struct st_task *t)
{
    struct st_entry *e = (struct st_entry *)begin(s, t, ST_EVENT_ENTRY, t->call.sysno, sizeof *e);
    memcpy(e->args, t->call.args, sizeof e->args);
    e->site = t->call.site;
    if (t->call.sysno == 60 || t->call.sysno == 231) e->event.flags |= ST_EVENT_NO_RETURN; /* exit, exit_group */
    capture(s, t, &e->event, (int64_t)t->call.stack, ST_CAPTURE_ENTRY);
    if (t->call.sysno == ST_RESTART_SYSCALL && t->previous >= 0) add_resumed(&e->event, t->previous);
    add_stack(s, t, &e->event);
    end(s, &e->event);
}

static int restarts(int64_t result)
{
    return result == -512 || result == -513 || result == -514 || result == -516; /* ERESTARTSYS and its kin */
}

void st_frame_exit(struct st_ptrace *s, struct st_task *t)
{
    struct st_exit *e = (struct st_exit *)begin(s, t, ST_EVENT_EXIT, t->call.sysno, sizeof *e);
    e->result = t->call.result;
    e->event.flags = (uint16_t)t->call.flags;
    if (restarts(e->result)) e->event.flags |= ST_EVENT_RESTART;
    capture(s, t, &e->event, restarts(e->result) ? -4 : e->result, ST_CAPTURE_EXIT);
    end(s, &e->event);
}

void st_frame_signal(struct st_ptrace *s, struct st_task *t, int signal, int has_info)
{
    siginfo_t info;
    if (!s->started || s->muted) return;
    struct st_event *event = begin(s, t, ST_EVENT_SIGNAL, signal, sizeof *event);
    if (has_info && !ptrace(PTRACE_GETSIGINFO, t->tid, 0, &info)) {
        struct st_chunk *chunk = (struct st_chunk *)(event + 1);
        uint64_t at = (uint64_t)ptrace(PTRACE_PEEKUSER, t->tid, offsetof(struct user_regs_struct, rip), 0);
        *chunk = (struct st_chunk){at, sizeof info, ST_CHUNK_MEMORY};
        memcpy(chunk + 1, &info, sizeof info);
        event->size += (uint32_t)(sizeof *chunk + sizeof info);
    }
    add_stack(s, t, event);
    end(s, event);
}

/* number: as ST_EVENT_TASK, EXEC and END have it in `sysno`. */
void st_frame_plain(struct st_ptrace *s, struct st_task *t, uint16_t kind, int32_t number)
{
    if (s->muted) return;
    end(s, begin(s, t, kind, number, sizeof(struct st_event)));
}

/* A mapping that is there already, as if it had just been made: what stacks are unwound by. */
void st_frame_mapped(struct st_ptrace *s, struct st_task *t, const uint64_t args[6], const char *path)
{
    uint32_t length = (uint32_t)strlen(path);
    struct st_entry *e = (struct st_entry *)begin(s, t, ST_EVENT_ENTRY, 9, sizeof *e);
    memcpy(e->args, args, sizeof e->args);
    struct st_chunk *chunk = (struct st_chunk *)(e + 1);
    *chunk = (struct st_chunk){0, length, ST_CHUNK_FD};
    memset((uint8_t *)(chunk + 1) + (length & ~7u), 0, 8);
    memcpy(chunk + 1, path, length);
    e->event.size += (uint32_t)sizeof *chunk + ((length + 7) & ~7u);
    e->event.flags = ST_EVENT_UNSHOWN;
    end(s, &e->event);
    struct st_exit *leaving = (struct st_exit *)begin(s, t, ST_EVENT_EXIT, 9, sizeof *leaving);
    leaving->result = (int64_t)args[0];
    leaving->event.flags = ST_EVENT_UNSHOWN;
    end(s, &leaving->event);
}
