/* Which tasks are alive, by their events: one that was killed says nothing itself. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../module/module.h"
#include "frame.h"

#define SLOTS 65536u /* a power of two */

struct task {
    int32_t pid, tid; /* tid 0: free, -1: was in use */
    int32_t status;   /* what an exit_group of its process said; -1: nothing */
    int32_t gone;     /* was gone when it was last looked for: what it wrote before has been read by the next time */
};
struct st_tasks {
    uint32_t highest; /* slots below are looked at */
    struct task tasks[SLOTS];
};

struct st_tasks *st_tasks_new(void)
{
    return calloc(1, sizeof(struct st_tasks));
}

void st_tasks_free(struct st_tasks *tasks)
{
    free(tasks);
}

static struct task *find(struct st_tasks *tasks, int32_t tid)
{
    for (uint32_t i = 0; i < tasks->highest; i++)
        if (tasks->tasks[i].tid == tid) return &tasks->tasks[i];
    return NULL;
}

static void begins(struct st_tasks *tasks, int32_t pid, int32_t tid)
{
    struct task *task = find(tasks, tid);
    if (!task) task = find(tasks, -1);
    if (!task && tasks->highest < SLOTS) task = &tasks->tasks[tasks->highest++];
    if (task) *task = (struct task){pid, tid, -1, 0};
}

static void ends(struct st_tasks *tasks, const struct st_event *event)
{
    struct task *task = find(tasks, event->tid);
    if (task) task->tid = -1;
    for (uint32_t i = 0; (event->flags & ST_EVENT_GROUP) && i < tasks->highest; i++)
        if (tasks->tasks[i].tid > 0 && tasks->tasks[i].pid == event->pid) tasks->tasks[i].status = event->sysno;
}

/* A thread that goes on as its process' first: nothing more is heard of its number. */
static void superseded(struct st_tasks *tasks, int32_t tid)
{
    struct task *task = find(tasks, tid);
    if (task) task->tid = -1;
}

void st_tasks_feed(struct st_tasks *tasks, const uint8_t *frames, uint64_t size)
{
    while (size >= sizeof(struct st_event)) {
        const struct st_event *event = (const struct st_event *)frames;
        if (event->size < sizeof *event || event->size > size) return;
        if (event->kind == ST_EVENT_EXEC && event->sysno != event->tid) superseded(tasks, event->sysno);
        if (event->kind == ST_EVENT_TASK || event->kind == ST_EVENT_EXEC) begins(tasks, event->pid, event->tid);
        if (event->kind == ST_EVENT_END) ends(tasks, event);
        frames += event->size;
        size -= event->size;
    }
}

static struct st_event end_of(const struct task *task)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct st_event event = {.stamp = ST_EVENT_STAMP,
                             .size = sizeof event,
                             .time = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec,
                             .pid = task->pid,
                             .tid = task->tid,
                             .kind = ST_EVENT_END,
                             .sysno = task->status};
    event.checksum = st_frame_sum(&event);
    return event;
}

/* Who is gone without a word. The first process' status is what its parent, we, was told. */
uint64_t st_tasks_dead(struct st_tasks *tasks, int32_t first, int32_t status, int32_t last, uint8_t *out, uint64_t room)
{
    uint64_t used = 0;
    int said;
    for (uint32_t i = 0; i < tasks->highest && room - used >= sizeof(struct st_event); i++) {
        struct task *task = &tasks->tasks[i];
        int ours = task->tid > 0 && task->pid == task->tid && task->pid != first; /* by CLONE_PARENT: nobody else may reap it */
        if (ours && waitpid(task->pid, &said, WNOHANG) == task->pid) task->status = said;
        if (task->tid <= 0 || syscall(SYS_tgkill, task->pid, task->tid, 0) == 0 || errno != ESRCH) continue;
        if (!task->gone++ && !last) continue;
        if (task->pid == first && task->status < 0) task->status = status;
        *(struct st_event *)(out + used) = end_of(task);
        used += sizeof(struct st_event);
        task->tid = -1;
    }
    return used;
}
