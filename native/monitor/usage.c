/* What a tree uses: tasks, memory, processor time, disk. */
#include "monitor.h"
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t read_proc(pid_t pid, const char *name, char *text, size_t room)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, room - 1);
    close(fd);
    if (length <= 0) return 0;
    text[length] = 0;
    return (size_t)length;
}

struct sizes {
    uint64_t resident, anonymous;
};

static void measure_one(struct tree *tree, pid_t pid, struct sizes *sizes)
{
    char text[1024];
    unsigned long long times[4] = {0}, threads = 0, resident = 0, shared = 0;
    if (read_proc(pid, "stat", text, sizeof text)) {
        const char *rest = strrchr(text, ')'); /* the name may hold anything */
        if (rest)
            sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu %*d %*d %llu", &times[0], &times[1],
                   &times[2], &times[3], &threads);
    }
    uint64_t tick_us = 1000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    for (int i = 0; i < 4; i++) tree->cpu_us += times[i] * tick_us;
    tree->tasks += threads;
    if (!read_proc(pid, "statm", text, sizeof text) || sscanf(text, "%*u %llu %llu", &resident, &shared) != 2) return;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    sizes->resident += resident * page;
    sizes->anonymous += (resident - shared) * page;
}

/* 0 where it may not be read: in containers whose root may not trace other users. */
static uint64_t proportional(pid_t pid)
{
    char text[1024];
    unsigned long long kilobytes = 0;
    if (!read_proc(pid, "smaps_rollup", text, sizeof text)) return 0;
    const char *line = strstr(text, "\nPss:");
    if (line) sscanf(line + 5, "%llu", &kilobytes);
    return kilobytes * 1024;
}

/* Shared pages count once. The exact sum is dear, so it is only made where the upper bound passes the limit. */
void tree_measure(struct tree *tree, uint64_t memory_limit)
{
    struct sizes sizes = {0};
    tree->tasks = tree->cpu_us = tree->memory = 0;
    for (int i = 0; i < tree->count; i++) measure_one(tree, tree->pids[i], &sizes);
    tree->memory = sizes.resident;
    if (tree->count < 2 || !memory_limit || sizes.resident <= memory_limit) return;
    uint64_t sum = 0;
    for (int i = 0; i < tree->count; i++) sum += proportional(tree->pids[i]);
    tree->memory = sum ? sum : sizes.anonymous;
}

void add_reaped(struct outcome *outcome)
{
    struct rusage usage;
    if (getrusage(RUSAGE_CHILDREN, &usage) < 0) return;
    uint64_t spent =
        (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
    uint64_t largest = (uint64_t)usage.ru_maxrss * 1024;
    if (spent > outcome->cpu_us) outcome->cpu_us = spent;
    if (largest > outcome->peak_memory) outcome->peak_memory = largest;
}

static uint64_t directory_bytes;

static int add_file(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)path;
    (void)kind;
    (void)walk;
    directory_bytes += (uint64_t)info->st_blocks * 512 + 512; /* an inode is not free either */
    return 0;
}

/* Files that are open but have no name any more, and files in memory. */
static void add_open(pid_t pid, const struct stat *directory, uint64_t *memory)
{
    char path[64], target[256];
    struct stat info;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    int fds = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fds < 0 ? NULL : fdopendir(fds);
    if (!list) return;
    for (struct dirent *entry; (entry = readdir(list));) {
        ssize_t length = readlinkat(fds, entry->d_name, target, sizeof target - 1);
        if (length < 10) continue;
        target[length] = 0;
        int in_memory = !strncmp(target, "/memfd:", 7) && strncmp(target, "/memfd:selftrace", 16);
        if (!in_memory && strcmp(target + length - 10, " (deleted)") != 0) continue;
        if (fstatat(fds, entry->d_name, &info, 0) < 0 || !S_ISREG(info.st_mode) || (!in_memory && info.st_nlink)) continue;
        if (in_memory)
            *memory += (uint64_t)info.st_blocks * 512;
        else if (info.st_dev == directory->st_dev)
            directory_bytes += (uint64_t)info.st_blocks * 512;
    }
    closedir(list);
}

uint64_t tree_files(const struct tree *tree, const char *directory, uint64_t *memory)
{
    struct stat info = {0};
    directory_bytes = 0;
    *memory = 0;
    if (directory && stat(directory, &info) == 0) nftw(directory, add_file, 16, FTW_PHYS);
    for (int i = 0; i < tree->count; i++) add_open(tree->pids[i], &info, memory);
    return directory_bytes;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)walk;
    if (kind == FTW_DNR) chmod(path, 0700);
    remove(path);
    return 0;
}

void remove_directory(const char *path)
{
    for (int pass = 0; pass < 2; pass++) nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
