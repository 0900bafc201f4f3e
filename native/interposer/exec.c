/* Exec: every program is started by the loader (loader.c), under the filter that is there already. What exec can refuse is
 * refused here, while an errno can still be returned; then the call becomes one of the blob itself, with two more words in
 * front of argv: what the loader needs, and the name that was executed. */
#include "image.h"

#define AT_FDCWD ((uint64_t)-100)
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EACCESS 0x200
#define AT_EMPTY_PATH 0x1000
#define AT_EXECVE_CHECK 0x10000
#define F_GETFD 1
#define F_SETFD 2
#define F_DUPFD_CLOEXEC 1030
#define O_CLOEXEC 02000000
#define O_NOFOLLOW 0400000
#define O_NONBLOCK 04000

#define FRONT 16    /* words in front of argv: two for the loader, two for each interpreter line */
#define LEVELS 5    /* interpreters of interpreters, as in the kernel */
#define HEAD 256    /* bytes of a script that are looked at, as in the kernel */
#define TEXT 0x3000 /* two paths, the interpreter lines and the orders */
#define ARGUMENTS 0x100000

/* An exec being prepared, in memory of its own: the words of argv, then texts. */
struct prepared {
    uint64_t *words;
    uint32_t first; /* index of argv[0] among the words */
    uint8_t *text;
    uint32_t used;
    int32_t fd, interpreter;
    int inaccessible; /* known by a descriptor that the exec closes: no interpreter could open it */
    struct st_elf elf;
};

struct stat {
    uint64_t device, inode, links;
    uint32_t mode, uid, gid, pad;
    uint8_t rest[104];
};

/* ---- texts ----------------------------------------------------------------------------------------- */

static uint8_t *put(struct prepared *p, const void *text, uint64_t length)
{
    uint8_t *at = p->text + p->used;
    if (p->used + length + 1 > TEXT) return NULL;
    memcpy(at, text, length);
    at[length] = 0;
    p->used += (uint32_t)length + 1;
    return at;
}

uint8_t *st_put_number(uint8_t *at, int64_t value)
{
    uint8_t digits[20];
    uint32_t n = 0;
    if (value < 0) *at++ = '-', value = -value;
    do digits[n++] = (uint8_t)('0' + value % 10);
    while (value /= 10);
    while (n) *at++ = digits[--n];
    *at = 0;
    return at;
}

/* ---- memory ---------------------------------------------------------------------------------------- */

/* What a failed exec, or a vfork child's that went well, leaves in this address space. */
void st_exec_release(struct st_block *block, int own_descriptors)
{
    const struct st_exec exec = block->exec;
    if (!exec.memory) return;
    /* First: a process that another thread forks now must not give back what somebody else gets meanwhile. */
    __atomic_store_n(&block->exec.memory, 0, __ATOMIC_SEQ_CST);
    if (own_descriptors) {
        if (exec.fd >= 0) ST_SYS(__NR_close, exec.fd);
        if (exec.interpreter >= 0) ST_SYS(__NR_close, exec.interpreter);
    }
    if (exec.size) ST_SYS(__NR_munmap, exec.memory, exec.size);
}

/* In a new process, st_state.pid still its parent's: what other threads there had opened for execs of their own is not for
 * this one to keep. */
void st_exec_forget(const struct st_block *own)
{
    for (uint32_t i = 0; i <= st_state.blocks; i++) {
        const struct st_exec *exec = &st_block_at(i)->exec;
        if (i == own->index || !st_records[i].published || !exec->memory || exec->pid != st_state.pid) continue;
        if (exec->fd >= 0) ST_SYS(__NR_close, exec->fd);
        if (exec->interpreter >= 0) ST_SYS(__NR_close, exec->interpreter);
    }
}

