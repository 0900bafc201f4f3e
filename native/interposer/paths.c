/* What object a path argument means, as the kernel would find it: dirfd or cwd, symbolic links, "..".
 * The walk asks readlink for each component: no descriptor is opened, so the program's numbers stay its own.
 * Advisory by nature: another thread or process can change the tree behind it. */
#include "core.h"

#define AT_FDCWD (-100)
#define MAX_LINKS 40

struct walk {
    uint8_t *out; /* the resolved path, no trailing slash; empty is the root */
    uint32_t length;
    uint8_t *rest, *link; /* what is still to be walked; a link's text */
    uint32_t links;
    int missing; /* a component does not exist: the rest is taken as written */
    int last_follows;
};

static uint32_t decimal(uint8_t *out, uint32_t value)
{
    uint8_t digits[10];
    uint32_t n = 0, i = 0;
    do digits[n++] = (uint8_t)('0' + value % 10);
    while (value /= 10);
    while (n) out[i++] = digits[--n];
    return i;
}

static int starts(const uint8_t *text, uint32_t length, const char *prefix)
{
    uint32_t i = 0;
    for (; prefix[i]; i++)
        if (i >= length || text[i] != (uint8_t)prefix[i]) return 0;
    return 1;
}

static int equals(const uint8_t *text, uint32_t length, const char *other)
{
    return starts(text, length, other) && !other[length];
}

static uint32_t text_length(const char *text)
{
    uint32_t n = 0;
    while (text[n]) n++;
    return n;
}

/* An open file that has no name: pipes, sockets, memory. Nothing for a path rule to say. */
static int anonymous(const uint8_t *text, uint32_t length)
{
    return !length || text[0] != '/' || starts(text, length, "/memfd:") || starts(text, length, "/SYSV") ||
           starts(text, length, "/dev/zero (deleted)") || starts(text, length, "/[");
}

/* /proc/PID of this process is /proc/self, whichever way it is written. */
static int own_pid(const uint8_t *name, uint32_t length)
{
    uint8_t pid[10];
    return decimal(pid, (uint32_t)st_state.pid) == length && !memcmp(pid, name, length);
}

/* "/proc/PID" and what follows, of this process → "/proc/self" and the same. Returns the new length. */
static int64_t own_proc(uint8_t *path, int64_t length)
{
    uint32_t end = 6, n = (uint32_t)length;
    if (!starts(path, n, "/proc/")) return length;
    while (end < n && path[end] != '/') end++;
    if (!own_pid(path + 6, end - 6) || n - end + 10 > ST_PATH_MAX - 1) return length;
    memmove(path + 10, path + end, n - end);
    memcpy(path + 6, "self", 4);
    return n - end + 10;
}

static int64_t fd_path(int32_t fd, uint8_t *out)
{
    uint8_t name[32] = "/proc/self/fd/";
    uint32_t n = 14;
    if (fd < 0) return -9; /* EBADF */
    n += decimal(name + n, (uint32_t)fd);
    name[n] = 0;
    int64_t length = ST_SYS(__NR_readlink, name, out, ST_PATH_MAX - 1);
    return length > 0 ? own_proc(out, length) : length;
}

static void strip_root(struct walk *walk)
{
    if (walk->length == 1 && walk->out[0] == '/') walk->length = 0;
}

static int64_t start_at(struct walk *walk, int32_t dirfd)
{
    int64_t n;
    if (dirfd == AT_FDCWD) {
        n = ST_SYS(__NR_getcwd, walk->out, ST_PATH_MAX - 1);
        if (n > 0) n--; /* counts its NUL */
    } else
        n = fd_path(dirfd, walk->out);
    if (n < 0) return n;
    if (anonymous(walk->out, (uint32_t)n)) return -ST_ENOTDIR;
    walk->length = (uint32_t)n;
    strip_root(walk);
    return 0;
}

static void up(struct walk *walk)
{
    while (walk->length && walk->out[walk->length - 1] != '/') walk->length--;
    if (walk->length) walk->length--;
}

static int64_t append(struct walk *walk, const uint8_t *name, uint32_t length)
{
    int in_proc = equals(walk->out, walk->length, "/proc");
    if (in_proc && (own_pid(name, length) || equals(name, length, "thread-self"))) {
        name = (const uint8_t *)"self";
        length = 4;
    }
    if (walk->length + length + 2 > ST_PATH_MAX) return -ST_ENAMETOOLONG;
    walk->out[walk->length++] = '/';
    memcpy(walk->out + walk->length, name, length);
    walk->length += length;
    return in_proc && equals(name, length, "self");
}

