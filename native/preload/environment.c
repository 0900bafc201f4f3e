/* The program shall see the environment as if we were not there, and hand it on like that: programs below it are the
 * loader's. Only /proc/self/environ still shows what it was. */
#include <string.h>

#include "preload.h"

/* Its value, NULL if it is not set. */
const char *st_variable(char **envp, const char *name)
{
    size_t length = strlen(name);
    for (; *envp; envp++)
        if (!strncmp(*envp, name, length) && (*envp)[length] == '=') return *envp + length + 1;
    return NULL;
}

static void drop(char **envp, const char *value)
{
    while (*envp && !(value > *envp && value <= *envp + strlen(*envp))) envp++;
    for (; *envp; envp++) envp[0] = envp[1];
}

/* Takes one entry out of a list as LD_PRELOAD is one, in place. */
static void take_out(char *list, const char *entry)
{
    size_t length = strlen(entry);
    for (char *at = list; *at;) {
        size_t size = strcspn(at, ": ");
        char *next = at + size + (at[size] != 0);
        if (size == length && !memcmp(at, entry, length)) {
            memmove(at, next, strlen(next) + 1);
            if (!*at && at > list) at[-1] = 0; /* it was the last one */
            return;
        }
        at = next;
    }
}

void st_hide(char **envp, const char *shim)
{
    const char *policy = st_variable(envp, "SELFTRACE_POLICY");
    if (policy) drop(envp, policy);
    char *list = (char *)(uintptr_t)st_variable(envp, "LD_PRELOAD");
    if (!list) return;
    take_out(list, shim);
    if (!*list) drop(envp, list);
}