/* Copies argv. Returns 0 or -errno. */
static int64_t gather(struct st_block *block, struct prepared *p, uint64_t argv)
{
    uint64_t count = 0, word = 1;
    for (; argv; count++) {
        if (st_copy_in(&word, (const void *)(argv + 8 * count), 8) < 0) return -ST_EFAULT;
        if (!word) break;
        if (count == ARGUMENTS) return -ST_E2BIG;
    }
    uint64_t words = (FRONT + count + 2) * 8, size = words + TEXT > sizeof block->arguments ? (words + TEXT + 4095) & ~4095ull : 0;
    int64_t at = size ? ST_SYS(__NR_mmap, 0, size, 3, 0x22 /* PRIVATE, ANONYMOUS */, -1, 0) : (int64_t)block->arguments;
    if (at < 0) return at;
    block->exec = (struct st_exec){(uint64_t)at, size, -1, -1, (int32_t)ST_SYS(__NR_getpid)};
    p->words = (uint64_t *)at;
    p->first = FRONT;
    p->text = (uint8_t *)at + words;
    for (uint64_t i = 0; i < count; i++)
        if (st_copy_in(&p->words[FRONT + i], (const void *)(argv + 8 * i), 8) < 0) return -ST_EFAULT;
    if (!count) p->words[FRONT + count++] = (uint64_t)put(p, "", 0); /* as the kernel has it since 5.18 */
    p->words[FRONT + count] = 0;
    return 0;
}

/* ---- files ------------------------------------------------------------------------------------------ */

/* Whether exec would take a file. The kernel is asked to check its own way, since 6.14, up to where it reads argv: that the
 * file is good is all that is wanted, and what comes behind costs as much again. Landlock may refuse it what only the loader
 * is to start, and older kernels do not know the question: then the file is looked at, and whether somebody writes to it
 * right now cannot be told. Returns 0 or exec's -errno. */
static int64_t check_file(uint64_t dirfd, const uint8_t *path, uint64_t flags)
{
    struct stat status;
    const uint64_t unreadable = ~0ull;
    int64_t r = ST_SYS(__NR_execveat, dirfd, path, unreadable, unreadable, flags | AT_EXECVE_CHECK);
    if (r == -ST_ETXTBSY) return r;
    if (r == -ST_EFAULT) return 0;
    r = ST_SYS(__NR_newfstatat, dirfd, path, &status, flags);
    if (r < 0) return r;
    if ((status.mode & 0170000) == 0120000) return -ST_ELOOP;
    if ((status.mode & 0170000) != 0100000) return -ST_EACCES;
    return ST_SYS(__NR_faccessat2, dirfd, path, 1 /* X_OK */, AT_EACCESS | flags);
}

/* Opens what is to be executed. Returns a descriptor or exec's -errno. Close-on-exec until the exec itself: another thread
 * may start a program meanwhile. */
static int64_t open_program(uint64_t dirfd, const uint8_t *path, uint64_t flags)
{
    uint64_t nofollow = flags & AT_SYMLINK_NOFOLLOW;
    int64_t r = check_file(dirfd, path, flags);
    if (r < 0) return r;
    if (*path) return ST_SYS(__NR_openat, dirfd, path, O_NONBLOCK | O_CLOEXEC | (nofollow ? O_NOFOLLOW : 0), 0);
    uint8_t name[40] = "/proc/self/fd/";
    st_put_number(name + 14, (int64_t)dirfd);
    r = ST_SYS(__NR_openat, AT_FDCWD, name, O_NONBLOCK | O_CLOEXEC, 0);
    return r == -ST_ENOENT ? ST_SYS(__NR_fcntl, dirfd, F_DUPFD_CLOEXEC, 0) : r;
}

/* The same for what a program names; here no name is the working directory, which nobody can execute. */
static int64_t open_interpreter(const uint8_t *path)
{
    return *path ? open_program(AT_FDCWD, path, 0) : -ST_EACCES;
}

