/* From a trapped call to a Python handler: takes the GIL, with a deadline.
 *
 * A thread that holds a C lock and waits for the GIL can deadlock with one that holds the GIL and wants the lock. The
 * GIL cannot be waited for with a deadline, so where another thread holds it a helper thread waits in our place and
 * runs the handler; the call itself is still made by its own thread. After two seconds the helper is left alone and the
 * handler counts as failed: the C lock is released, and the helper finds its request abandoned. */
#define Py_BUILD_CORE 1
#include <Python.h>
#include <internal/pycore_gil.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "module.h"

#define DEADLINE_NS 2000000000ll
#define LOOK_NS 10000000ll /* so long a request waits before it is looked whether there is a helper for it */

enum state { FREE, NEW, WAITING, CLAIMED, RUNNING, EXECUTE, EXECUTED, DONE, ABANDONED };

struct request {
    uint32_t state; /* a futex: both sides wait on it */
    struct st_call *call;
    int64_t result;
};

static struct request requests[64];
static uint32_t queue_signal;  /* a futex: counts what was put into the queue */
static uint32_t helpers, busy; /* threads; those in a handler, which may have let the GIL go */
static __thread struct request *serving;

/* Defined by cffi: the Python side (selftrace/tracee/hook.py). */
void st_python_handler(struct st_call *call);
static void run(struct st_call *call);

