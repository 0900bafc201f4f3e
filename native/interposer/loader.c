/* The blob as a program: what every exec of a run starts. Arms the interposer, maps the program that the orders name and
 * its ELF interpreter, and jumps there with the stack, the auxiliary vector and the process's own description as a plain
 * exec would have left them. */
#include "image.h"

#define PR_SET_NAME 15
#define PR_GET_NAME 16
#define PR_SET_MM 35
#define PR_SET_MM_MAP 14
#define ADDR_NO_RANDOMIZE 0x40000
#define PIE_BASE 0x555555554000ull
#define AUXV_WORDS 64

struct mm_map { /* struct prctl_mm_map */
    uint64_t start_code, end_code, start_data, end_data, start_brk, brk, start_stack, arg_start, arg_end, env_start, env_end;
    uint64_t *auxv;
    uint32_t auxv_size, exe_fd;
};

struct orders {
    int64_t abi, fd, interpreter, signals;
    st_mask mask, ignored;
    int64_t tid, sysno; /* who has called exec, and which */
};

static void say(const char *text)
{
    ST_SYS(__NR_write, 2, text, st_length((const uint8_t *)text));
}

static _Noreturn void fail_with(const char *what, const uint8_t *more)
{
    say(what);
    say((const char *)more);
    say("\n");
    for (;;) ST_SYS(__NR_exit_group, 126);
}

static _Noreturn void fail(const char *what)
{
    say("selftrace: cannot start a program: ");
    fail_with(what, (const uint8_t *)"");
}

/* Of a policy, a ring or orders that another selftrace made: both versions are named. */
static _Noreturn void fail_version(const char *what, int64_t theirs)
{
    uint8_t digits[24];
    st_put_number(digits, theirs);
    say("selftrace: cannot start a program: its ");
    say(what);
    say(" is of version ");
    say((const char *)digits);
    st_put_number(digits, ST_ABI);
    fail_with(" and the loader of version ", digits);
}

/* Exec took the file, but it cannot be mapped: a plain exec ends in this signal too. */
static _Noreturn void die(const char *what)
{
    const struct st_sigaction none = {0};
    const st_mask open = ST_BIT(ST_SIGSEGV);
    struct st_call *call = &st_block_at(0)->call;
    call->tid = st_state.main_tid;
    call->sysno = __NR_execve;
    call->path_length[0] = (int32_t)st_read_exe(call->path[0]);
    call->path_length[1] = -1;
    st_report_once(call, (const uint8_t *)what, st_length((const uint8_t *)what));
    ST_SYS(__NR_rt_sigaction, ST_SIGSEGV, &none, 0, 8);
    ST_SYS(__NR_rt_sigprocmask, 1 /* SIG_UNBLOCK */, &open, 0, 8);
    ST_SYS(__NR_tkill, st_state.main_tid, ST_SIGSEGV);
    for (;;) ST_SYS(__NR_exit_group, 126);
}

static int64_t number(const uint8_t **at)
{
    int64_t value = 0, sign = 1;
    if (**at == '-') sign = -1, (*at)++;
    while (**at >= '0' && **at <= '9') value = 10 * value + *(*at)++ - '0';
    if (**at == ' ') (*at)++;
    return sign * value;
}

static st_mask mask(const uint8_t **at)
{
    st_mask high = (st_mask)number(at) << 32;
    return high | (st_mask)number(at);
}

/* ---- arming ------------------------------------------------------------------------------------------- */

static const void *map_whole(int32_t fd, uint64_t protection, uint64_t flags, uint64_t at, uint64_t *size)
{
    uint64_t status[18];
    if (ST_SYS(__NR_fstat, fd, status) < 0) return NULL;
    *size = status[6];
    int64_t r = ST_SYS(__NR_mmap, at, *size, protection, flags | 0x100000 /* FIXED_NOREPLACE */, fd, 0);
    return r < 0 ? NULL : (const void *)r;
}

static const struct st_bundle *bundle; /* NULL: no Python can be put into programs */

static void map_bundle(void)
{
    uint64_t size;
    const struct st_bundle *found = map_whole(ST_KEPT_BUNDLE, 1, 2, ST_BUNDLE_ADDRESS, &size);
    if (!found || size < sizeof *found) return;
    if (found->magic == ST_BUNDLE_MAGIC && found->abi != ST_ABI) fail_version("handlers", found->abi);
    if (found->magic != ST_BUNDLE_MAGIC || found->size != size) fail("its handlers are not whole");
    bundle = found;
}