/* Puts a link's text in front of what is left. */
static int64_t follow(struct walk *walk, uint32_t target, const uint8_t *rest)
{
    uint32_t n = text_length((const char *)rest);
    if (++walk->links > MAX_LINKS) return -ST_ELOOP;
    if (target + n + 1 > ST_PATH_MAX) return -ST_ENAMETOOLONG;
    for (uint32_t i = n + 1; i--;) walk->link[target + i] = rest[i];
    uint8_t *swap = walk->rest;
    walk->rest = walk->link;
    walk->link = swap;
    if (walk->rest[0] == '/')
        walk->length = 0;
    else
        up(walk);
    return 0;
}

/* One component at `name`; `rest` begins at the slash behind it. Returns 1 when a link was put in front. */
static int64_t step(struct walk *walk, const uint8_t *name, uint32_t length, const uint8_t *rest)
{
    if (length == 1 && name[0] == '.') return 0;
    if (length == 2 && name[0] == '.' && name[1] == '.') {
        up(walk);
        return 0;
    }
    int64_t r = append(walk, name, length);
    if (r < 0 || walk->missing) return r < 0 ? r : 0;
    if (r || (!*rest && !walk->last_follows)) return 0;
    walk->out[walk->length] = 0;
    int64_t target = ST_SYS(__NR_readlink, walk->out, walk->link, ST_PATH_MAX - 1);
    if (target == -ST_EINVAL) return 0;
    if (target < 0) {
        walk->missing = 1;
        return 0;
    }
    int own = starts(walk->link, (uint32_t)target, "self/");                                 /* /proc/mounts, /proc/net */
    if (starts(walk->out, walk->length, "/proc/") && walk->link[0] != '/' && !own) return 0; /* pipe:[1], or a pid */
    walk->link[target] = 0;
    r = follow(walk, (uint32_t)target, rest);
    return r < 0 ? r : 1;
}

static int64_t walk_path(struct walk *walk)
{
    uint8_t *at = walk->rest;
    if (*at == '/') walk->length = 0;
    for (;;) {
        while (*at == '/') at++;
        if (!*at) break;
        uint8_t *end = at;
        while (*end && *end != '/') end++;
        int64_t r = step(walk, at, (uint32_t)(end - at), end);
        if (r < 0) return r;
        at = r ? walk->rest : end;
    }
    if (!walk->length) walk->out[walk->length++] = '/';
    return walk->length;
}

int st_follows(const struct st_call *call, const struct st_path_use *use)
{
    uint64_t flags = use->flags >= 0 ? call->args[use->flags] : 0;
    switch (use->follow) {
    case ST_FOLLOW_NEVER: return 0;
    case ST_FOLLOW_AT_NOFOLLOW: return !(flags & 0x100);
    case ST_FOLLOW_AT_FOLLOW: return (flags & 0x400) != 0;
    case ST_FOLLOW_OPENAT2: flags = *(const uint64_t *)call->small; /* fall through */
    case ST_FOLLOW_OPEN: return !(flags & 0x20000 /* O_NOFOLLOW */) && (flags & 0xc0) != 0xc0 /* O_CREAT|O_EXCL */;
    default: return 1;
    }
}

static int resolve_fd(struct st_call *call, int32_t argument)
{
    int64_t n = argument < 0 ? 0 : fd_path((int32_t)call->args[argument], call->resolved[2]);
    call->resolved_length[2] = n > 0 && !anonymous(call->resolved[2], (uint32_t)n) ? (int32_t)n : 0;
    return call->resolved_length[2] > 0;
}

/* The path of argument use `which` (2: of the call's descriptor), resolved into call->resolved[which].
 * Returns 1: resolved; 0: the object has no path, or the kernel will refuse the argument by itself; -errno: cannot say. */
