/* Putting the interposer to work, in the order of INTERPOSER.md. Everything is built before the first step that cannot
 * be taken back. */
#include "core.h"

static int64_t arm(const struct st_arm *from)
{
    return st_arm_process(from, 1);
}
static int64_t gate(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f)
{
    return st_sys(nr, a, b, c, d, e, f);
}

static void attach(void (*hook)(struct st_call *), uint32_t (*stack)(uint8_t *, uint32_t, uint32_t *), int32_t embedded)
{
    st_state.stack = stack;
    st_state.embedded = embedded != 0;
    __atomic_store_n(&st_state.hook, hook, __ATOMIC_RELEASE);
}

/* At the blob's first address: what the cffi module finds it by. */
__attribute__((section(".blob"), used)) const struct st_blob st_blob = {
    .magic = ST_BLOB_MAGIC,
    .abi = ST_ABI,
    .end = (uint64_t)st_blob_end,
    .arm = arm,
    .next = st_next,
    .execute = st_execute,
    .gate = gate,
    .copy_in = st_copy_in,
    .content = st_content,
    .report = st_report,
    .own = st_own,
    .gate_call = (uint64_t)st_gate_call,
    .attach = attach,
    .signal_entry = (uint64_t)st_signal_entry,
    .sigsys_entry = (uint64_t)st_sigsys_entry,
    .engage = st_engage,
    .join = st_join,
    .quit = st_quit,
    .scope_begins = st_scope_begins,
    .scope_ends = st_scope_ends,
    .order = st_order,
    .is_dispatched = st_is_dispatched,
    .change = st_change,
    .forget_counter = st_forget_counter,
    .release = st_release,
    .fired = st_state.fired,
    .remote_call = (uint64_t)st_remote_call,
    .depart = st_depart,
};

static int64_t first_block(void)
{
    struct st_block *block = st_block_at(0);
    block->used = 1;
    block->tid = st_state.main_tid;
    block->pid = st_state.pid;
    block->sighand = &st_state.sighand;
    block->scopes = ~0u;
    struct st_stack ours = {.sp = (uint64_t)block->stack, .size = ST_BLOCK_STACK};
    st_records[0].altstack = ours;
    st_records[0].published = 1;
    int64_t r = ST_SYS(__NR_sigaltstack, &ours, &block->stack_virtual);
    return r < 0 ? r : 0;
}

static int64_t take_sigsys(void)
{
    struct st_sigaction ours = {(uint64_t)st_sigsys_entry, ST_SA_SIGINFO | ST_SA_NODEFER | ST_SA_ONSTACK | ST_SA_RESTORER,
                                (uint64_t)st_sigreturn_trap, ~0ull & ~(ST_BIT(ST_SIGSYS) | ST_SYNCHRONOUS)};
    st_mask open = ST_BIT(ST_SIGSYS), old = 0;
    int64_t r = ST_SYS(__NR_rt_sigaction, ST_SIGSYS, &ours, 0, 8);
    if (r >= 0) r = ST_SYS(__NR_rt_sigprocmask, 1 /* SIG_UNBLOCK */, &open, &old, 8);
    if (r >= 0 && (old & open)) st_block_at(0)->sigsys_blocked = 1;
    return r;
}

/* Text, read-only data and gate cannot be changed or unmapped any more; kernels before 6.10 have no mseal. */
void st_seal(void)
{
    ST_SYS(462 /* mseal */, ST_BLOB_BASE, ((uint64_t)st_late_end - ST_BLOB_BASE + 4095) & ~4095ull, 0);
}

struct filter {
    uint16_t count, pad[3];
    const void *instructions;
};

static int64_t load_filter(uint32_t offset, uint32_t count)
{
    struct filter filter = {.count = (uint16_t)count, .instructions = ST_PLAN_AT(uint8_t, offset)};
    return count ? ST_SYS(__NR_seccomp, 1 /* SET_MODE_FILTER */, 0, &filter) : 0;
}

/* The kernel's floor. From the first filter on, the launcher's limits are the program's. */
static int64_t raise_floor(const struct st_arm *from)
{
    int64_t r = ST_SYS(__NR_prctl, 38 /* PR_SET_NO_NEW_PRIVS */, 1, 0, 0, 0);
    if (r < 0) return r;
    if (from->landlock_fd >= 0) {
        r = ST_SYS(__NR_landlock_restrict_self, from->landlock_fd, 0);
        if (r < 0) return r;
        ST_SYS(__NR_close, from->landlock_fd);
    }
    r = load_filter(st_state.plan->floor, st_state.plan->floor_count);
    return r < 0 ? r : load_filter(st_state.plan->filter, st_state.plan->filter_count);
}

/* The time-stamp counter may be forbidden, also over an exec. */
void st_find_clock(void)
{
    int32_t mode = 0;
    ST_SYS(__NR_prctl, 25 /* PR_GET_TSC */, &mode);
    st_state.tsc_off = mode == 2 /* PR_TSC_SIGSEGV */;
}

/* first: the run's first process, which has no filter yet. Others have it from their parents; they seal themselves once
 * their program is mapped. 0 or -errno: EINVAL for a plan of another version. */
int64_t st_arm_process(const struct st_arm *from, int first)
{
    const struct st_plan *plan = from->plan;
    if (st_state.armed) return -ST_EEXIST;
    if (plan->magic != ST_PLAN_MAGIC || plan->abi != ST_ABI || plan->size != from->plan_size) return -ST_EINVAL;
    *(volatile uint64_t *)st_slots = 0; /* a page that is read before it is written costs two faults */
    st_state.plan = plan;
    st_state.ring = from->ring;
    if (plan->flags & ST_PLAN_TRACE) st_find_clock();
    st_state.stack = from->stack;
    st_state.hook = from->hook;
    st_state.ldso_low = from->ldso_low;
    st_state.ldso_high = from->ldso_high;
    st_state.pid = (int32_t)ST_SYS(__NR_getpid);
    st_state.main_tid = (int32_t)ST_SYS(__NR_gettid);
    int64_t r = first_block();
    if (r < 0) return r;
    if (first) st_signals_arm(); /* before SIGSYS is ours: what the program had set is read here */
    r = take_sigsys();
    if (r < 0) return r;
    st_state.armed = 1;
    if (!first) return 0;
    if (plan->flags & ST_PLAN_TRACE_ONE) st_state.ring->trace_only = st_state.main_tid;
    st_seal();
    r = raise_floor(from);
    if (r >= 0 && st_state.ring) {
        st_state.ring->tasks = 1;
        st_state.ring->armed = 1;
    }
    return r;
}