/* The name that execveat goes by where it is given a descriptor. */
static const uint8_t *shown_name(struct prepared *p, uint64_t dirfd, const uint8_t *path)
{
    if (dirfd == AT_FDCWD || *path == '/') return put(p, path, st_length(path));
    uint8_t name[40] = "/dev/fd/", *start = p->text + p->used;
    uint8_t *end = st_put_number(name + 8, (int32_t)dirfd);
    if (!*path) return put(p, name, (uint64_t)(end - name));
    if (!put(p, name, (uint64_t)(end - name))) return NULL;
    p->text[p->used - 1] = '/';
    return put(p, path, st_length(path)) ? start : NULL;
}

/* ---- interpreter lines ------------------------------------------------------------------------------- */

static int blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static uint8_t *past_blanks(uint8_t *at, uint8_t *last)
{
    for (; at <= last; at++)
        if (!blank(*at)) return at;
    return NULL;
}

static uint8_t *word_end(uint8_t *at, uint8_t *last)
{
    for (; at <= last; at++)
        if (blank(*at) || !*at) return at;
    return NULL;
}

/* "#! interpreter argument": both as texts, argument NULL where there is none. Returns 0 or -ENOEXEC. */
static int64_t read_line(struct prepared *p, uint8_t head[HEAD], const uint8_t **interpreter, const uint8_t **argument)
{
    uint8_t *last = head + HEAD - 1, *end = head;
    while (end < head + HEAD && *end != '\n') end++;
    if (end == head + HEAD) { /* cut off: only arguments may be */
        end = past_blanks(head + 2, last);
        if (!end || !word_end(end, last)) return -ST_ENOEXEC;
        end = last;
    }
    while (blank(end[-1])) end--;
    uint8_t *name = past_blanks(head + 2, end);
    if (!name || name == end) return -ST_ENOEXEC;
    uint8_t *stop = word_end(name, end), *rest = stop && *stop ? past_blanks(stop, end) : NULL;
    if (!stop || stop > end) stop = end;
    *interpreter = put(p, name, (uint64_t)(stop - name));
    uint8_t *rest_end = rest;
    while (rest && rest_end < end && *rest_end) rest_end++;
    *argument = rest && rest_end > rest ? put(p, rest, (uint64_t)(rest_end - rest)) : NULL;
    return *interpreter ? 0 : -ST_ENOEXEC;
}

/* The policy's word on a program that the call itself did not name. */
static int64_t may_execute(struct st_block *block, const uint8_t *path)
{
    struct st_call *call = &block->call;
    uint64_t kept = call->args[0];
    uint32_t length = st_length(path);
    int32_t sysno = call->sysno;
    call->sysno = __NR_execve;
    call->args[0] = (uint64_t)path;
    memcpy(call->path[0], path, length + 1);
    call->path_length[0] = (int32_t)length;
    call->resolved_length[0] = -1;
    int error = st_fs_refuses(call);
    if (error) {
        st_report(call, ST_RECORD_VIOLATION, call->rule_row, -error, NULL, 0);
        if (st_state.plan->flags & ST_PLAN_AUDIT) error = 0;
    }
    call->sysno = sysno;
    call->args[0] = kept;
    return -error;
}

/* From a script to its interpreter, until one is no script. `name`: what p->fd was opened by. */
static int64_t follow_scripts(struct st_block *block, struct prepared *p, const uint8_t *name)
{
    for (int level = 0;; level++) {
        uint8_t *head = p->elf.head;
        const uint8_t *interpreter, *argument;
        int64_t n = st_elf_open(p->fd, &p->elf);
        if (n < 0) return n;
        if (head[0] != '#' || head[1] != '!') return 0;
        if (level == LEVELS) return -ST_ELOOP;
        n = read_line(p, head, &interpreter, &argument);
        if (n < 0) return n;
        if (p->inaccessible) return -ST_ENOENT;
        p->words[p->first] = (uint64_t)name;
        if (argument) p->words[--p->first] = (uint64_t)argument;
        p->words[--p->first] = (uint64_t)interpreter;
        n = may_execute(block, interpreter);
        if (n < 0) return n;
        n = open_interpreter(interpreter);
        if (n < 0) return n;
        ST_SYS(__NR_close, p->fd);
        p->fd = block->exec.fd = (int32_t)n;
        name = interpreter;
    }
}

