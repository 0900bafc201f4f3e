/* Brings Python into the program at the first call that a handler is asked about: the one that runs here, if it is of the
 * build that selftrace is installed for, or one of our own. That call, and each later one, may come from inside the C
 * library with a lock held (setlocale's and localtime's open files): so our own Python gets a namespace of its own, with
 * a C library of its own, whose locks, memory and locale nobody else uses. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload.h"

#define DEADLINE_S 5

#define KEYS 8

typedef const char *begin_fn(const struct st_bundle *bundle, const uint32_t *keys, uint32_t count);
enum state { NONE, STARTING, READY };

static const struct st_bundle *bundle;
static uint32_t state;      /* a futex */
static uint32_t keys[KEYS]; /* thread-specific ones that the program cannot get any more: see keep_to in embed.c */
static void (*handlers)(struct st_call *call);
static void (*on_fork)(int step);
static int (*initialized)(void); /* of the Python that the program is; NULL: it is none */

static const char *text(struct st_text part)
{
    return st_bundle_text(bundle, part);
}

/* The program's stacks have no Python on them. */
uint32_t st_python_stack(uint8_t *out, uint32_t size, uint32_t *foreign)
{
    (void)out;
    (void)size;
    *foreign = 1;
    return 0;
}

static int is_ours(void *scope)
{
    const char *(*version)(void) = (const char *(*)(void))dlsym(scope, "Py_GetVersion");
    return version && !strcmp(version(), text(bundle->version));
}

/* ---- starting ----------------------------------------------------------------------------------------------------- */

static _Noreturn void cannot_start(const char *why)
{
    st_refuse("Python could not be started for the policy's handlers", why ? why : "no reason is given");
}

static void use(void *native, const char *entry)
{
    if (!native) cannot_start(dlerror());
    begin_fn *begin = (begin_fn *)dlsym(native, entry);
    void (*hook)(struct st_call *) = (void (*)(struct st_call *))dlsym(native, "st_hook");
    on_fork = (void (*)(int))dlsym(native, "st_embed_fork");
    if (!begin || !hook || !on_fork) cannot_start("selftrace's module is of another version");
    const char *failed = begin(bundle, keys, KEYS);
    if (failed) cannot_start(failed);
    handlers = hook;
}

static void done(void)
{
    __atomic_store_n(&state, READY, __ATOMIC_RELEASE);
    syscall(SYS_futex, &state, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
}

/* libpython is the first object of its namespace, and so the global scope of what it loads there: extension modules find it. */
static void bring_python(void)
{
    Lmid_t space;
    void *library = dlmopen(LM_ID_NEWLM, text(bundle->libpython), RTLD_NOW);
    if (!library || dlinfo(library, RTLD_DI_LMID, &space)) cannot_start(dlerror());
    if (!is_ours(library)) cannot_start("its library is of another build than selftrace was installed for; install selftrace again");
    use(dlmopen(space, text(bundle->native), RTLD_NOW), "st_embed");
    done();
}

/* Returns whether it is ready. */
static int wait_for_start(void)
{
    struct timespec now, end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += DEADLINE_S;
    for (;;) {
        uint32_t seen = __atomic_load_n(&state, __ATOMIC_ACQUIRE);
        if (seen != STARTING) return seen == READY;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= end.tv_sec) return 0;
        struct timespec pause = {0, 100000000};
        syscall(SYS_futex, &state, FUTEX_WAIT, STARTING, &pause, NULL, 0);
    }
}

/* Python's C library does not see the program's forks. One while it starts would leave the child with half a Python. */
static void fork_step(int step)
{
    if (!initialized && __atomic_load_n(&state, __ATOMIC_ACQUIRE) == READY) on_fork(step);
}

static void before_fork(void)
{
    wait_for_start();
    fork_step(0);
}

static void parent_after_fork(void)
{
    fork_step(1);
}

static void child_after_fork(void)
{
    fork_step(2);
}

/* ---- the hook ------------------------------------------------------------------------------------------------------ */

static int first(void)
{
    uint32_t none = NONE;
    return __atomic_compare_exchange_n(&state, &none, STARTING, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void too_late(struct st_call *call)
{
    static const char why[] = "Python did not start in time: the thread that starts it and this one wait for each other";
    call->decided = 1;
    call->result = -EPERM;
    st_report_text(call, ST_RECORD_ERROR, call->rule_row, -EPERM, (const uint8_t *)why, sizeof why - 1);
}

/* In a Python program: from its first line on, as where selftrace starts it. */
static void ask_program(struct st_call *call)
{
    call->decided = 0;
    if (__atomic_load_n(&state, __ATOMIC_ACQUIRE) != READY) {
        if (!initialized() || !first()) return;
        use(dlopen(text(bundle->native), RTLD_NOW), "st_embed_adopt");
        done();
    }
    handlers(call);
}

void st_hook(struct st_call *call)
{
    int saved = errno;
    if (initialized) {
        ask_program(call);
    } else {
        if (first()) bring_python();
        if (wait_for_start())
            handlers(call);
        else
            too_late(call);
    }
    errno = saved;
}

int st_expect_python(const struct st_bundle *found)
{
    bundle = found;
    initialized = (int (*)(void))dlsym(RTLD_DEFAULT, "Py_IsInitialized");
    if (initialized && !is_ours(RTLD_DEFAULT))
        st_refuse("the policy has Python handlers, and this program is, or has in it, another build of Python, in which they cannot run",
                  "use selftrace run with a selftrace that is installed for it, or native rules");
    for (uint32_t i = 0; !initialized && i < KEYS; i++)
        if (pthread_key_create(&keys[i], NULL) || keys[i] >= 32) /* those in reach without memory of either C library */
            st_refuse("Python cannot be put into this program", "it has no thread-specific keys left");
    pthread_atfork(before_fork, parent_after_fork, child_after_fork);
    return !initialized;
}
