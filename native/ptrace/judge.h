/* A policy held by the supervisor: the interposer's own rules (native/interposer: verdict, paths, addresses, tamper, ring),
 * compiled a second time, with the program's memory, descriptors and directories reached from outside. */
#ifndef ST_JUDGE_H
#define ST_JUDGE_H
#include "supervisor.h"
/* cffi: begin */
struct st_judge_state;
/* plan: struct st_plan, ring: where reports go; both stay the caller's and outlive it. starts: the first program has yet to be
 * executed, and that call is not judged. NULL: no memory. The rest is for struct st_ptrace_options. */
struct st_judge_state *st_judge_new(const void *plan, void *ring, uint32_t starts);
void st_judge_free(struct st_judge_state *judge);
int32_t st_judge_enter(void *judge, struct st_ptrace_call *call);
void st_judge_leave(void *judge, struct st_ptrace_call *call);
void st_judge_ends(void *judge, int32_t tid, int32_t pid, int32_t dead);
/* cffi: end */
#endif