/* ---- programs ---------------------------------------------------------------------------------------- */

static const uint8_t i386_note[] = "a program for i386 cannot be run: its calls would not be seen";
static const uint8_t address_note[] = "a program that must lie where the interposer does cannot be run";
static const uint8_t privilege_note[] = "a set-id program or one with capabilities runs without its privilege";

static void note(struct st_block *block, const uint8_t *text, uint32_t size)
{
    st_report_once(&block->call, text, size - 1);
}

static void note_privilege(struct st_block *block, int32_t fd)
{
    struct stat status;
    if (ST_SYS(__NR_fstat, fd, &status) < 0) return;
    int set_id = (status.mode & 04000) || (status.mode & 02010) == 02010;
    if (set_id || ST_SYS(__NR_fgetxattr, fd, "security.capability", 0, 0) > 0) note(block, privilege_note, sizeof privilege_note);
}

/* The program and its ELF interpreter, as far as exec looks at them. */
static int64_t check_program(struct st_block *block, struct prepared *p)
{
    int64_t r = st_elf_read(p->fd, &p->elf);
    if (r == -ST_EIO) r = -ST_ENOEXEC; /* the kernel sees zeros behind the end */
    if (r < 0) {
        if (!memcmp(p->elf.head, ELFMAG, SELFMAG) && p->elf.head[EI_CLASS] == ELFCLASS32) note(block, i386_note, sizeof i386_note);
        return r;
    }
    if (p->elf.wants_ours) {
        note(block, address_note, sizeof address_note);
        return -ST_ENOMEM;
    }
    note_privilege(block, p->fd);
    if (!p->elf.has_interpreter) return 0;
    uint8_t *path = p->text + p->used;
    int64_t length = (int64_t)p->elf.interpreter_length;
    if (length < 2 || length > ST_PATH_MAX || p->used + (uint64_t)length + 1 > TEXT) return -ST_ENOEXEC;
    if (st_elf_bytes(p->fd, &p->elf, path, (uint64_t)length, p->elf.interpreter) != length) return -ST_EIO;
    if (path[length - 1]) return -ST_ENOEXEC;
    p->used += (uint32_t)length;
    r = open_interpreter(path);
    if (r < 0) return r;
    p->interpreter = block->exec.interpreter = (int32_t)r;
    st_elf_open(p->interpreter, &p->elf);
    r = st_elf_read(p->interpreter, &p->elf);
    return r == -ST_ENOEXEC ? -ST_ELIBBAD : r;
}

/* ---- the call ------------------------------------------------------------------------------------------ */

/* The loader's two words: what it is to do, and the name for AT_EXECFN. */
static int64_t put_orders(struct st_block *block, struct prepared *p, const uint8_t *name)
{
    uint8_t line[sizeof ST_ORDERS + 10 * 21] = ST_ORDERS, *at = line + sizeof ST_ORDERS - 1;
    st_mask ignored, blocked = block->exec_mask;
    int64_t signals = st_signals_keep(block, &ignored), low = 0xffffffff;
    const int64_t numbers[] = {ST_ABI,
                               p->fd,
                               p->interpreter,
                               signals,
                               (int64_t)(blocked >> 32),
                               (int64_t)blocked & low,
                               (int64_t)(ignored >> 32),
                               (int64_t)ignored & low,
                               block->tid,
                               block->call.sysno};
    for (uint32_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        at = st_put_number(at, numbers[i]);
        *at++ = ' ';
    }
    p->words[--p->first] = (uint64_t)name;
    p->words[--p->first] = (uint64_t)put(p, line, (uint64_t)(at - line));
    return p->words[p->first] ? 0 : -ST_E2BIG;
}

/* Everything up to the call itself. name: what the program shall think it was executed as. Returns 0 and the arguments of
 * an execveat, or exec's -errno. */