int st_resolve(struct st_call *call, uint32_t which)
{
    if (call->resolved_length[which] >= 0) return call->resolved_length[which] > 0;
    const struct st_call_entry *entry = ST_PLAN_AT(struct st_call_entry, st_state.plan->calls) + call->sysno;
    if (which == 2) return resolve_fd(call, entry->fd);
    if (which >= entry->paths.count) return 0;
    const struct st_path_use *use = ST_PLAN_AT(struct st_path_use, st_state.plan->paths) + entry->paths.first + which;
    int32_t dirfd = use->dirfd < 0 ? AT_FDCWD : (int32_t)call->args[use->dirfd];
    call->resolved_length[which] = 0;
    if (call->path_length[which] < 0) return 0;
    if (!call->path_length[which]) { /* AT_EMPTY_PATH: the descriptor's object; else ENOENT */
        if (use->dirfd < 0 || dirfd == AT_FDCWD) return 0;
        int64_t n = fd_path(dirfd, call->resolved[which]);
        if (n <= 0 || anonymous(call->resolved[which], (uint32_t)n)) return 0;
        call->resolved_length[which] = (int32_t)n;
        return 1;
    }
    struct walk walk = {.out = call->resolved[which], .rest = call->walk[0], .link = call->walk[1], .last_follows = st_follows(call, use)};
    memcpy(walk.rest, call->path[which], (uint32_t)call->path_length[which] + 1);
    if (walk.rest[0] != '/') {
        int64_t r = start_at(&walk, dirfd);
        if (r < 0) return r == -ST_ENOTDIR || r == -9 ? 0 : (int)r;
    }
    int64_t n = walk_path(&walk);
    if (n < 0) return n == -ST_ELOOP || n == -ST_ENAMETOOLONG ? 0 : (int)n;
    call->resolved_length[which] = (int32_t)n;
    return 1;
}

/* ---- patterns ---------------------------------------------------------------------------------- */

/* Codes in a glob's text, written by encode.py; a literal byte below 4 is 4 and the byte. */
enum { ANY_BYTE = 1, ANY_NAME = 2, ANY_TREE = 3, LITERAL = 4 };

static int glob(const uint8_t *p, const uint8_t *end, const uint8_t *s, const uint8_t *stop)
{
    while (p < end) {
        uint8_t code = *p++;
        if (code == ANY_NAME || code == ANY_TREE) {
            for (;; s++) {
                if (glob(p, end, s, stop)) return 1;
                if (s == stop || (code == ANY_NAME && *s == '/')) return 0;
            }
        }
        if (s == stop) return 0;
        if (code == ANY_BYTE) {
            if (*s == '/') return 0;
        } else if (*s != (code == LITERAL ? *p++ : code))
            return 0;
        s++;
    }
    return s == stop;
}

int st_path_matches(const struct st_plan *plan, const struct st_pattern *pattern, const uint8_t *path, uint32_t length)
{
    const uint8_t *text = ST_PLAN_AT(uint8_t, plan->texts) + pattern->text.offset;
    uint32_t n = pattern->text.length;
    if (pattern->kind == ST_PATTERN_GLOB) return glob(text, text + n, path, path + length);
    if (length < n || memcmp(text, path, n)) return 0;
    if (length == n) return 1;
    return pattern->kind == ST_PATTERN_TREE && (path[n] == '/' || (n == 1 && text[0] == '/'));
}

static int listed(struct st_span span, const uint8_t *path, uint32_t length, uint32_t *row)
{
    const struct st_pattern *patterns = ST_PLAN_AT(struct st_pattern, st_state.plan->patterns) + span.first;
    for (uint32_t i = 0; i < span.count; i++)
        if (st_path_matches(st_state.plan, &patterns[i], path, length)) {
            if (row) *row = patterns[i].row;
            return 1;
        }
    return 0;
}

/* A directory above something that is granted may be looked at: a program finds its way through it. */
static int above(struct st_span span, const uint8_t *path, uint32_t length)
{
    const struct st_pattern *patterns = ST_PLAN_AT(struct st_pattern, st_state.plan->patterns) + span.first;
    for (uint32_t i = 0; i < span.count; i++) {
        const uint8_t *text = ST_PLAN_AT(uint8_t, st_state.plan->texts) + patterns[i].text.offset;
        if (length == 1) return 1;
        if (patterns[i].text.length > length && text[length] == '/' && !memcmp(text, path, length)) return 1;
    }
    return 0;
}

