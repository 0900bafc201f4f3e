/* `_start`: what a tracee needs in its first moments, as an extension module of its own in the same shared object. The cffi
 * module would bring _cffi_backend with it, half a millisecond of each run, and is loaded for handlers only. */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guard.h"
#include "module.h"

static PyObject *failed(int64_t result, const char *step)
{
    PyObject *text = PyUnicode_FromFormat("%s: %s", step, strerror((int)-result));
    PyObject *error = text ? PyObject_CallFunction(PyExc_OSError, "iO", (int)-result, text) : NULL;
    if (error) PyErr_SetObject(PyExc_OSError, error);
    Py_XDECREF(error);
    Py_XDECREF(text);
    return NULL;
}

/* arm(blob_fd, plan_fd, ring_fd, ruleset_fd, own_proc, with_hook); ruleset_fd -1: none. Closes them, but for those that
 * the run keeps. */
static PyObject *arm(PyObject *module, PyObject *args)
{
    int blob, plan, ring, ruleset, with_hook;
    unsigned long long own_proc;
    (void)module;
    if (!PyArg_ParseTuple(args, "iiiiKp", &blob, &plan, &ring, &ruleset, &own_proc, &with_hook)) return NULL;
    int64_t result = st_map_blob(blob);
    if (blob < ST_KEPT_BLOB) close(blob);
    if (result < 0) return failed(result, "mapping the interposer");
    if (ruleset >= 0 && own_proc) result = -st_grant_own_proc(ruleset, own_proc);
    if (result < 0) return failed(result, "granting /proc/self");
    result = st_arm_interposer(plan, ring, ruleset, with_hook);
    if (result < 0) return failed(result, "arming the interposer");
    Py_RETURN_NONE;
}

static PyObject *ready(PyObject *module, PyObject *none)
{
    (void)module;
    (void)none;
    st_ready();
    Py_RETURN_NONE;
}

/* guard(gate_fd, filter_fd, ruleset_fd, own_proc): under a supervisor from here on. */
static PyObject *guard(PyObject *module, PyObject *args)
{
    struct st_guard wanted;
    const char *step;
    unsigned long long own_proc;
    (void)module;
    if (!PyArg_ParseTuple(args, "iiiK", &wanted.gate, &wanted.filter, &wanted.ruleset, &own_proc)) return NULL;
    wanted.own_proc = own_proc;
    int error = st_guard(&wanted, &step);
    if (error) return failed(-error, step);
    Py_RETURN_NONE;
}

/* watch(on) -> what was the case before. Here because the lock is held throughout: given up and taken again it would be seen. */
static PyObject *watch(PyObject *module, PyObject *on)
{
    (void)module;
    return PyBool_FromLong(st_watch(on == Py_True));
}

static PyMethodDef methods[] = {
    {"arm", arm, METH_VARARGS, NULL},
    {"guard", guard, METH_VARARGS, NULL},
    {"ready", ready, METH_NOARGS, NULL},
    {"watch", watch, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_start", .m_size = -1, .m_methods = methods};

PyMODINIT_FUNC PyInit__start(void)
{
    return PyModule_Create(&definition);
}
