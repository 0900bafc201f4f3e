/* The Python stack of this thread, read without the GIL and without allocating: the thread is inside a call that its
 * own innermost frame made, so its chain of frames stands still, and frames hold their code objects. Layouts are
 * CPython's own, from the headers of the version that this module is built for. */
#define Py_BUILD_CORE 1
#include <Python.h>
#if PY_VERSION_HEX < 0x030b0000 || PY_VERSION_HEX >= 0x030f0000
#error "selftrace supports CPython 3.11 to 3.14"
#endif
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interpframe.h>
#include <internal/pycore_interpframe_structs.h>
#else
#include <internal/pycore_frame.h>
#endif
#include <internal/pycore_code.h>

#include "module.h"

#ifdef ST_WEAK_PYTHON /* pystack.c's: in a program that is no Python there are none */
#pragma weak PyCode_Addr2Line
#pragma weak PyCode_Type
#pragma weak PyGILState_GetThisThreadState
#endif

#if PY_VERSION_HEX >= 0x030d0000
#define FIRST_FRAME(tstate) ((tstate)->current_frame)
#else
#define FIRST_FRAME(tstate) ((tstate)->cframe->current_frame)
#endif

/* Frames between C and Python, which belong to no code of the program's. */
#if PY_VERSION_HEX >= 0x030e0000
#define IS_SHIM(frame) ((frame)->owner == FRAME_OWNED_BY_INTERPRETER)
#elif PY_VERSION_HEX >= 0x030c0000
#define IS_SHIM(frame) ((frame)->owner == FRAME_OWNED_BY_CSTACK)
#else
#define IS_SHIM(frame) 0
#endif

/* The frame's code, NULL for a frame that is no Python code, or not yet. */
static PyCodeObject *code_of(const struct _PyInterpreterFrame *frame)
{
    if (IS_SHIM(frame)) return NULL;
#if PY_VERSION_HEX >= 0x030e0000
    PyObject *object = PyStackRef_AsPyObjectBorrow(frame->f_executable);
#elif PY_VERSION_HEX >= 0x030d0000
    PyObject *object = frame->f_executable;
#else
    PyObject *object = (PyObject *)frame->f_code;
#endif
    return object && PyCode_Check(object) ? (PyCodeObject *)object : NULL;
}

static int line_of(const struct _PyInterpreterFrame *frame, PyCodeObject *code)
{
#if PY_VERSION_HEX >= 0x030d0000
    const _Py_CODEUNIT *at = frame->instr_ptr;
    long offset = (at - _PyCode_CODE(code)) * (long)sizeof(_Py_CODEUNIT);
#else
    long offset = (frame->prev_instr - _PyCode_CODE(code)) * (long)sizeof(_Py_CODEUNIT);
#endif
    return PyCode_Addr2Line(code, (int)offset);
}

struct text {
    uint8_t *at, *end;
};

static void put_byte(struct text *text, unsigned byte)
{
    if (text->at < text->end) *text->at++ = (uint8_t)byte;
}

static void put_character(struct text *text, Py_UCS4 c)
{
    if (c < 0x20 || c == 0x7f) c = '?';
    if (c < 0x80) {
        put_byte(text, c);
    } else if (c < 0x800) {
        put_byte(text, 0xc0 | c >> 6);
        put_byte(text, 0x80 | (c & 63));
    } else if (c < 0x10000) {
        put_byte(text, 0xe0 | c >> 12);
        put_byte(text, 0x80 | (c >> 6 & 63));
        put_byte(text, 0x80 | (c & 63));
    } else {
        put_byte(text, 0xf0 | c >> 18);
        put_byte(text, 0x80 | (c >> 12 & 63));
        put_byte(text, 0x80 | (c >> 6 & 63));
        put_byte(text, 0x80 | (c & 63));
    }
}

static void put_string(struct text *text, PyObject *string)
{
    if (!string || !PyUnicode_Check(string)) return;
    int kind = PyUnicode_KIND(string);
    const void *data = PyUnicode_DATA(string);
    Py_ssize_t length = PyUnicode_GET_LENGTH(string);
    for (Py_ssize_t i = 0; i < length; i++) put_character(text, PyUnicode_READ(kind, data, i));
}

static void put_number(struct text *text, int number)
{
    char digits[12];
    int n = 0;
    unsigned value = number > 0 ? (unsigned)number : 0;
    do digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n) put_byte(text, (unsigned char)digits[--n]);
}

uint32_t st_python_stack(uint8_t *out, uint32_t size, uint32_t *foreign)
{
    struct text text = {out, out + size};
    PyThreadState *tstate = PyGILState_GetThisThreadState();
    *foreign = !tstate;
    if (!tstate) return 0;
    int depth = 0;
    for (struct _PyInterpreterFrame *frame = FIRST_FRAME(tstate); frame && depth < 24; frame = frame->previous) {
        PyCodeObject *code = code_of(frame);
        if (!code) continue;
        uint8_t *start = text.at;
        put_string(&text, code->co_filename);
        put_byte(&text, ':');
        put_number(&text, line_of(frame, code));
        put_byte(&text, ':');
        put_string(&text, code->co_name);
        put_byte(&text, '\n');
        if (text.at == text.end) { /* only whole lines */
            text.at = start;
            break;
        }
        depth++;
    }
    return (uint32_t)(text.at - out);
}
