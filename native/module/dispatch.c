/* Tracing in this process by Syscall User Dispatch: maps the blob, takes it away again. See interposer/dispatch.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "module.h"

/* What door.S reads and counts. */
__attribute__((visibility("hidden"))) uint64_t st_door_visitors, st_door_leaving, st_door_signal, st_door_sigsys;
__attribute__((visibility("hidden"))) uint32_t st_door_open;
void st_door_entry(void);
void st_door_restorer(void);
void st_door_out(void);
void st_door_back(void);
void st_door_gone(void);

#define REGION 0x40000000ul
#define RECORDS (ST_RING_OFFSET + ST_RING_SLOTS * ST_RECORD_SIZE) /* reports lie before the events */
#define KERNEL_SIGSETSIZE 8
#define PATIENCE_MS 3000 /* with threads that must be scheduled before they can leave */

struct kernel_action {
    uint64_t handler, flags, restorer, mask;
};

/* Reached without a call and without memory to allocate: signal handlers ask for it. */
static __thread struct st_own own __attribute__((tls_model("initial-exec")));

static struct st_own *own_of_thread(void)
{
    return &own;
}

/* From the thread pointer: the same for each. */
int32_t st_own_offset(void)
{
    const uint8_t *thread;
    __asm__("movq %%fs:0, %0" : "=r"(thread));
    return (int32_t)((const uint8_t *)&own - thread);
}

/* ---- signals ------------------------------------------------------------------------------------------ */

static int64_t set_mask(int how, uint64_t mask, uint64_t *old)
{
    return st_syscall(SYS_rt_sigprocmask, (uint64_t)how, (uint64_t)&mask, (uint64_t)old, KERNEL_SIGSETSIZE, 0, 0);
}

static uint64_t block_all(void)
{
    uint64_t old = 0;
    set_mask(SIG_SETMASK, ~0ull, &old);
    return old;
}

/* A signal that the kernel had sent to us before its handler was given back: to whom it belongs now, as the kernel would. */
__attribute__((visibility("hidden"), used)) void st_door_late(int signal, siginfo_t *info, ucontext_t *context)
{
    struct kernel_action action;
    uint64_t mask;
    memcpy(&mask, &context->uc_sigmask, 8);
    st_syscall(SYS_rt_sigaction, (uint64_t)signal, 0, (uint64_t)&action, KERNEL_SIGSETSIZE, 0, 0);
    if (action.handler == (uint64_t)SIG_IGN) return;
    if (action.handler == (uint64_t)SIG_DFL || action.handler == (uint64_t)st_door_entry) {
        if (signal != SIGSYS) raise(signal);
        return;
    }
    set_mask(SIG_SETMASK, mask | action.mask | (action.flags & SA_NODEFER ? 0 : 1ull << (signal - 1)), NULL);
    ((void (*)(int, siginfo_t *, void *))action.handler)(signal, info, context);
}

/* ---- this thread ---------------------------------------------------------------------------------------- */

/* An order may come in between: it sets the selector by what it finds, and is found here. */
int32_t st_watch(int32_t on)
{
    volatile struct st_own *mine = &own;
    int32_t before = !mine->aside;
    mine->aside = !on;
    uint8_t dispatched;
    do {
        dispatched = mine->dispatched;
        mine->selector = dispatched && on;
    } while (dispatched != mine->dispatched);
    return before;
}

int32_t st_dispatch_join(uint32_t scopes)
{
    uint64_t mask = block_all();
    int64_t r = st_blob_mapped()->join(scopes, mask);
    set_mask(SIG_SETMASK, r < 0 ? mask : mask & ~(1ull << (SIGSYS - 1)), NULL);
    return (int32_t)r;
}

static void quit_own(void)
{
    uint64_t mask = block_all();
    int64_t blocked = own.dispatched ? st_blob_mapped()->quit() : 0;
    set_mask(SIG_SETMASK, blocked > 0 ? mask | 1ull << (SIGSYS - 1) : mask, NULL);
}

/* ---- other threads ---------------------------------------------------------------------------------------- */

static void pause_us(long microseconds)
{
    struct timespec wait = {0, microseconds * 1000};
    syscall(SYS_nanosleep, &wait, NULL);
}

int32_t st_dispatch_has(int32_t tid)
{
    return st_door_open && st_blob_mapped()->is_dispatched(tid);
}

