/* The supervisor's clock and place. It sleeps in waitid, which has no time limit: a timer's signal wakes it, often while there
 * are frames to hand over, rarely otherwise (a signal for our caller may come right before the sleep, and is seen then). And it
 * runs on the processor of the program: waking another one costs more than all else. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

#define BUSY_NS 20000000
#define IDLE_NS 100000000
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile sig_atomic_t ticks;
static int users;
static struct sigaction former;

static int number(void)
{
    return SIGRTMAX - 2;
}

static void tick(int signal)
{
    (void)signal;
    ticks++;
}

int st_pace_begin(struct st_ptrace *s)
{
    struct sigaction action = {.sa_handler = tick}; /* no SA_RESTART: it is to interrupt */
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = number()};
    event.sigev_notify_thread_id = (int)syscall(SYS_gettid);
    sched_getaffinity(0, sizeof s->processors, &s->processors);
    if (!users++) sigaction(number(), &action, &former);
    if (!timer_create(CLOCK_MONOTONIC, &event, &s->timer)) {
        s->idle = 2;
        st_pace_set(s, 0);
        return 0;
    }
    int error = errno;
    if (!--users) sigaction(number(), &former, NULL);
    return -error;
}

void st_pace_end(struct st_ptrace *s)
{
    timer_delete(s->timer);
    if (s->cpu >= 0) sched_setaffinity(0, sizeof s->processors, &s->processors);
    if (!--users) sigaction(number(), &former, NULL);
}

/* Whether there has been a tick that was not looked at. */
int st_pace_due(const struct st_ptrace *s)
{
    return (uint64_t)ticks != s->ticks;
}

/* The same, and it has been looked at now. */
int st_pace_ticked(struct st_ptrace *s)
{
    int due = st_pace_due(s);
    s->ticks = (uint64_t)ticks;
    return due;
}

static uint64_t nearest_due(const struct st_ptrace *s)
{
    uint64_t due = ~0ull;
    for (uint32_t i = 0; s->delayed && i < ST_TASKS; i++)
        for (const struct st_task *t = s->tasks[i]; t; t = t->next)
            if (t->due && t->due < due) due = t->due;
    return due;
}

/* The pace from now on; while a task is held, the next tick comes when it is due. */
void st_pace_set(struct st_ptrace *s, int idle)
{
    if (s->idle == idle && !s->delayed) return;
    s->idle = (uint8_t)idle;
    long step = idle ? IDLE_NS : BUSY_NS;
    uint64_t now = st_now(), due = nearest_due(s), next = now + (uint64_t)step;
    if (due < next) next = due > now ? due : now + 1;
    struct itimerspec spec = {{0, step}, {(time_t)(next / 1000000000u), (long)(next % 1000000000u)}};
    timer_settime(s->timer, TIMER_ABSTIME, &spec, NULL);
}

/* The processor that the task ran on last; -1: it is gone. */
static int processor_of(int32_t tid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", tid);
    FILE *file = fopen(path, "re");
    const char *at = file && fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
    if (file) fclose(file);
    for (int field = 2; at && field < 39; field++) at = strchr(at + 1, ' ');
    return at ? atoi(at) : -1;
}

/* Follows the task that stopped last. */
void st_pin(struct st_ptrace *s)
{
    cpu_set_t set;
    if ((s->options.flags & ST_PTRACE_UNPINNED) || !s->last) return;
    int cpu = processor_of(s->last);
    if (cpu < 0 || cpu == s->cpu || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &s->processors)) return;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (!sched_setaffinity(0, sizeof set, &set)) s->cpu = cpu;
}