static uint32_t load(uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static int change(uint32_t *word, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(word, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 64, NULL, NULL, 0);
}

static void set(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    wake(word);
}

/* 0 when woken or changed, -1 after `limit_ns` of CLOCK_MONOTONIC from now (negative: for ever). */
static int wait_while(uint32_t *word, uint32_t value, int64_t limit_ns)
{
    struct timespec limit = {limit_ns / 1000000000, limit_ns % 1000000000};
    long r = syscall(SYS_futex, word, FUTEX_WAIT, value, limit_ns < 0 ? NULL : &limit, NULL, 0);
    return r < 0 && errno == ETIMEDOUT ? -1 : 0;
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* ---- threads that Python does not know ----------------------------------------------------------- */

/* PyThreadState_New takes a lock of Python's without the GIL. A fork's child that inherits it taken waits for ever. From 3.13
 * on PyOS_BeforeFork takes it itself; before, a fork waits here until no thread is being made known. */
#if PY_VERSION_HEX >= 0x030d0000
void st_births_hold(void)
{
}
void st_births_release(void)
{
}
#else
static pthread_mutex_t births = PTHREAD_MUTEX_INITIALIZER;

void st_births_hold(void)
{
    pthread_mutex_lock(&births);
}

void st_births_release(void)
{
    pthread_mutex_unlock(&births);
}
#endif

static void child_of_fork(void)
{
    st_births_release();
    st_forget_helpers();
}

static void watch_forks(void)
{
    static uint32_t watched;
    if (change(&watched, 0, 1)) pthread_atfork(st_births_hold, st_births_release, child_of_fork);
}

/* Before PyGILState_Ensure, which then finds the thread's state; PyGILState_Release deletes it. */
void st_know_thread(void)
{
    if (PyGILState_GetThisThreadState()) return;
    watch_forks();
    st_births_hold();
    PyThreadState *own = PyThreadState_New(PyInterpreterState_Main());
    st_births_release();
    if (!own) Py_FatalError("no memory for a thread that runs a handler");
    own->gilstate_counter = 0; /* nobody holds it yet */
}

/* ---- the helper threads -------------------------------------------------------------------------- */

static struct request *find_request(uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        if (change(&requests[i].state, from, to)) return &requests[i];
    return NULL;
}

static void serve(struct request *request)
{
    st_know_thread();
    PyGILState_STATE gil = PyGILState_Ensure();
    __atomic_fetch_add(&busy, 1, __ATOMIC_ACQ_REL);
    if (change(&request->state, CLAIMED, RUNNING)) {
        serving = request;
        run(request->call);
        serving = NULL;
        set(&request->state, DONE);
    } else {
        set(&request->state, FREE);
    }
    __atomic_fetch_sub(&busy, 1, __ATOMIC_ACQ_REL);
    PyGILState_Release(gil);
}

static void *helper(void *unused)
{
    (void)unused;
    st_blob_mapped()->own(1);
    for (;;) {
        uint32_t seen = load(&queue_signal);
        struct request *request = find_request(WAITING, CLAIMED);
        if (request) {
            serve(request);
            continue;
        }
        wait_while(&queue_signal, seen, -1);
    }
    return NULL;
}

static int start_thread(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, old;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, &attributes, helper, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    return r;
}

/* Unless one is there that is in no handler. It waits for the GIL for all: more would only wait behind it, and each is a
 * task out of the program's limit. */
static void need_helper(void)
{
    uint32_t have = load(&helpers);
    if (have <= load(&busy) && change(&helpers, have, have + 1) && start_thread()) __atomic_fetch_sub(&helpers, 1, __ATOMIC_ACQ_REL);
}

/* A fork's child has none of the helpers. */
void st_forget_helpers(void)
{
    memset(requests, 0, sizeof requests);
    helpers = busy = 0;
    serving = NULL;
}

/* ---- the calling thread ----------------------------------------------------------------------------- */

static struct request *new_request(struct st_call *call)
{
    struct request *request = find_request(FREE, NEW);
    if (!request) return NULL;
    request->call = call;
    set(&request->state, WAITING);
    return request;
}

static void fail(struct st_call *call, const char *why)
{
    call->decided = 1;
    call->result = -EPERM;
    st_report_text(call, ST_RECORD_ERROR, call->rule_row, -EPERM, (const uint8_t *)why, (uint32_t)strlen(why));
}

/* Until its state may have changed. 0: it was given up. */
static int wait_for(struct request *request, uint32_t state, int64_t deadline)
{
    int64_t left = deadline - now_ns();
    if (state != WAITING && state != CLAIMED) {
        wait_while(&request->state, state, -1);
    } else if (left <= 0) {
        return !change(&request->state, WAITING, FREE) && !change(&request->state, CLAIMED, ABANDONED);
    } else if (wait_while(&request->state, state, left < LOOK_NS ? left : LOOK_NS) < 0) {
        need_helper();
    }
    return 1;
}

static void ask_helper(struct st_call *call)
{
    watch_forks();
    struct request *request = new_request(call);
    if (!request) return fail(call, "too many Python handlers wait for the GIL at once");
    need_helper();
    __atomic_fetch_add(&queue_signal, 1, __ATOMIC_ACQ_REL);
    wake(&queue_signal);
    int64_t deadline = now_ns() + DEADLINE_NS;
    for (uint32_t state; (state = load(&request->state)) != DONE;) {
        if (state == EXECUTE) {
            request->result = st_blob_mapped()->execute(call);
            set(&request->state, EXECUTED);
        } else if (!wait_for(request, state, deadline)) {
            return fail(call, "the GIL did not come free within 2 s: a handler's thread and a C lock wait for each other");
        }
    }
    set(&request->state, FREE);
}

static int finalizing(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return !Py_IsInitialized() || Py_IsFinalizing();
#else
    return !Py_IsInitialized() || _Py_IsFinalizing();
#endif
}

static int gil_is_free(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return !_Py_atomic_load_int_relaxed(&PyInterpreterState_Main()->ceval.gil->locked);
#elif PY_VERSION_HEX >= 0x030c0000
    return !_Py_atomic_load_relaxed(&PyInterpreterState_Main()->ceval.gil->locked);
#else
    return !_Py_atomic_load_relaxed(&_PyRuntime.ceval.gil.locked);
#endif
}

/* With the GIL: a pending exception of the interrupted code is none of the handler's. */
static void run(struct st_call *call)
{
#if PY_VERSION_HEX >= 0x030c0000
    PyObject *raised = PyErr_GetRaisedException();
    st_python_handler(call);
    PyErr_SetRaisedException(raised);
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    st_python_handler(call);
    PyErr_Restore(type, value, traceback);
#endif
    if (call->decided == ST_INTERRUPTED) PyErr_SetInterrupt(); /* only now: it is the program's to handle */
}

static void ask(struct st_call *call)
{
    if (PyGILState_Check()) {
        run(call);
    } else if (gil_is_free()) {
        st_know_thread();
        PyGILState_STATE gil = PyGILState_Ensure();
        run(call);
        PyGILState_Release(gil);
    } else {
        ask_helper(call);
    }
}

void st_hook(struct st_call *call)
{
    int saved = errno;
    call->decided = 0;
    if (finalizing()) return; /* the native rules decide alone */
    ask(call);
    errno = saved;
}

int64_t st_proceed_next(struct st_call *call)
{
    return st_blob_mapped()->next(call);
}

int64_t st_proceed_execute(struct st_call *call)
{
    struct request *request = serving;
    if (!request) return st_blob_mapped()->execute(call);
    set(&request->state, EXECUTE);
    while (load(&request->state) == EXECUTE) wait_while(&request->state, EXECUTE, -1);
    return request->result;
}
