/* The preload shim, for LD_PRELOAD: its constructor puts the policy that SELFTRACE_POLICY names into a program that somebody
 * else starts. In programs that the loader has started the policy is there already, and only the handlers are brought.
 * Whatever goes wrong ends the process with 126. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/preload.h"

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

_Noreturn void st_refuse(const char *what, const char *why)
{
    dprintf(2, "selftrace: preload: %s: %s\n", what, why);
    for (;;) syscall(SYS_exit_group, 126);
}

static _Noreturn void failed(const char *what, int64_t error)
{
    st_refuse(what, strerror((int)error));
}

/* ---- descriptors --------------------------------------------------------------------------------------------------- */

/* Puts a descriptor where the loader looks for it. */
static int place(int fd, int target)
{
    if (fcntl(target, F_GETFD) >= 0) st_refuse("a descriptor that it needs (1000 to 1004) is in use", "close it first");
    if (dup3(fd, target, 0) < 0) failed("a descriptor that it needs (1000 to 1004)", errno);
    close(fd);
    return target;
}

/* The kept descriptors may lie above the soft limit, not above the hard one. */
static void make_room(void)
{
    struct rlimit limit;
    rlim_t wanted = ST_KEPT_BLOB + ST_KEPT_COUNT;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= wanted) return;
    limit.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit)) failed("ulimit -n is below the descriptors that it needs (1000 to 1004)", errno);
}

static int memory_file(const char *name, const void *data, uint64_t size, uint64_t whole, int seals)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)whole) || pwrite(fd, data, size, 0) != (ssize_t)size || fcntl(fd, F_ADD_SEALS, seals))
        failed(name, errno ? errno : EIO);
    return fd;
}

/* ---- the policy ---------------------------------------------------------------------------------------------------- */

static void check(const char *path, const struct stat *status)
{
    if (!S_ISREG(status->st_mode)) st_refuse(path, "is no regular file");
    if (status->st_uid != geteuid() && status->st_uid != 0) st_refuse(path, "belongs to another user");
    if (status->st_mode & 022) st_refuse(path, "can be written by other users");
    if ((uint64_t)status->st_size < sizeof(struct st_bundle)) st_refuse(path, "is no policy of selftrace preload");
}

static int is_whole(const struct st_bundle *bundle, uint64_t size)
{
    const struct st_text *parts = &bundle->table;
    size_t count = (offsetof(struct st_bundle, specification) - offsetof(struct st_bundle, table)) / sizeof *parts + 1;
    for (size_t i = 0; i < count; i++)
        if ((uint64_t)parts[i].offset + parts[i].length >= size) return 0;
    return bundle->size == size;
}

/* A copy that nobody can change any more, mapped at its place. */
static const struct st_bundle *read_policy(const char *path, int *copy)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status)) failed(path, errno);
    check(path, &status);
    uint64_t size = (uint64_t)status.st_size;
    void *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (file == MAP_FAILED) failed(path, errno);
    *copy = memory_file("selftrace-bundle", file, size, size, SEALS);
    munmap(file, size);
    close(fd);
    const struct st_bundle *bundle = mmap((void *)ST_BUNDLE_ADDRESS, size, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, *copy, 0);
    if (bundle == MAP_FAILED) failed("the interposer's addresses are taken", errno);
    if (bundle->magic != ST_BUNDLE_MAGIC) st_refuse(path, "is no policy of selftrace preload");
    if (bundle->abi != ST_ABI) st_refuse(path, "was made by another version of selftrace; run selftrace preload again");
    if (!is_whole(bundle, size)) st_refuse(path, "is not whole; run selftrace preload again");
    return bundle;
}

/* ---- arming -------------------------------------------------------------------------------------------------------- */

static void grant(int ruleset, uint64_t kind, const void *rule)
{
    int64_t r = st_syscall(SYS_landlock_add_rule, (uint64_t)ruleset, kind, (uint64_t)rule, 0, 0, 0);
    if (r < 0) failed("landlock_add_rule", -r);
}

static void grant_own_proc(int ruleset, uint64_t access)
{
    struct {
        uint64_t access;
        int32_t fd;
    } __attribute__((packed)) rule = {access, open("/proc/self", O_PATH | O_CLOEXEC)}; /* struct landlock_path_beneath_attr */
    if (rule.fd < 0) failed("/proc/self", errno);
    grant(ruleset, 1 /* PATH_BENEATH */, &rule);
    close(rule.fd);
}

