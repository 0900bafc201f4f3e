/* The cffi module's own C: it maps the blob, reads Python's frames and takes the GIL. Ordinary libc code. */
#ifndef ST_MODULE_H
#define ST_MODULE_H
#include "../selftrace.h"
/* cffi: begin */
/* A system call, through no libc wrapper. Returns its result or -errno. */
int64_t st_syscall(int64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f);
/* Maps the blob in fd at its address. Returns 0 or -errno: EEXIST if something lies there, ENOEXEC if it is no blob,
 * EPROTO if it is of another version. */
int32_t st_map_blob(int32_t fd);
/* The mapped blob; NULL before. */
const struct st_blob *st_blob_mapped(void);
/* Takes the blob that is mapped and armed already. 0, ENOEXEC if that is none, EPROTO if it is of another version. */
int32_t st_adopt(void);
/* Maps plan and ring, arms the interposer: from its return on, calls are judged. 0 or -errno. with_hook: the plan has
 * Python handlers. */
int32_t st_arm_interposer(int32_t plan_fd, int32_t ring_fd, int32_t landlock_fd, int32_t with_hook);
/* Tells the launcher that the script may begin. */
void st_ready(void);
/* The rest of a call's rules and the call itself, for a handler's proceed(); on the thread that made the call. */
int64_t st_proceed_next(struct st_call *call);
int64_t st_proceed_execute(struct st_call *call);
/* Reads the program's memory. 0 or -EFAULT. */
int32_t st_read_memory(void *to, uint64_t from, uint64_t size);
int64_t st_make_content(const void *bytes, uint64_t size);
void st_report_text(struct st_call *call, uint32_t kind, uint32_t row, int64_t result, const uint8_t *note, uint32_t length);
/* This thread's Python stack as "file:line:function\n", innermost first: what reports carry. */
uint32_t st_python_stack(uint8_t *text, uint32_t size, uint32_t *foreign);
/* The sum that a whole record's checksum is. */
uint32_t st_record_sum(const void *record);
/* The checksum that a whole frame has (native/trace/frame.h). */
uint32_t st_event_sum(const struct st_event *event);
/* Where the frames of a capture begin, as far as they are whole: at most *count, set to their number. Returns where the last
 * of them ends. corrupt: 1 if no frame can begin there, 0 if one may go on behind `size` (or *count was too small). bytes is
 * aligned to 8. */
uint64_t st_frames_whole(const uint8_t *bytes, uint64_t size, uint32_t *offsets, uint32_t *count, int32_t *corrupt);
/* Adds rules for paths, one after the other: 8 bytes of rights on a directory, 8 bytes of rights on anything else, the path
 * and a NUL. A path that does not exist grants nothing. 0, or -errno and the offset of the rule that failed. */
int64_t st_landlock_paths(int32_t ruleset, const uint8_t *rules, uint64_t size, uint64_t *failed);
/* ---- the reader's end of the event ring. The thread that makes one is held to be it: when it ends, writers wait no more.
 * ring: mapped, its trace_* fields filled. NULL: errno says why. */
struct st_drain;
struct st_drain *st_drain_new(void *ring);
void st_drain_free(struct st_drain *drain);
/* Whole frames, with times in ns, in the order in which they got their room; at least ST_EVENT_MAX bytes of room. Returns
 * the bytes written to `out`, 0: nothing is there now. */
uint64_t st_drain_read(struct st_drain *drain, uint8_t *out, uint64_t room);
/* Frames that did not fit, or were never finished. */
uint64_t st_drain_lost(const struct st_drain *drain);
/* ---- tasks that were killed: `dead` makes the frames of their ends. first: the process that we are the parent of, and the
 * wait status that it had; -1: not known. A task is taken for dead when it was gone the time before too, and everything has
 * been read in between; last: nothing comes any more. Returns the bytes written. */
struct st_tasks;
struct st_tasks *st_tasks_new(void);
void st_tasks_free(struct st_tasks *tasks);
void st_tasks_feed(struct st_tasks *tasks, const uint8_t *frames, uint64_t size);
uint64_t st_tasks_dead(struct st_tasks *tasks, int32_t first, int32_t status, int32_t last, uint8_t *out, uint64_t room);
/* ---- leaving calls out. path_arguments: by number of the call, bit i: argument i is a path. by_fd: only calls on `fds`.
 * slower_ns: only calls that took as long. mapping: calls that stay in any case, marked ST_EVENT_UNSHOWN where they are left
 * out; unshown: calls that are always. Bits by number. */
