/* The preload shim: ordinary libc code in a program that somebody else starts. */
#ifndef ST_PRELOAD_H
#define ST_PRELOAD_H
#include "../module/module.h"

/* Ends the process with 126: nothing goes on that the policy does not hold. */
_Noreturn void st_refuse(const char *what, const char *why);
/* The environment without what brought us here. */
const char *st_variable(char **envp, const char *name);
void st_hide(char **envp, const char *shim);
/* Makes ready for handlers, or refuses. Returns whether they need a Python of ours: the program is none. */
int st_expect_python(const struct st_bundle *bundle);

#endif
