/* Many path rules at once: a run has sixty. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "module.h"

struct rule { /* struct landlock_path_beneath_attr */
    uint64_t access;
    int32_t fd;
} __attribute__((packed));

static int64_t grant(int32_t ruleset, const char *path, uint64_t directory, uint64_t other)
{
    struct stat status;
    int64_t result = 0;
    struct rule rule = {0, open(path, O_PATH | O_CLOEXEC)};
    if (rule.fd < 0) return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    if (fstat(rule.fd, &status)) result = -errno;
    rule.access = S_ISDIR(status.st_mode) ? directory : other;
    if (!result && rule.access) result = st_syscall(SYS_landlock_add_rule, (uint64_t)ruleset, 1, (uint64_t)&rule, 0, 0, 0);
    close(rule.fd);
    return result;
}

int64_t st_landlock_paths(int32_t ruleset, const uint8_t *rules, uint64_t size, uint64_t *failed)
{
    for (uint64_t at = 0; at + 16 < size;) {
        uint64_t rights[2];
        memcpy(rights, rules + at, sizeof rights);
        const char *path = (const char *)rules + at + sizeof rights;
        int64_t result = grant(ruleset, path, rights[0], rights[1]);
        *failed = at;
        if (result < 0) return result;
        at += sizeof rights + strlen(path) + 1;
    }
    return 0;
}