int64_t st_exec_prepare(struct st_block *block, uint64_t dirfd, const uint8_t *path, const uint8_t *name, uint64_t argv, uint64_t envp,
                        uint64_t flags, uint64_t out[6])
{
    struct prepared p = {.fd = -1, .interpreter = -1};
    if (flags & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) return -ST_EINVAL;
    if (!*path && !(flags & AT_EMPTY_PATH)) return -ST_ENOENT;
    st_exec_release(block, 1); /* of one that a signal interrupted: it is made again */
    int64_t r = open_program(dirfd, path, flags);
    if (r < 0) return r;
    p.fd = (int32_t)r;
    r = gather(block, &p, argv);
    if (r < 0) {
        ST_SYS(__NR_close, p.fd);
        st_exec_release(block, 0);
        return r;
    }
    block->exec.fd = p.fd;
    p.inaccessible = dirfd != AT_FDCWD && *path != '/' && (ST_SYS(__NR_fcntl, dirfd, F_GETFD) & 1 /* FD_CLOEXEC */);
    name = shown_name(&p, dirfd, name);
    r = name ? follow_scripts(block, &p, name) : -ST_ENAMETOOLONG;
    if (r >= 0) r = check_program(block, &p);
    if (r >= 0) r = put_orders(block, &p, name);
    if (r < 0) {
        st_exec_release(block, 1);
        return r;
    }
    ST_SYS(__NR_fcntl, p.fd, F_SETFD, 0);
    if (p.interpreter >= 0) ST_SYS(__NR_fcntl, p.interpreter, F_SETFD, 0);
    out[0] = ST_KEPT_BLOB;
    out[1] = (uint64_t) "";
    out[2] = (uint64_t)&p.words[p.first];
    out[3] = envp;
    out[4] = AT_EMPTY_PATH;
    out[5] = 0;
    return 0;
}

/* A debugger's child asks to be traced, then execs. In between no SIGSYS may happen: it would stop the child, and a
 * debugger that waits in vfork could not let it go on. So the call is made when nothing of ours comes any more. */
void st_trace_me(struct st_block *block)
{
    if (block->traceme) ST_SYS(__NR_ptrace, 0, 0, 0, 0);
    block->traceme = 0;
}

/* Both calls' own part: `given` is where the program has its path, 0 if nobody knows any more. mask: the program's. */
static int64_t prepare_call(struct st_block *block, struct st_call *call, uint64_t given, st_mask mask, uint64_t out[6])
{
    int at = call->sysno == __NR_execveat;
    const uint64_t *a = call->args;
    if (call->path_length[0] < 0) {
        int64_t length = st_copy_string(call->path[0], (const void *)a[at], ST_PATH_MAX);
        if (length < 0 || length == ST_PATH_MAX) return length < 0 ? -ST_EFAULT : -ST_ENAMETOOLONG;
        if (st_is_exe_link(call->path[0])) st_exe_path(call->path[0]);
    }
    uint8_t path[ST_PATH_MAX], link[sizeof "/proc/thread-self/exe"];
    int64_t size = st_copy_string(link, (const void *)given, sizeof link);
    int by_link = size > 0 && size < (int64_t)sizeof link && st_is_exe_link(link);
    block->exec_mask = mask;
    memcpy(path, call->path[0], st_length(call->path[0]) + 1); /* the copy in the call is used for interpreters */
    uint64_t directory = at ? (uint64_t)(int32_t)a[0] : AT_FDCWD;
    return st_exec_prepare(block, directory, path, by_link ? link : path, a[at ? 2 : 1], a[at ? 3 : 2], at ? a[4] : 0, out);
}

/* execve and execveat of the program: resumed as the blob's, through the post-stub: if the kernel still refuses, what was
 * opened is closed again. All signals wait until the loader has done its work: for the program there is no such time, and
 * a debugger stops at the exec's SIGTRAP, when there is a program to be seen. */
