/* The configuration: NUL-separated key=value, written by selftrace/session.py's Monitor. Nobody else writes it, so a
 * mistake in it is a bug: it ends the run with a line that names the key. */
#include "monitor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Noreturn void refuse(const char *what)
{
    say("failed step=configuration:%.60s errno=22", what);
    exit(1);
}

static void add(char ***list, size_t *count, char *text)
{
    *list = realloc(*list, (*count + 2) * sizeof **list);
    if (!*list) refuse("memory");
    (*list)[(*count)++] = text;
    (*list)[*count] = NULL;
}

static void number_key(struct config *config, const char *key, const char *value)
{
    uint64_t number = strtoull(value, NULL, 10);
    if (!strcmp(key, "uid"))
        config->uid = (int64_t)number;
    else if (!strcmp(key, "capabilities"))
        config->capabilities = number;
    else if (!strcmp(key, "no_new_privs"))
        config->no_new_privs = number != 0;
    else if (!strcmp(key, "gate"))
        config->guard.gate = (int)number;
    else if (!strcmp(key, "filter"))
        config->guard.filter = (int)number;
    else if (!strcmp(key, "ruleset"))
        config->guard.ruleset = (int)number;
    else if (!strcmp(key, "own_proc"))
        config->guard.own_proc = number;
    else if (!strcmp(key, "launcher"))
        config->launcher = (pid_t)number;
    else if (!strcmp(key, "ring"))
        config->ring_fd = (int)number;
    else if (!strcmp(key, "wall_ms"))
        config->wall_ms = number;
    else if (!strcmp(key, "cpu_ms"))
        config->cpu_ms = number;
    else if (!strcmp(key, "memory"))
        config->memory = number;
    else if (!strcmp(key, "tasks"))
        config->tasks = number;
    else if (!strcmp(key, "disk"))
        config->disk = number;
    else
        refuse(key);
}

static void add_limit(struct config *config, const char *value)
{
    unsigned long long soft, hard;
    int resource;
    if (config->limit_count == MAX_LIMITS || sscanf(value, "%d:%llu:%llu", &resource, &soft, &hard) != 3) refuse("rlimit");
    config->limits[config->limit_count].resource = resource;
    config->limits[config->limit_count++].limit = (struct rlimit){soft, hard};
}

static void add_fd(struct config *config, const char *value)
{
    int target, source;
    if (config->fd_count == MAX_FDS || sscanf(value, "%d:%d", &target, &source) != 2) refuse("fd");
    config->fds[config->fd_count].target = target;
    config->fds[config->fd_count++].source = source;
}

void read_config(struct config *config)
{
    struct stat info;
    size_t arguments = 0, variables = 0;
    *config = (struct config){.uid = -1, .ring_fd = -1, .guard = {-1, -1, -1, 0}};
    if (fstat(CONFIG_FD, &info) < 0 || info.st_size == 0) refuse("descriptor");
    char *text = mmap(NULL, (size_t)info.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, CONFIG_FD, 0);
    if (text == MAP_FAILED) refuse("map");
    if (text[info.st_size - 1]) refuse("end");
    for (char *entry = text, *end = text + info.st_size; entry < end;) {
        char *next = entry + strlen(entry) + 1, *value = strchr(entry, '=');
        if (!value) refuse(entry);
        *value++ = 0;
        if (!strcmp(entry, "argv"))
            add(&config->argv, &arguments, value);
        else if (!strcmp(entry, "env"))
            add(&config->env, &variables, value);
        else if (!strcmp(entry, "program"))
            config->program = value;
        else if (!strcmp(entry, "cwd"))
            config->cwd = value;
        else if (!strcmp(entry, "directory"))
            config->directory = value;
        else if (!strcmp(entry, "rlimit"))
            add_limit(config, value);
        else if (!strcmp(entry, "fd"))
            add_fd(config, value);
        else
            number_key(config, entry, value);
        entry = next;
    }
    if (!arguments || !config->program) refuse("argv");
    if (!variables) config->env = calloc(1, sizeof *config->env);
}