/* What brings Python to the handlers, or the reader of Python stacks to the program; NULL: nothing does. */
static const uint8_t *shim(void)
{
    const struct st_plan *plan = st_state.plan;
    if (bundle) return (const uint8_t *)bundle + bundle->shim.offset;
    return plan->flags & ST_PLAN_STACK_PYTHON ? ST_PLAN_AT(uint8_t, plan->texts) + plan->shim.offset : NULL;
}

static struct st_ring_header *map_ring(uint64_t at, uint64_t size, uint64_t offset)
{
    int64_t r = ST_SYS(__NR_mmap, at, size, 3 /* read, write */, 0x100001 /* MAP_SHARED | FIXED_NOREPLACE */, ST_KEPT_RING, offset);
    return r < 0 ? NULL : (struct st_ring_header *)r;
}

static void arm(int first, int32_t landlock_fd)
{
    struct st_arm from = {.landlock_fd = landlock_fd};
    from.plan = map_whole(ST_KEPT_PLAN, 1, 2, ST_PLAN_ADDRESS, &from.plan_size);
    from.ring = map_ring(ST_RING_ADDRESS, ST_RING_BYTES, 0);
    if (!from.plan || !from.ring) fail("its policy or its ring is gone");
    const struct st_plan *plan = from.plan;
    if (from.ring->abi != ST_ABI) fail_version("ring", from.ring->abi);
    const struct st_ring_header *ring = from.ring;
    if (ring->trace_size && !map_ring(ST_TRACE_ADDRESS, ring->trace_size, ring->trace_offset)) fail("there is no room for its trace");
    if (plan->magic == ST_PLAN_MAGIC && plan->abi != ST_ABI) fail_version("policy", plan->abi);
    if (plan->flags & ST_PLAN_PYTHON) map_bundle();
    int64_t r = st_arm_process(&from, first);
    if (r < 0) fail("the interposer could not be armed");
}

/* ---- the stack as the kernel left it ---------------------------------------------------------------------- */

struct stack {
    uint64_t *sp; /* argc, argv, 0, envp, 0, auxv */
    uint64_t *auxv;
    uint32_t auxv_words;
};

static void read_stack(struct stack *stack, uint64_t *sp)
{
    uint64_t *at = sp + 1 + sp[0] + 1;
    while (*at) at++;
    stack->sp = sp;
    stack->auxv = at + 1;
    for (stack->auxv_words = 2; stack->auxv[stack->auxv_words - 2]; stack->auxv_words += 2) {}
}

static void set_auxv(struct stack *stack, const struct st_elf *elf, const struct st_image *program, uint64_t base, uint64_t name)
{
    for (uint64_t *at = stack->auxv; at[0]; at += 2) {
        switch (at[0]) {
        case AT_PHDR: at[1] = program->headers; break;
        case AT_PHNUM: at[1] = elf->header.e_phnum; break;
        case AT_BASE: at[1] = base; break;
        case AT_ENTRY: at[1] = program->entry; break;
        case AT_EXECFN: at[1] = name; break;
        case AT_SYSINFO_EHDR:
            if (st_state.plan->flags & ST_PLAN_NO_VDSO) at[0] = AT_IGNORE;
            break;
        default: break;
        }
    }
}

/* All of the stack: the kernel's own name of the program is the last thing on it. */
static void make_executable(const struct stack *stack)
{
    uint64_t low = (uint64_t)stack->sp & ~4095ull, high = low + 4096;
    for (const uint64_t *at = stack->auxv; at[0]; at += 2)
        if (at[0] == AT_EXECFN) high = (at[1] + 4095) & ~4095ull;
    ST_SYS(__NR_mprotect, low, high - low, 7 | 0x01000000 /* PROT_GROWSDOWN */);
}

/* For the places of the program and of its heap; zeros where the process has done without. */
static void draw(uint64_t random[2])
{
    int64_t persona = ST_SYS(__NR_personality, 0xffffffff);
    random[0] = random[1] = 0;
    if (persona < 0 || !(persona & ADDR_NO_RANDOMIZE)) ST_SYS(__NR_getrandom, random, 16, 1 /* NONBLOCK */);
}

/* What /proc/PID shows, and where brk begins. Kernels without CONFIG_CHECKPOINT_RESTORE refuse: brk then lies behind the
 * blob, and /proc shows the loader's words. */