/* Landlock's rule set as the launcher has written it down; -1: none. */
static int ruleset_of(const struct st_bundle *bundle)
{
    uint64_t at = 0, words = bundle->ruleset.length;
    if (!words) return -1;
    int64_t fd = st_syscall(SYS_landlock_create_ruleset, (uint64_t)st_bundle_text(bundle, bundle->ruleset), words, 0, 0, 0, 0);
    if (fd < 0) failed("landlock_create_ruleset", -fd);
    const char *paths = st_bundle_text(bundle, bundle->paths);
    int64_t r = st_landlock_paths((int32_t)fd, (const uint8_t *)paths, bundle->paths.length, &at);
    if (r < 0) failed(paths + at + 16, -r);
    for (at = 0; at + 16 <= bundle->ports.length; at += 16) {
        uint64_t pair[2], rule[2];
        memcpy(pair, st_bundle_text(bundle, bundle->ports) + at, sizeof pair);
        rule[0] = pair[1];
        rule[1] = pair[0];
        grant((int)fd, 2 /* NET_PORT */, rule);
    }
    if (bundle->own_proc) grant_own_proc((int)fd, bundle->own_proc);
    return (int)fd;
}

static void limit(const struct st_bundle *bundle)
{
    for (uint64_t at = 0; at + 24 <= bundle->rlimits.length; at += 24) {
        uint64_t words[3];
        struct rlimit has;
        memcpy(words, st_bundle_text(bundle, bundle->rlimits) + at, sizeof words);
        if (getrlimit((int)words[0], &has)) failed("getrlimit", errno);
        struct rlimit wanted = {words[1] < has.rlim_max ? words[1] : has.rlim_max, words[2] < has.rlim_max ? words[2] : has.rlim_max};
        if (setrlimit((int)words[0], &wanted)) failed("setrlimit", errno);
    }
}

static int ring(void)
{
    struct st_ring_header header = {.magic = ST_RING_MAGIC, .abi = ST_ABI, .slots = ST_RING_SLOTS};
    uint64_t size = ST_RING_OFFSET + (uint64_t)ST_RING_SLOTS * ST_RECORD_SIZE;
    return memory_file("selftrace-ring", &header, offsetof(struct st_ring_header, calls), size, SEALS & ~F_SEAL_WRITE);
}

/* Threads that exist already would stay outside: Landlock binds only the one that asks for it. */
static void check_alone(void)
{
    struct stat status;
    if (!stat("/proc/self/task", &status) && status.st_nlink > 3)
        st_refuse("threads run already", "it has to be there from the program's start: LD_PRELOAD, not dlopen");
}

static void arm(const struct st_bundle *bundle, int copy)
{
    int hosts = bundle->flags & ST_BUNDLE_HOSTS;
    check_alone();
    int blob = open(st_bundle_text(bundle, bundle->interposer), O_RDONLY | O_CLOEXEC);
    if (blob < 0) failed(st_bundle_text(bundle, bundle->interposer), errno);
    int plan = memory_file("selftrace-plan", st_bundle_text(bundle, bundle->table), bundle->table.length, bundle->table.length, SEALS);
    int reports = ring();
    if (hosts) {
        make_room();
        blob = place(blob, ST_KEPT_BLOB);
        plan = place(plan, ST_KEPT_PLAN);
        reports = place(reports, ST_KEPT_RING);
        copy = place(copy, ST_KEPT_BUNDLE);
        place(dup(blob), ST_KEPT_PROGRAM); /* of what the loader starts; this program it has not started */
    }
    int64_t r = st_map_blob(blob);
    if (r < 0) failed("mapping the interposer", -r);
    if (!hosts) close(blob);
    if (!hosts) close(copy);
    int ruleset = ruleset_of(bundle);
    limit(bundle);
    r = st_arm_interposer(plan, reports, ruleset, 0);
    if (r < 0) failed("arming the interposer", -r);
}

/* Whether something lies where the interposer does: the loader has started this program, or we are loaded twice. Asked by a
 * call that every policy allows: the kernel reads the mask before it refuses what should be done with it. */
static int is_armed(void)
{
    return syscall(SYS_rt_sigprocmask, -1, (const void *)ST_BLOB_BASE, NULL, 8) < 0 && errno != EFAULT;
}

__attribute__((constructor)) static void begin(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    int python, embedded = 0;
    const char *policy = st_variable(envp, "SELFTRACE_POLICY");
    const struct st_bundle *bundle = (const struct st_bundle *)ST_BUNDLE_ADDRESS;
    if (is_armed()) {
        if (policy && *policy) st_refuse("a policy holds here already", "a second one cannot be put on top of it; join them with extends");
        if (st_adopt() < 0) st_refuse("the interposer's addresses are taken", "by something that is not selftrace's");
        if (!(((const struct st_plan *)ST_PLAN_ADDRESS)->flags & ST_PLAN_PYTHON)) return;
        python = 1;
        embedded = st_expect_python(bundle);
    } else {
        int copy;
        if (!policy || !*policy)
            st_refuse("LD_PRELOAD is set, but SELFTRACE_POLICY is not", "use env $(selftrace preload --policy P) PROGRAM");
        bundle = read_policy(policy, &copy);
        python = bundle->flags & ST_BUNDLE_PYTHON;
        if (python) embedded = st_expect_python(bundle);
        arm(bundle, copy);
    }
    if (python) st_blob_mapped()->attach(st_hook, st_python_stack, embedded);
    st_hide(envp, st_bundle_text(bundle, bundle->shim));
}
