/* The shim of `selftrace trace --stack-trace=python`: the loader puts it into every dynamic program. In a CPython of the
 * version that it is built for, the interposer then reads the Python stack with each call (module/stack.c); elsewhere it does
 * nothing. What it needs of Python are weak symbols: those of the program, if it has them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <patchlevel.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/preload.h"

/* Whether the interposer lies where it should: asked by a call that is always allowed. */
static int is_armed(void)
{
    return syscall(SYS_rt_sigprocmask, -1, (const void *)ST_BLOB_BASE, NULL, 8) < 0 && errno != EFAULT;
}

/* Frames are laid out alike in all releases of a minor version, but not in builds without a GIL. */
static int is_readable(unsigned long version)
{
    const char *(*describe)(void) = (const char *(*)(void))dlsym(RTLD_DEFAULT, "Py_GetVersion");
    return version >> 16 == PY_VERSION_HEX >> 16 && describe && !strstr(describe(), "free-threading");
}

static void say_unreadable(const struct st_blob *blob, unsigned long version)
{
    static struct st_call call;
    char text[160];
    for (int i = 0; i < 3; i++) call.path_length[i] = call.resolved_length[i] = -1;
    call.address_length = -1;
    call.tid = (int32_t)syscall(SYS_gettid);
    int n = snprintf(text, sizeof text, "no Python stacks: the program is CPython %lu.%lu, selftrace is built for %d.%d%s", version >> 24,
                     version >> 16 & 0xff, PY_MAJOR_VERSION, PY_MINOR_VERSION, version >> 16 == PY_VERSION_HEX >> 16 ? " with a GIL" : "");
    blob->report(&call, ST_RECORD_NOTE, 0, 0, (const uint8_t *)text, (uint32_t)n);
}

__attribute__((constructor)) static void begin(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    const struct st_blob *blob = (const struct st_blob *)ST_BLOB_BASE;
    const struct st_plan *plan = (const struct st_plan *)ST_PLAN_ADDRESS;
    if (!is_armed() || blob->magic != ST_BLOB_MAGIC || blob->abi != ST_ABI || !(plan->flags & ST_PLAN_STACK_PYTHON)) return;
    const unsigned long *version = (const unsigned long *)dlsym(RTLD_DEFAULT, "Py_Version");
    if (version && is_readable(*version))
        blob->attach(NULL, st_python_stack, 0);
    else if (version)
        say_unreadable(blob, *version);
    st_hide(envp, (const char *)plan + plan->texts + plan->shim.offset);
}