struct st_select_options {
    uint64_t fds[16], slower_ns, mapping[8], unshown[8], errors[64]; /* errors: bit: errno */
    uint32_t by_fd, by_error;
    uint8_t path_arguments[512];
};
struct st_select;
struct st_select *st_select_new(const struct st_select_options *options);
void st_select_free(struct st_select *select);
/* Only calls on this path, or another that was named. 0: too many. */
int32_t st_select_argument(struct st_select *select, int32_t sysno, uint32_t arg, uint32_t width, uint32_t op, uint64_t value);
int32_t st_select_path(struct st_select *select, const char *path);
/* The frames of a buffer of `room` bytes, without those that are left out. Returns the bytes that stay. */
uint64_t st_select_frames(struct st_select *select, uint8_t *frames, uint64_t size, uint64_t room);
/* Calls that were let through and have returned. */
uint64_t st_select_shown(const struct st_select *select);
/* ---- counting calls. buckets: of durations, by their highest bit and the four below it. */
struct st_count {
    uint64_t calls, errors, total_ns, shortest_ns, longest_ns;
    uint64_t buckets[992];
};
struct st_counts;
struct st_counts *st_counts_new(void);
void st_counts_free(struct st_counts *counts);
void st_counts_feed(struct st_counts *counts, const uint8_t *frames, uint64_t size);
/* NULL: no such call returned. */
const struct st_count *st_counts_of(const struct st_counts *counts, uint32_t sysno);
/* The same in this process, for a ring that nobody waits for: any thread may read. */
struct st_drain *st_drain_local(void *ring);
void st_drain_forget(struct st_drain *drain);
/* ---- tracing in this process, by Syscall User Dispatch. One engagement at a time; callers hold a lock of their own. */
/* Maps the blob (its descriptor stays the caller's), a ring with room for trace_bytes of events (a power of two), takes the signal handlers. plan stays the caller's. */
int32_t st_dispatch_engage(int32_t blob_fd, const void *plan, uint64_t trace_bytes);
/* Gives the handlers back and unmaps everything; no thread is under dispatch any more. -ETIMEDOUT: a thread sits in a signal
 * handler's beginning, the blob stays, unused. */
int32_t st_dispatch_release(void);
/* The plan from now on; the one before is not read any more on return. */
void st_dispatch_change(const void *plan);
/* Puts this thread under these scopes. */
int32_t st_dispatch_join(uint32_t scopes);
/* The same for another thread, which does it when it gets around to: see st_dispatch_has. Watched at once. */
int32_t st_dispatch_order_join(int32_t tid, uint32_t scopes);
int32_t st_dispatch_has(int32_t tid);
/* Takes the scope from all threads, and those that are under none now off dispatch. How many could not be reached. */
int32_t st_dispatch_scope_ends(uint32_t scope);
void st_dispatch_forget_counter(uint32_t counter);
uint64_t st_dispatch_fired(uint32_t scope);
void st_dispatch_unfire(uint32_t scope);
/* Whether this thread's calls arrive, from now on, if it is under dispatch; 0: they are our own. Returns what was so before. */
int32_t st_watch(int32_t on);
/* Puts all threads that are under dispatch under these scopes too. */
void st_dispatch_scope_begins(uint32_t scopes);
/* Since the blob was mapped: sites by st_patch_result. */
void st_dispatch_patches(struct st_patch_results *results);
/* How many of a site's calls arrive before it is patched; more than 254: none is patched. */
#define ST_PATCH_NEVER 255
void st_dispatch_patience(uint32_t calls);
/* cffi: end */

int32_t st_own_offset(void);
struct st_patching *st_patch_prepare(void);
void st_patch_restore(void);
void st_patch_forked(void);
void st_blob_unmapped(void);
void st_hook(struct st_call *call);
/* Between the preload shim and this module; NULL, or what went wrong. st_embed starts a Python of its own, and returns
 * without the GIL; keys: the thread-specific ones that its C library may use. st_embed_adopt uses the Python that runs. */
const char *st_embed(const struct st_bundle *bundle, const uint32_t *keys, uint32_t count);
const char *st_embed_adopt(const struct st_bundle *bundle, const uint32_t *keys, uint32_t count);
void st_embed_fork(int step); /* around a fork of the program's: 0 before it, 1 in the parent, 2 in the child */
void st_forget_helpers(void);
/* Before PyGILState_Ensure, in a thread that Python may not know. Births are held meanwhile, and over a fork: see hook.c. */
void st_know_thread(void);
void st_births_hold(void);
void st_births_release(void);
void st_allocator_install(void);
void st_allocator_hold(void);
void st_allocator_release(void);

static inline const char *st_bundle_text(const struct st_bundle *bundle, struct st_text text)
{
    return (const char *)bundle + text.offset;
}
#endif