void st_exec(struct st_block *block, struct st_context *uc, struct st_call *call)
{
    uint64_t out[6];
    int64_t r = prepare_call(block, call, call->sysno == __NR_execveat ? uc->regs.rsi : uc->regs.rdi, uc->mask, out);
    if (r < 0) {
        uc->regs.rax = (uint64_t)r;
        return;
    }
    st_trace_me(block);
    st_pass_hooked(block, uc, out);
    struct st_record *record = &st_records[block->index];
    record->mask = uc->mask;
    uc->mask = ST_ALL_BLOCKED;
    uc->regs.rax = __NR_execveat;
}

/* The same after handlers have let it pass: made here, on the program's stack. Returns only if it fails. */
int64_t st_exec_now(struct st_block *block, struct st_call *call, st_mask mask)
{
    uint64_t out[6];
    st_mask all = ST_ALL_BLOCKED;
    memcpy(&block->call, call, offsetof(struct st_call, path)); /* the handlers' own calls were in it */
    int64_t r = prepare_call(block, call, 0, mask, out);
    if (r < 0) return r;
    ST_SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, 0, 8);
    st_trace_me(block);
    r = ST_SYS(__NR_execveat, out[0], out[1], out[2], out[3], out[4], 0);
    st_exec_release(block, 1);
    ST_SYS(__NR_rt_sigprocmask, 2, &mask, 0, 8);
    return r;
}

/* ---- /proc/self/exe ------------------------------------------------------------------------------------- */

static const uint8_t *past(const uint8_t *text, const char *word)
{
    for (; *word; word++, text++)
        if (*text != (uint8_t)*word) return NULL;
    return text;
}

/* Whether a path is the link to this process's program, which the kernel takes the loader for. */
int st_is_exe_link(const uint8_t *path)
{
    uint8_t own[32] = "/proc/";
    const uint8_t *rest;
    if (!st_state.loaded || !(rest = past(path, "/proc/"))) return 0;
    if ((rest = past(path, "/proc/self/exe")) && !*rest) return 1;
    if ((rest = past(path, "/proc/thread-self/exe")) && !*rest) return 1;
    st_put_number(own + 6, st_state.pid);
    return (rest = past(path, (const char *)own)) && (rest = past(rest, "/exe")) && !*rest;
}

#define KEPT_LINK "/proc/self/fd/1004"
_Static_assert(ST_KEPT_PROGRAM == 1004, "its link is named here");
enum { KEPT = 1, NAMED };

/* The program's file, for as long as it runs: the kernel's own link, which is read when somebody asks, follows it where it
 * is moved to and leads to it when it has no name any more. A number beyond `ulimit -n` cannot be made: then it has the name
 * that it has now. */
void st_keep_exe(int32_t fd)
{
    uint8_t link[40] = "/proc/self/fd/";
    st_state.loaded = ST_SYS(__NR_dup3, fd, ST_KEPT_PROGRAM, 0) < 0 ? NAMED : KEPT;
    if (st_state.loaded == KEPT) return;
    st_put_number(link + 14, fd);
    ST_SYS(__NR_readlink, link, st_rare.exe, ST_PATH_MAX - 1);
}

/* What readlink says of /proc/self/exe. Returns its length, or -errno; out: ST_PATH_MAX bytes. */
int64_t st_read_exe(uint8_t *out)
{
    int named = st_state.loaded == NAMED;
    int64_t n = named ? st_length(st_rare.exe) : ST_SYS(__NR_readlink, KEPT_LINK, out, ST_PATH_MAX - 1);
    if (named) memcpy(out, st_rare.exe, (uint64_t)n);
    if (n >= 0) out[n] = 0;
    return n;
}

/* A path to the program's file: the name that a report should show, or, if it has none any more, the kept descriptor's. */
int64_t st_exe_path(uint8_t *out)
{
    static const uint8_t deleted[] = " (deleted)";
    const int64_t cut = sizeof deleted - 1;
    int64_t n = st_read_exe(out);
    if (st_state.loaded == NAMED || (n > cut && memcmp(out + n - cut, deleted, cut))) return n;
    memcpy(out, KEPT_LINK, sizeof KEPT_LINK);
    return sizeof KEPT_LINK - 1;
}
