/* The tasks that are traced: a table by number. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

struct st_task *st_task_find(const struct st_ptrace *s, int32_t tid)
{
    struct st_task *t = s->tasks[(uint32_t)tid % ST_TASKS];
    while (t && t->tid != tid) t = t->next;
    return t;
}

/* A number in /proc/TID/status; -1: there is none. */
int32_t st_task_field(int32_t tid, const char *name)
{
    char path[64], text[2048];
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0) return -1;
    text[size] = 0;
    const char *at = strstr(text, name);
    return at ? atoi(at + strlen(name)) : -1;
}

/* Whether it is a zombie, or gone: it will never stop again. */
int st_task_dead(int32_t tid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 1;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    if (size <= 0) return 1;
    text[size] = 0;
    const char *at = strrchr(text, ')');
    return at && (at[2] == 'Z' || at[2] == 'X');
}

struct st_task *st_task_new(struct st_ptrace *s, int32_t tid)
{
    struct st_task *t = st_task_find(s, tid), **bucket = &s->tasks[(uint32_t)tid % ST_TASKS];
    if (t || !(t = calloc(1, sizeof *t))) return t;
    int32_t pid = st_task_field(tid, "\nTgid:");
    t->tid = tid;
    t->pid = pid > 0 ? pid : tid;
    t->cpu_fd = t->call.sysno = -1;
    t->next = *bucket;
    *bucket = t;
    s->count++;
    return t;
}

void st_task_forget(struct st_ptrace *s, struct st_task *t)
{
    struct st_task **at = &s->tasks[(uint32_t)t->tid % ST_TASKS];
    while (*at && *at != t) at = &(*at)->next;
    if (!*at) return;
    *at = t->next;
    if (s->options.ends) s->options.ends(s->options.own, t->tid, t->pid, 1);
    s->count--;
    s->filtered -= t->filtered;
    s->delayed -= t->due != 0;
    s->waiting -= t->held;
    if (t->cpu_fd >= 0) close(t->cpu_fd);
    free(t->counters);
    free(t);
}