static void describe(const struct stack *stack, const struct st_image *program, uint64_t brk)
{
    const uint64_t *argv = stack->sp + 1, *envp = argv + stack->sp[0] + 1;
    uint64_t count = 0;
    while (envp[count]) count++;
    uint64_t arg_start = argv[0], arg_end = argv[stack->sp[0] - 1] + st_length((const uint8_t *)argv[stack->sp[0] - 1]) + 1;
    uint64_t env_start = count ? envp[0] : arg_end,
             env_end = count ? envp[count - 1] + st_length((const uint8_t *)envp[count - 1]) + 1 : arg_end;
    struct mm_map map = {program->code_low,     program->code_high, program->data_low, program->data_high, brk,     brk,
                         (uint64_t)stack->sp,   arg_start,          arg_end,           env_start,          env_end, stack->auxv,
                         stack->auxv_words * 8, (uint32_t)-1};
    ST_SYS(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

/* The two words of orders are taken off: sixteen bytes, so that the stack stays aligned. */
static void drop_orders(struct stack *stack)
{
    stack->sp[2] = stack->sp[0] - 2;
    stack->sp += 2;
}

/* ---- programs ------------------------------------------------------------------------------------------ */

static uint64_t pie_hint(const struct st_elf *elf, uint64_t random)
{
    uint64_t hint = PIE_BASE + ((random & 0xfffffff) << 12);
    return hint & ~(elf->align - 1);
}

/* random: for where a program lies that can move. NULL: it lies where the kernel likes. */
static void map_file(int32_t fd, struct st_elf *elf, struct st_image *image, const uint64_t *random)
{
    st_elf_open(fd, elf);
    if (st_elf_read(fd, elf) < 0) die("a program changed while it was started");
    if (!elf->high || elf->malformed) die("a program's file makes no sense and cannot be mapped");
    int64_t base = 0;
    if (elf->header.e_type == ET_DYN) {
        base = random ? st_elf_reserve(elf, pie_hint(elf, *random)) : -1;
        if (base < 0) base = st_elf_reserve(elf, 0);
        if (base < 0) die("there is no address space for a program");
    }
    if (st_elf_map(fd, elf, (uint64_t)base, image) < 0) die("a program cannot be mapped");
}

static const uint8_t *last_part(const uint8_t *path)
{
    const uint8_t *name = path;
    for (const uint8_t *at = path; *at; at++)
        if (*at == '/') name = at + 1;
    return name;
}

static int begins(const uint8_t *text, const char *word)
{
    for (; *word; word++, text++)
        if (*text != (uint8_t)*word) return 0;
    return 1;
}

/* The thread's name. A program that was given by descriptor alone is named after its file since 6.14: as the kernel has
 * just named us, who are executed in that way, and not after the descriptor. */
static void set_name(const uint8_t *path)
{
    static const uint8_t deleted[] = " (deleted)";
    uint8_t name[16] = {0}, ours[16] = {0}, *file = st_block_at(0)->call.path[0];
    const uint8_t *from = last_part(path);
    uint32_t length = st_length(from);
    int by_descriptor = begins(path, "/dev/fd/") && from == path + 8;
    if (by_descriptor) ST_SYS(__NR_prctl, PR_GET_NAME, ours, 0, 0, 0);
    if (by_descriptor && ours[0] != '1' && st_read_exe(file) > 0) {
        from = last_part(file);
        length = st_length(from);
        uint32_t cut = sizeof deleted - 1;
        if (length > cut && !memcmp(from + length - cut, deleted, cut)) length -= cut;
    }
    memcpy(name, from, length < sizeof name ? length : sizeof name - 1);
    ST_SYS(__NR_prctl, PR_SET_NAME, name, 0, 0, 0);
}

/* The call that brought us here has returned 0, if in another program. Where another thread than the first has made it, that
 * is said before: it is the first thread's from now on. */
static void trace_exec(const struct stack *stack, const struct orders *orders, const struct st_object objects[2])
{
    struct st_block *block = st_block_at(0);
    const uint64_t args[6] = {stack->sp[1], (uint64_t)(stack->sp + 1), 0, 0, 0, 0};
    int moved = orders->tid != block->tid;
    if (moved) st_trace_exec(block, (int32_t)orders->tid, objects);
    if (st_traced(block, (int32_t)orders->sysno)) st_trace_exit(block, (int32_t)orders->sysno, args, 0, 0);
    if (!moved) st_trace_exec(block, block->tid, objects);
}

/* Where the file of a descriptor has been mapped, said while the descriptor is still open. */
static void note_object(struct st_object *object, int32_t fd, const struct st_elf *elf, const struct st_image *image)
{
    if (!(st_state.plan->flags & ST_PLAN_STACK)) return;
    object->length = st_capture_link(fd, object->path, sizeof object->path);
    object->low = image->base + elf->low;
    object->high = image->base + elf->high;
}

static uint64_t features(const struct stack *stack)
{
    for (const uint64_t *at = stack->auxv; at[0]; at += 2)
        if (at[0] == AT_HWCAP2) return at[1];
    return 0;
}

static _Noreturn void start(struct stack *stack, const struct orders *orders)
{
    struct st_elf elf, other;
    struct st_image program, interpreter = {0};
    struct st_object objects[2] = {{0}, {0}};
    uint64_t name = stack->sp[2], random[2];
    st_signals_kept(st_block_at(0), (uint32_t)orders->signals, orders->ignored);
    draw(random);
    map_file((int32_t)orders->fd, &elf, &program, orders->interpreter >= 0 ? random : NULL);
    note_object(&objects[0], (int32_t)orders->fd, &elf, &program);
    ST_SYS(__NR_close, orders->fd);
    if (orders->interpreter >= 0) {
        map_file((int32_t)orders->interpreter, &other, &interpreter, NULL);
        note_object(&objects[1], (int32_t)orders->interpreter, &other, &interpreter);
        ST_SYS(__NR_close, orders->interpreter);
    }
    if (elf.executable_stack) make_executable(stack);
    drop_orders(stack);
    set_auxv(stack, &elf, &program, interpreter.base, name);
    /* a program that moves and has no ld.so, or is it, lies among the mappings: no room to grow there */
    int in_the_way = elf.header.e_type == ET_DYN && orders->interpreter < 0;
    describe(stack, &program, (in_the_way ? PIE_BASE : program.end) + (random[1] & 0x1fff) * 4096);
    if (shim() && orders->interpreter >= 0) stack->sp = st_with_shim(stack->sp, shim());
    set_name((const uint8_t *)name);
    st_state.ldso_low = interpreter.code_low;
    st_state.ldso_high = interpreter.code_high;
    st_patch_own(st_state.plan, features(stack));
    st_seal();
    if (st_state.ring->armed == 1) st_state.ring->armed = 2;
    trace_exec(stack, orders, objects);
    ST_SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &orders->mask, 0, 8); /* what has come since the exec arrives now */
    st_jump((uint64_t)stack->sp, orders->interpreter >= 0 ? interpreter.entry : program.entry);
}

/* The run's first program: from here on it is an exec like any other. argv: orders, the path, the program's own argv. */
static _Noreturn void first(const struct stack *stack, const uint8_t *orders)
{
    const uint8_t *at = orders;
    int64_t abi = number(&at);
    if (abi != ST_ABI) fail_version("launcher", abi);
    arm(1, (int32_t)number(&at));
    uint64_t out[6], *argv = stack->sp + 1;
    struct st_block *block = st_block_at(0);
    const st_mask all = ST_ALL_BLOCKED;
    ST_SYS(__NR_rt_sigprocmask, 0, 0, &block->exec_mask, 8);
    block->call.sysno = __NR_execve;
    block->call.tid = block->tid;
    for (int i = 0; i < 3; i++) block->call.path_length[i] = block->call.resolved_length[i] = -1;
    const uint64_t args[6] = {argv[1], (uint64_t)(argv + 2), (uint64_t)(argv + stack->sp[0] + 1), 0, 0, 0};
    if (st_traced(block, __NR_execve)) st_trace_entry(block, __NR_execve, args, 0, NULL);
    int64_t r = st_exec_prepare(block, (uint64_t)-100, (const uint8_t *)argv[1], (const uint8_t *)argv[1], (uint64_t)(argv + 2),
                                (uint64_t)(argv + stack->sp[0] + 1), 0, out);
    if (r >= 0) ST_SYS(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &all, 0, 8);
    if (r >= 0) r = ST_SYS(__NR_execveat, out[0], out[1], out[2], out[3], out[4], 0);
    if (st_traced(block, __NR_execve)) st_trace_exit(block, __NR_execve, args, r, 0);
    st_state.ring->start_error = (int32_t)-r;
    for (;;) ST_SYS(__NR_exit_group, r == -ST_ENOENT ? 127 : 126);
}

_Noreturn void st_load(uint64_t *sp)
{
    struct stack stack;
    read_stack(&stack, sp);
    const uint8_t *word = sp[0] > 2 ? (const uint8_t *)sp[1] : (const uint8_t *)"";
    if (begins(word, ST_ORDERS_FIRST)) first(&stack, word + sizeof ST_ORDERS_FIRST - 1);
    if (!begins(word, ST_ORDERS)) fail("this is selftrace's loader; use selftrace run");
    struct orders orders;
    const uint8_t *at = word + sizeof ST_ORDERS - 1;
    orders.abi = number(&at);
    orders.fd = number(&at);
    orders.interpreter = number(&at);
    orders.signals = number(&at);
    orders.mask = mask(&at);
    orders.ignored = mask(&at);
    orders.tid = number(&at);
    orders.sysno = number(&at);
    if (orders.abi != ST_ABI) fail_version("parent", orders.abi);
    st_keep_exe((int32_t)orders.fd);
    arm(0, -1);
    start(&stack, &orders);
}