int32_t st_dispatch_order_join(int32_t tid, uint32_t scopes)
{
    return (int32_t)st_blob_mapped()->order(tid, ST_ORDER_JOIN, scopes);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

/* Asks until the thread has gone or is over. 0, or -ETIMEDOUT. */
static int32_t make_quit(int32_t tid, int64_t until_ms)
{
    for (int tries = 0; now_ms() < until_ms; tries++) {
        int left = !st_blob_mapped()->is_dispatched(tid);
        if (left && !__atomic_load_n(&st_door_leaving, __ATOMIC_ACQUIRE)) return 0;
        if (syscall(SYS_tgkill, getpid(), tid, 0) < 0) return 0;
        if (!left) st_blob_mapped()->order(tid, ST_ORDER_QUIT, 0);
        pause_us(tries < 20 ? 50 : 500);
    }
    return -ETIMEDOUT;
}

static int32_t all_quit(const int32_t *tids, int32_t count, int64_t until_ms)
{
    int32_t self = (int32_t)syscall(SYS_gettid), failed = 0;
    for (int32_t i = 0; i < count; i++) {
        if (tids[i] == self)
            quit_own();
        else if (make_quit(tids[i], until_ms) < 0)
            failed++;
    }
    return failed;
}

/* Threads may make others until they have quit themselves: until none is left, or their time is over. */
int32_t st_dispatch_scope_ends(uint32_t scope)
{
    static int32_t tids[4096];
    int64_t until_ms = now_ms() + PATIENCE_MS;
    for (;;) {
        int32_t born, count = st_blob_mapped()->scope_ends(scope, tids, 4096, &born);
        int32_t failed = born + all_quit(tids, count, until_ms);
        if ((!count && !born) || now_ms() >= until_ms) return failed;
        if (born) pause_us(100);
    }
}

/* ---- the process --------------------------------------------------------------------------------------------- */

/* A fork's child has no dispatch, and of the blob only what its thread came through. */
static void forked(void)
{
    if (!st_door_open) return;
    const struct st_blob *blob = st_blob_mapped();
    uint64_t mask = block_all();
    int64_t blocked = own.dispatched ? blob->quit() : 0;
    own.dispatched = own.selector = 0;
    blob->release();
    st_door_open = 0;
    st_door_visitors = st_door_leaving = 0;
    st_blob_unmapped();
    munmap((void *)ST_BLOB_BASE, REGION);
    st_patch_forked();
    set_mask(SIG_SETMASK, blocked > 0 ? mask | 1ull << (SIGSYS - 1) : mask, NULL);
}

static void *map_memory(uint64_t at, uint64_t size)
{
    return mmap((void *)at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

int32_t st_dispatch_engage(int32_t blob_fd, const void *plan, uint64_t trace_bytes)
{
    static int at_fork;
    struct st_arm arm = {.plan = plan, .stack = st_python_stack, .landlock_fd = -1};
    const struct st_door door = {(uint64_t)st_door_entry, (uint64_t)st_door_restorer, (uint64_t)st_door_out, (uint64_t)st_door_back,
                                 (uint64_t)st_door_gone,  &st_door_visitors,          &st_door_leaving,      own_of_thread,
                                 st_patch_prepare()};
    if (!at_fork && pthread_atfork(NULL, NULL, forked)) return -ENOMEM;
    at_fork = 1;
    int32_t r = st_map_blob(blob_fd);
    if (r) return r;
    arm.ring = map_memory(ST_RING_ADDRESS, RECORDS);
    if (arm.ring == MAP_FAILED || map_memory(ST_TRACE_ADDRESS, trace_bytes) == MAP_FAILED) {
        r = -errno;
        st_blob_unmapped();
        munmap((void *)ST_BLOB_BASE, REGION);
        return r;
    }
    arm.ring->magic = ST_RING_MAGIC;
    arm.ring->abi = ST_ABI;
    arm.ring->slots = ST_RING_SLOTS;
    arm.ring->trace_offset = ST_TRACE_ADDRESS - ST_RING_ADDRESS;
    arm.ring->trace_size = trace_bytes;
    st_door_signal = st_blob_mapped()->signal_entry;
    st_door_sigsys = st_blob_mapped()->sigsys_entry;
    uint64_t mask = block_all();
    __atomic_store_n(&st_door_open, 1, __ATOMIC_SEQ_CST);
    r = (int32_t)st_blob_mapped()->engage(&arm, &door);
    set_mask(SIG_SETMASK, mask, NULL);
    return r;
}

void st_dispatch_change(const void *plan)
{
    uint64_t mask = block_all();
    st_blob_mapped()->change(plan);
    set_mask(SIG_SETMASK, mask, NULL);
}

void st_dispatch_scope_begins(uint32_t scopes)
{
    st_blob_mapped()->scope_begins(scopes);
}

void st_dispatch_forget_counter(uint32_t counter)
{
    st_blob_mapped()->forget_counter(counter);
}

uint64_t st_dispatch_fired(uint32_t scope)
{
    return __atomic_load_n(&st_blob_mapped()->fired[scope], __ATOMIC_RELAXED);
}

void st_dispatch_unfire(uint32_t scope)
{
    __atomic_store_n(&st_blob_mapped()->fired[scope], 0, __ATOMIC_RELAXED);
}

int32_t st_dispatch_release(void)
{
    st_patch_restore();
    uint64_t mask = block_all();
    int32_t r = -ETIMEDOUT;
    int64_t until_ms = now_ms() + PATIENCE_MS;
    st_blob_mapped()->release();
    __atomic_store_n(&st_door_open, 0, __ATOMIC_SEQ_CST);
    while (now_ms() < until_ms) {
        if (!__atomic_load_n(&st_door_visitors, __ATOMIC_SEQ_CST) && !__atomic_load_n(&st_door_leaving, __ATOMIC_SEQ_CST)) {
            st_blob_unmapped();
            munmap((void *)ST_BLOB_BASE, REGION);
            r = 0;
            break;
        }
        pause_us(200);
    }
    set_mask(SIG_SETMASK, mask, NULL);
    return r;
}
