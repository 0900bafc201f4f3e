/* The processes of a run: everything below the monitor, which is their subreaper. */
#include "monitor.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 5000 /* a process in uninterruptible sleep may need this long to die */

static void tree_add(struct tree *tree, pid_t pid)
{
    if (tree->count == tree->room) {
        int room = tree->room ? tree->room * 2 : 64;
        pid_t *grown = realloc(tree->pids, (size_t)room * sizeof *grown);
        if (!grown) return;
        tree->pids = grown;
        tree->room = room;
    }
    tree->pids[tree->count++] = pid;
}

/* The children of one thread, as the kernel lists them. Returns -1 where it has no such list. */
static int add_children(struct tree *tree, pid_t pid, const char *task)
{
    char path[64];
    int child;
    snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, task);
    FILE *file = fopen(path, "re");
    if (!file) return -1;
    while (fscanf(file, "%d", &child) == 1) tree_add(tree, child);
    fclose(file);
    return 0;
}

static int add_below(struct tree *tree, pid_t pid)
{
    char path[64];
    int listed = -1;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks) return 0;
    for (struct dirent *entry; (entry = readdir(tasks));)
        if (isdigit((unsigned char)entry->d_name[0]) && add_children(tree, pid, entry->d_name) == 0) listed = 0;
    closedir(tasks);
    return listed;
}

static pid_t parent_of(pid_t pid)
{
    char path[64], text[512];
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char *name_end = strrchr(text, ')');
    if (name_end) sscanf(name_end + 1, " %*c %d", &parent);
    return parent;
}

/* Kernels without lists of children: everybody's parent is looked at. */
static void add_by_parent(struct tree *tree, pid_t root)
{
    DIR *all = opendir("/proc");
    if (!all) return;
    for (struct dirent *entry; (entry = readdir(all));) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        for (pid_t above = pid > 0 ? parent_of(pid) : 0, depth = 0; above > 1 && depth < 64; above = parent_of(above), depth++)
            if (above == root) {
                tree_add(tree, pid);
                break;
            }
    }
    closedir(all);
}

void tree_find(struct tree *tree, pid_t root)
{
    tree->count = 0;
    if (add_children(tree, root, "self") < 0) {
        char own[16];
        snprintf(own, sizeof own, "%d", root);
        if (add_children(tree, root, own) < 0) {
            add_by_parent(tree, root);
            return;
        }
    }
    for (int i = 0; i < tree->count; i++) add_below(tree, tree->pids[i]);
}

int tree_end(struct tree *tree)
{
    struct timespec pause = {0, 200000};
    for (int waited_us = 0; waited_us < PATIENCE_MS * 1000; waited_us += (int)(pause.tv_nsec / 1000)) {
        tree_find(tree, getpid());
        for (int i = 0; i < tree->count; i++) kill(tree->pids[i], SIGKILL);
        pid_t gone;
        while ((gone = waitpid(-1, NULL, WNOHANG | __WALL)) > 0) continue;
        if (gone < 0 && errno == ECHILD) return 0;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 10000000) pause.tv_nsec *= 2;
    }
    return tree->count;
}
