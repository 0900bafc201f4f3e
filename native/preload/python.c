/* Brings Python into the program at the first call that a handler is asked about: the one that runs here, if it is of the
 * build that selftrace is installed for, or one of our own. A thread of its own starts it, because the call may come from
 * inside the C library, with a lock held that Python wants too (localtime's): then the call is refused after a while. */
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

#define DEADLINE_S 10

enum state { NONE, STARTING, READY };

static const struct st_bundle *bundle;
static uint32_t state; /* a futex */
static void (*handlers)(struct st_call *call);
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

static void use(const char *entry)
{
    void *native = dlopen(text(bundle->native), RTLD_NOW);
    if (!native) cannot_start(dlerror());
    const char *(*begin)(const struct st_bundle *) = (const char *(*)(const struct st_bundle *))dlsym(native, entry);
    void (*hook)(struct st_call *) = (void (*)(struct st_call *))dlsym(native, "st_hook");
    if (!begin || !hook) cannot_start("selftrace's module is of another version");
    const char *failed = begin(bundle);
    if (failed) cannot_start(failed);
    handlers = hook;
}

static void done(void)
{
    __atomic_store_n(&state, READY, __ATOMIC_RELEASE);
    syscall(SYS_futex, &state, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
}

static void bring_python(void)
{
    if (dlsym(RTLD_DEFAULT, "Py_GetVersion")) cannot_start("the program has loaded a Python since it began");
    void *library = dlopen(text(bundle->libpython), RTLD_NOW | RTLD_GLOBAL); /* extension modules look for it in the process */
    if (!library) cannot_start(dlerror());
    if (!is_ours(library)) cannot_start("its library is of another build than selftrace was installed for; install selftrace again");
    use("st_embed");
    done();
}

static void *starter(void *unused)
{
    (void)unused;
    st_blob_mapped()->own(1);
    bring_python();
    return NULL;
}

/* Policies may allow no thread: then in this one. */
static void start(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, old;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    if (pthread_create(&thread, &attributes, starter, NULL)) bring_python();
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
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

/* A fork while it starts would leave the child with half a Python. */
static void before_fork(void)
{
    wait_for_start();
}

/* ---- the hook ------------------------------------------------------------------------------------------------------ */

static int first(void)
{
    uint32_t none = NONE;
    return __atomic_compare_exchange_n(&state, &none, STARTING, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void too_late(struct st_call *call)
{
    static const char why[] = "Python did not start in time: the program holds a lock of the C library that it needs";
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
        use("st_embed_adopt");
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
        if (first()) start();
        if (wait_for_start())
            handlers(call);
        else
            too_late(call);
    }
    errno = saved;
}

void st_expect_python(const struct st_bundle *found)
{
    bundle = found;
    initialized = (int (*)(void))dlsym(RTLD_DEFAULT, "Py_IsInitialized");
    if (initialized && !is_ours(RTLD_DEFAULT))
        st_refuse("the policy has Python handlers, and this program is another build of Python, in which they cannot run",
                  "use selftrace run with a selftrace that is installed for it, or native rules");
    pthread_atfork(before_fork, NULL, NULL);
}
