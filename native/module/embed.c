/* Python in a program that has none: started by the preload shim at the first call that a handler is asked about. Isolated:
 * no environment, no site, no signal handlers, no locale, its own memory. Or the handlers alone, in the Python that runs. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <pthread.h>
#include <string.h>

#include "module.h"

static __thread PyGILState_STATE fork_gil;
static __thread int fork_held;

/* ---- fork: as os.fork does it, for forks that the program makes -------------------------------------------- */

static void before_fork(void)
{
    fork_held = !PyGILState_Check(); /* a handler's own os.fork has done it */
    if (!fork_held) return;
    st_know_thread();
    fork_gil = PyGILState_Ensure();
    PyOS_BeforeFork();
    st_births_hold();
    st_allocator_hold();
}

static void parent_after_fork(void)
{
    st_allocator_release();
    st_births_release();
    PyOS_AfterFork_Parent();
    PyGILState_Release(fork_gil);
}

static void child_after_fork(void)
{
    st_allocator_release();
    st_births_release();
    st_forget_helpers();
    PyOS_AfterFork_Child();
    if (fork_gil == PyGILState_UNLOCKED)
        PyEval_SaveThread(); /* its thread state is the only one, and stays: 3.11 cannot make a first one twice */
    else
        PyGILState_Release(fork_gil);
}

void st_embed_fork(int step)
{
    if (step == 0)
        before_fork();
    else if (!fork_held)
        return;
    else if (step == 1)
        parent_after_fork();
    else
        child_after_fork();
}

/* ---- the handlers -------------------------------------------------------------------------------------------- */

/* Runs bootstrap.embed(specification), with the GIL. NULL, or what went wrong: the traceback has been written. */
static const char *load(const struct st_bundle *bundle)
{
    static const char name[] = "_selftrace_bootstrap";
    PyObject *result = NULL, *module = NULL, *loader = NULL, *external = PyImport_ImportModule("_frozen_importlib_external");
    if (external) loader = PyObject_CallMethod(external, "SourceFileLoader", "ss", name, st_bundle_text(bundle, bundle->bootstrap));
    if (loader) module = PyObject_CallMethod(loader, "load_module", "s", name);
    if (module)
        result = PyObject_CallMethod(module, "embed", "y#", st_bundle_text(bundle, bundle->specification),
                                     (Py_ssize_t)bundle->specification.length);
    if (!result) PyErr_Print();
    Py_XDECREF(module);
    Py_XDECREF(loader);
    Py_XDECREF(external);
    if (!result) return "the handlers could not be loaded";
    Py_DECREF(result);
    return NULL;
}

const char *st_embed_adopt(const struct st_bundle *bundle, const uint32_t *keys, uint32_t count)
{
    (void)keys;
    (void)count;
    st_know_thread();
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    const char *failed = load(bundle);
    PyErr_Restore(type, value, traceback);
    PyGILState_Release(gil);
    return failed;
}

/* ---- a Python of its own --------------------------------------------------------------------------------------- */

static PyStatus append_search(PyConfig *config, const struct st_bundle *bundle)
{
    PyStatus status = PyStatus_Ok();
    const char *at = st_bundle_text(bundle, bundle->search), *end = at + bundle->search.length;
    config->module_search_paths_set = 1;
    for (; at < end && !PyStatus_Exception(status); at += strlen(at) + 1) {
        wchar_t *path = Py_DecodeLocale(at, NULL);
        if (!path) return PyStatus_NoMemory();
        status = PyWideStringList_Append(&config->module_search_paths, path);
        PyMem_RawFree(path);
    }
    return status;
}

static PyStatus start(const struct st_bundle *bundle)
{
    PyPreConfig before;
    PyConfig config;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    st_allocator_install();
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status)) return status;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.pathconfig_warnings = 0;
    config.install_signal_handlers = 0;
    status = PyConfig_SetBytesString(&config, &config.home, st_bundle_text(bundle, bundle->home));
    if (!PyStatus_Exception(status)) status = append_search(&config, bundle);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

/* Each thread has one array of thread-specific values, whatever the number of C libraries. Of it Python gets what the shim
 * has reserved in the program's, and nothing else. */
static void keep_to(const uint32_t *reserved, uint32_t count)
{
    pthread_key_t key;
    while (!pthread_key_create(&key, NULL)) {}
    for (uint32_t i = 0; i < count; i++) pthread_key_delete(reserved[i]);
}

const char *st_embed(const struct st_bundle *bundle, const uint32_t *keys, uint32_t count)
{
    keep_to(keys, count);
    PyStatus status = start(bundle);
    if (PyStatus_Exception(status)) return status.err_msg ? status.err_msg : "Python did not start";
    const char *failed = load(bundle);
    PyEval_SaveThread();
    return failed;
}