static uint32_t open_grants(uint64_t flags)
{
    uint32_t grants = (flags & 3) == 0 ? ST_GRANT_READ : (flags & 3) == 1 ? ST_GRANT_WRITE : ST_GRANT_READ | ST_GRANT_WRITE;
    if (flags & 0x200000) return ST_GRANT_READ;                      /* O_PATH */
    if (flags & (0x40 | 0x200 | 0x400000)) grants |= ST_GRANT_WRITE; /* O_CREAT O_TRUNC O_TMPFILE */
    return grants;
}

static uint32_t grants_of(const struct st_call *call, const struct st_path_use *use)
{
    if (use->grant != ST_GRANT_OPEN) return use->grant;
    if (call->sysno == __NR_creat) return ST_GRANT_WRITE;
    return open_grants(use->follow == ST_FOLLOW_OPENAT2 ? *(const uint64_t *)call->small : call->args[use->flags]);
}

/* Whether the call only looks at the object: what a directory above a grant is good for. */
static int looks(const struct st_call *call, const struct st_path_use *use)
{
    if (use->grant != ST_GRANT_OPEN) return 1;
    return use->follow == ST_FOLLOW_OPEN && use->flags >= 0 && (call->args[use->flags] & 0x200000 /* O_PATH */);
}

static int granted(const struct st_plan *plan, int looks, uint32_t grants, const uint8_t *path, uint32_t length)
{
    if ((grants & ST_GRANT_READ) && !listed(plan->fs_read, path, length, NULL) && !listed(plan->fs_exec, path, length, NULL)) {
        if (!looks || (!above(plan->fs_read, path, length) && !above(plan->fs_write, path, length))) return 0;
    }
    if ((grants & ST_GRANT_WRITE) && !listed(plan->fs_write, path, length, NULL)) return 0;
    if ((grants & ST_GRANT_EXEC) && !listed(plan->fs_exec, path, length, NULL)) return 0;
    return 1;
}

/* Says that a granted object is used; under audit also whether it was there, and whether it was only looked at. */
static void used(struct st_call *call, uint32_t which, const struct st_path_use *use)
{
    uint8_t *path = call->resolved[which], byte;
    uint32_t length = (uint32_t)call->resolved_length[which], told = call->grants[which], first = call->grants[0];
    if (st_state.plan->flags & ST_PLAN_AUDIT) {
        path[length] = 0;
        int64_t r = ST_SYS(__NR_readlink, path, &byte, 1);
        if (r == -ST_ENOENT || r == -ST_ENOTDIR) told |= ST_USE_ABSENT;
        if (looks(call, use)) told |= ST_USE_LOOKED;
    }
    call->grants[0] = told;
    st_used(call, st_state.plan->fs_row, path, length);
    call->grants[0] = first;
}

/* Gate 3 for files. Returns 0, or the errno that refuses; call->rule_row then says by which row. */
int st_fs_refuses(struct st_call *call)
{
    const struct st_plan *plan = st_state.plan;
    const struct st_call_entry *entry = ST_PLAN_AT(struct st_call_entry, plan->calls) + call->sysno;
    int judged = (plan->flags & ST_PLAN_FS_CLOSED) || plan->fs_deny.count;
    if (!judged && !(plan->flags & ST_PLAN_AUDIT)) return 0;
    for (uint32_t which = 0; which < entry->paths.count && which < 2; which++) {
        const struct st_path_use *use = ST_PLAN_AT(struct st_path_use, plan->paths) + entry->paths.first + which;
        if (!judged) { /* only to be told, as it was given: finding the object costs a readlink for each component */
            call->grants[which] = grants_of(call, use);
            if (call->path_length[which] > 0) st_used(call, plan->fs_row, call->path[which], (uint32_t)call->path_length[which]);
            continue;
        }
        int r = st_resolve(call, which);
        if (r == 0) continue;
        call->rule_row = plan->fs_row;
        if (r < 0) return ST_EACCES;
        const uint8_t *path = call->resolved[which];
        uint32_t length = (uint32_t)call->resolved_length[which];
        call->grants[which] = grants_of(call, use);
        if (listed(plan->fs_deny, path, length, &call->rule_row)) return ST_EACCES;
        if ((plan->flags & ST_PLAN_FS_CLOSED) && !granted(plan, looks(call, use), call->grants[which], path, length)) {
            call->quiet = listed(plan->fs_quiet, path, length, NULL) != 0;
            return ST_EACCES;
        }
        used(call, which, use);
    }
    return 0;
}
