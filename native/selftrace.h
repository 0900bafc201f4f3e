/* The one interface between the interposer (freestanding), the cffi module, the monitor and Python.
 *
 * cffi reads this file too: between the cffi markers only plain C declarations, integer #defines and enums.
 * All offsets are from the start of the structure that holds them, in bytes. Native byte order. */
#ifndef SELFTRACE_H
#define SELFTRACE_H
#include <stdint.h>
/* cffi: begin */
#define ST_ABI 3

/* ---- where the blob lies --------------------------------------------------------------------- */
#define ST_BLOB_BASE 0x7e9000000000
#define ST_GATE_LO 0x7e900000f002 /* first and last return PC that the filter admits ... */
#define ST_GATE_HI 0x7e9000121ff2
#define ST_BUNDLE_ADDRESS 0x7e9003000000 /* what a program that is not Python has its handlers from, read-only */
#define ST_RING_ADDRESS 0x7e9004000000
#define ST_PLAN_ADDRESS 0x7e9004110000  /* the table, read-only: behind the ring, so that their pages share a table */
#define ST_TRACE_ADDRESS 0x7e9006000000 /* the part of the ring that has events, where there is one */
#define ST_GATE_MASK 15                 /* ... and (PC & mask) == value */
#define ST_GATE_VALUE 2
#define ST_NR_POST 0x3ffff001 /* numbers that are trapped from any PC: how the blob regains control */
#define ST_NR_CHILD 0x3ffff002
#define ST_NR_MAX 512 /* numbers that the tables cover */

/* ---- descriptors that a run keeps for its execs; the program finds them closed ----------------- */
#define ST_KEPT_BLOB 1000
#define ST_KEPT_PLAN 1001
#define ST_KEPT_RING 1002
#define ST_KEPT_BUNDLE 1003  /* empty where the policy has no Python handlers: a number that is refused must be taken */
#define ST_KEPT_PROGRAM 1004 /* the file of the program that the loader started: what /proc/self/exe stands for */
#define ST_KEPT_COUNT 5

/* ---- ring v1: violations and use, many writers in the tracees, one reader in the launcher ----- */
#define ST_RING_MAGIC 0x31676e6972746c73
#define ST_RING_SLOTS 512
#define ST_RING_OFFSET 28672 /* where the records begin, behind the header */
#define ST_RECORD_SIZE 2048
#define ST_RECORD_TEXT 1824

enum st_record_kind {
    ST_RECORD_VIOLATION = 1, /* a call was refused (or, under audit, would have been) */
    ST_RECORD_LOG = 2,       /* an allowed call that a rule logs, or call.log() of a handler */
    ST_RECORD_ERROR = 3,     /* a Python handler failed: the text is its traceback */
    ST_RECORD_USE = 4,       /* first use of a path or address */
    ST_RECORD_NOTE = 5       /* a sentence of the interposer's own for the report */
};

/* CLOCK_MONOTONIC; the time-stamp counter, of which the reader makes it; the thread's processor time. */
enum st_event_time { ST_TIME_CLOCK, ST_TIME_COUNTER, ST_TIME_CPU };

struct st_ring_header {
    uint64_t magic;
    uint32_t abi, slots;
    uint64_t reserved;   /* records ever reserved by writers */
    uint64_t consumed;   /* records ever read by the reader */
    uint64_t dropped;    /* records lost because the ring was full */
    int32_t tasks;       /* forks and threads alive, counted over the tree (advisory); may be off by those under way */
    uint32_t armed;      /* 1 once a tracee has armed itself, 2 once its handlers are loaded too: before that, nothing of the script ran */
    int32_t start_error; /* errno of a first program that could not be started */
    uint32_t looks;      /* how often the monitor has counted the tasks */
    uint64_t calls[ST_NR_MAX]; /* trapped calls by number */
    uint64_t tree_counters[512];
    uint64_t seen[2048]; /* hashes of paths and addresses already reported as used */
    /* Trace events lie behind the records; 0 bytes: nothing is traced. Positions are bytes ever written, multiples of 8. */
    uint64_t trace_offset, trace_size; /* size: a power of two */
    uint64_t trace_reserved, trace_consumed, trace_dropped;
    uint32_t trace_clock; /* st_event_time: what the writers put in */
    uint32_t trace_block; /* a writer waits for room while there is a reader; 0: it drops */
    uint32_t reader_word; /* offset of a robust mutex' futex word: held by the reader, FUTEX_OWNER_DIED once it is gone */
    int32_t trace_only;   /* the one thread that is traced; 0: all are */
    uint64_t reader_mutex[8];
};

/* A slot holds record number n iff commit == n + 1, written last. */
struct st_ring_record {
    uint64_t commit;
    uint64_t time_ns; /* CLOCK_MONOTONIC */
    uint32_t kind;
    int32_t pid, tid, sysno;
    uint32_t row;   /* index in Plan.rows */
    int32_t result; /* what the program saw: -errno, or >= 0 for a log of a passed call */
    uint32_t flags; /* ST_FLAG_* */
    uint16_t path_length, path2_length, stack_length, note_length;
    uint32_t checksum; /* of the record but commit and this field: sum of its 32-bit words */
    uint64_t args[6];
    uint8_t address[112]; /* sockaddr as the call gave it; length in address_length */
    uint16_t address_length, address_pad0;
    uint32_t address_pad1;
    /* path, path2, stack ("file:line:function\n", innermost first), note, one after the other */
    uint8_t text[ST_RECORD_TEXT];
};
#define ST_KILLED 4096      /* -ST_KILLED as result: no errno, the call ended the run */
#define ST_USE_ABSENT 16    /* in the result of a use, beside st_grant: the object was not there before the call (audit only) */
#define ST_USE_LOOKED 32    /* it was not opened, only looked at (audit only) */
#define ST_FLAG_AUDIT 1     /* would have been refused: mode = "audit" */
#define ST_FLAG_TRUNCATED 2 /* text did not fit */
#define ST_FLAG_FOREIGN 4   /* the thread has no Python stack */
/* ---- trace events: variable frames, many writers in the tracees, one reader; a capture file has the same frames ------- */
#define ST_EVENT_STAMP 0x746e657665747321 /* commit word of a frame: this plus its position in bytes; in a file, position 0 */
#define ST_EVENT_PAD 0x2164617065747321   /* plus its position: nothing follows until the ring begins again */
#define ST_EVENT_MAX 16384                /* bytes of one frame, header included */

enum st_event_kind {
    ST_EVENT_ENTRY = 1,  /* struct st_entry, chunks */
    ST_EVENT_EXIT = 2,   /* struct st_exit, chunks */
    ST_EVENT_SIGNAL = 3, /* a signal is about to reach the program: chunk of its siginfo; sysno is the signal's number */
    ST_EVENT_EXEC = 4,   /* the program of `pid` has been replaced; sysno is the tid of the thread that called exec */
    ST_EVENT_TASK = 5,   /* a thread or process begins; sysno is its parent's tid */
    ST_EVENT_END = 6,    /* a task is over; sysno is its wait status, -1: not known */
    ST_EVENT_CLOCK = 7,  /* by the reader: sysno unused, one chunk of 8 bytes: CLOCK_REALTIME at `time`, in ns */
    ST_EVENT_LOST = 8    /* by the reader: sysno frames did not fit, or were not whole */
};

struct st_event {
    uint64_t stamp;
    uint32_t size; /* of the frame, a multiple of 8 */
    uint32_t checksum;
    uint64_t time; /* CLOCK_MONOTONIC in ns; in the ring, the time-stamp counter where the header says so */
    int32_t pid, tid;
    uint16_t kind, flags; /* st_event_kind; ST_EVENT_* flags */
    int32_t sysno;
};
#define ST_EVENT_INJECTED 1    /* exit: the result is a fault's */
#define ST_EVENT_DELAYED 2     /* exit: a fault delayed it */
#define ST_EVENT_RESTART 4     /* exit: a signal came first, the call is made again after its handler (ERESTARTSYS) */
#define ST_EVENT_NO_RETURN 8   /* entry: it will have no exit */
#define ST_EVENT_CUT 16        /* chunks did not fit */
#define ST_EVENT_CANCELLED 64  /* exit: a signal came before the call was made, which comes again: neither is to be shown */
#define ST_EVENT_GROUP 128     /* end: of all threads of the process (exit_group) */
#define ST_EVENT_STAYS 4096    /* end: of the first thread; its process goes on without it */
#define ST_EVENT_SIGNALLED 512 /* exit: a fault sent a signal */
#define ST_EVENT_POKED 1024    /* exit: a fault changed arguments, or the memory that they point at */
#define ST_EVENT_SUCCESS 2048  /* exit: the result is a success whatever its value: a fault said so */
#define ST_EVENT_REFUSED 32    /* exit: the policy's answer, not the kernel's */
#define ST_EVENT_UNSHOWN 256   /* by the reader: only there so that stacks can be unwound */

struct st_entry {
    struct st_event event;
    uint64_t args[6];
    uint64_t site; /* address after the syscall instruction */
};
struct st_exit {
    struct st_event event;
    int64_t result;
};

/* What was in the program's memory: `size` bytes from `address` on, padded to a multiple of 8; less than was asked for if the
 * rest could not be read. */
struct st_chunk {
    uint64_t address;
    uint32_t size, kind;
};
enum st_chunk_kind {
    ST_CHUNK_MEMORY,
    ST_CHUNK_FD,        /* address: a descriptor; the bytes: its link in /proc, no NUL */
    ST_CHUNK_REGISTERS, /* of the program at the call: ST_STACK_REGISTERS words in the order of struct st_regs; for -k */
    ST_CHUNK_PYTHON,    /* "file:line:function\n", innermost first */
    ST_CHUNK_STACK,     /* what lies on the program's stack, from its stack pointer up */
    ST_CHUNK_OBJECT,    /* exec: a file that has been mapped at `address`: where its mapping ends, 8 bytes; its path, no NUL */
    ST_CHUNK_COMM       /* address: a task, 0: the event's own; the bytes: its name, no NUL; for -Y */
};

#define ST_STACK_REGISTERS 17 /* r8 ... rsp rip */
#define ST_STACK_MOST 12288   /* bytes captured of a stack: with what calls usually have of their own, a frame holds it */

/* What is captured of a call. When and what: by the table in native/generate/data/decode.txt. Counts that arguments give are
 * taken as 32 bits where `size` says no more; whatever they say, a chunk is at most `ST_CAPTURE_MOST` bytes where nothing else
 * is said. ST_CAPTURE_RESULT_ARG as `arg` or `length`: the call's result instead of an argument; on
 * entry, the stack pointer. */
enum st_capture_kind {
    ST_CAPTURE_BYTES,    /* `size` bytes at args[arg], or as many of them as can be read */
    ST_CAPTURE_STRING,   /* up to a NUL, at most the string limit and one more */
    ST_CAPTURE_PATH,     /* up to a NUL, at most 4096 */
    ST_CAPTURE_BUFFER,   /* args[length] elements of `size` bytes, at most the string limit (bytes: one more) */
    ST_CAPTURE_RESULT,   /* `result` elements of `size` bytes, at most the string limit */
    ST_CAPTURE_ARRAY,    /* args[length] elements of `size` bytes, at most ST_CAPTURE_MOST bytes */
    ST_CAPTURE_COUNTED,  /* as many bytes as the 32-bit number at args[length] says, at most `size`; and that number */
    ST_CAPTURE_IOVEC,    /* args[length] iovecs and what they point at; on exit as much of it as `result` says */
    ST_CAPTURE_MSGHDR,   /* a msghdr, its name, iovecs and their data, control; `size` 1: links of descriptors in it as well */
    ST_CAPTURE_MMSGHDR,  /* args[length] mmsghdrs (on exit: `result`), each as above */
    ST_CAPTURE_STRINGS,  /* a NULL-terminated array of pointers, and the first `size` strings of it */
    ST_CAPTURE_FD,       /* the link of descriptor args[arg] (AT_FDCWD: of the current directory); under -y */
    ST_CAPTURE_INDIRECT, /* `size` bytes at the address that is at args[arg] + length */
    ST_CAPTURE_DECIMAL,  /* as BYTES with args[length] as their number, at most `size` */
    ST_CAPTURE_RETURNED, /* `result` bytes, at most `size` */
    ST_CAPTURE_IOCTL,    /* as BYTES with the size in the request args[length], at least 64, at most `size` */
    ST_CAPTURE_POINTERS, /* args[length] pointers, and `size` bytes at each of the first 32 */
    ST_CAPTURE_FDS,      /* the links of descriptors that args[length] elements of `size` bytes begin with; `size` 0: of those
                            whose bits are set among args[length] bits; under -y */
    ST_CAPTURE_TEXT,     /* as STRING, at the address that is at args[arg] + length; at most `size` */
    ST_CAPTURE_COMM      /* the name of task args[arg]; ST_CAPTURE_SELF: of the one that makes the call */
};
#define ST_CAPTURE_MOST 4096
#define ST_CAPTURE_RESULT_ARG 255
#define ST_CAPTURE_SELF 254
#define ST_CAPTURE_ENTRY 1
#define ST_CAPTURE_EXIT 2   /* where the call succeeded */
#define ST_CAPTURE_FAILED 4 /* on exit, where it failed */
struct st_capture {
    uint8_t kind, arg, length, when;
    uint32_t size;
};

/* ---- the policy table (sealed, read-only in the tracee); written by selftrace/policy/encode.py ---- */
#define ST_PLAN_MAGIC 0x316e616c706c7473
#define ST_PLAN_AUDIT 1         /* nothing is refused, all that would be is reported */
#define ST_PLAN_KILL_ON_ERROR 2 /* [default] on_error = "kill" */
#define ST_PLAN_FS_CLOSED 4
#define ST_PLAN_NET_CLOSED 8
#define ST_PLAN_HOSTS 16          /* programs may be started: the run keeps descriptors for the loader */
#define ST_PLAN_PYTHON 32         /* rules ask Python handlers */
#define ST_PLAN_POKES 2048        /* rules change memory before the call is seen */
#define ST_PLAN_WATCHED 4096      /* nothing is refused: the program may have filters of its own */
#define ST_PLAN_NAMES 8192        /* events have the names of the tasks that they are about */
#define ST_PLAN_TRACE_ONE 128     /* ... of the first thread alone */
#define ST_PLAN_NO_VDSO 256       /* programs make calls of what the vDSO would answer */
#define ST_PLAN_TRACE 64          /* calls, signals and tasks go into the ring as events */
#define ST_PLAN_STACK 512         /* ... with registers and stack: whoever reads them unwinds it */
#define ST_PLAN_STACK_PYTHON 1024 /* ... with the Python stack, where the program is a Python that we can read */

enum st_operator { ST_EQ, ST_NE, ST_LT, ST_LE, ST_GT, ST_GE, ST_BETWEEN, ST_ANY, ST_NONE, ST_ONLY, ST_IN, ST_MASKED };
enum st_grant { ST_GRANT_READ = 1, ST_GRANT_WRITE = 2, ST_GRANT_EXEC = 4, ST_GRANT_OPEN = 8 /* by the open flags */ };
enum st_follow { ST_FOLLOW_ALWAYS, ST_FOLLOW_NEVER, ST_FOLLOW_OPEN, ST_FOLLOW_AT_NOFOLLOW, ST_FOLLOW_AT_FOLLOW, ST_FOLLOW_OPENAT2 };
enum st_pattern_kind { ST_PATTERN_EXACT, ST_PATTERN_TREE, ST_PATTERN_GLOB };
enum st_addr_kind { ST_ADDR_CONNECT, ST_ADDR_BIND, ST_ADDR_SENDMSG, ST_ADDR_SENDMMSG };
enum st_action {
    ST_ALLOW,
    ST_ERROR,
    ST_RETVAL,
    ST_CONTENT,
    ST_SIGNAL,
    ST_LOG,
    ST_DELAY_ENTER,
    ST_DELAY_EXIT,
    ST_KILL,
    ST_PYTHON,
    ST_SYSCALL, /* another call is made, one without arguments or effect; another rule says what the program gets */
    ST_SHORT,   /* at most `value` bytes are moved */
    ST_DATA,    /* the call is not made; the program reads `content` */
    ST_POKE_ENTER,
    ST_POKE_EXIT
};
/* Where the bytes are that a call moves: in one buffer, in iovecs, in a msghdr's. */
enum st_vector { ST_BUFFER, ST_IOVECS, ST_MSGHDR };
enum st_count_by { ST_COUNT_THREAD, ST_COUNT_PROCESS, ST_COUNT_TREE };
enum st_match_kind { ST_MATCH_SCALAR, ST_MATCH_PATH, ST_MATCH_ADDR, ST_MATCH_THREAD, ST_MATCH_SCOPE };
#define ST_GATE_KILL 1
#define ST_GATE_LOG 2
#define ST_GATE_QUIET 4
#define ST_COUNTERS 512
#define ST_SCOPES 32 /* in process: whom a rule or an event is for, a bit in a thread's mask */

struct st_span {
    uint32_t first, count;
}; /* a run of entries in the array that the field is about */
struct st_text {
    uint32_t offset, length;
}; /* in the texts */

struct st_condition {
    uint8_t arg, width, op, pad[5];
    struct st_span set;
    uint64_t value, value2;
};
struct st_call_gate {
    int32_t error;
    uint32_t row, flags;
    struct st_span conditions;
};
struct st_path_use {
    int8_t dirfd, path, flags;
    uint8_t grant, follow, pad[3];
};
struct st_addr_use {
    uint8_t kind, fd, addr, length;
};
struct st_pattern {
    uint32_t kind, row;
    struct st_text text;
};
struct st_addr_pattern {
    uint16_t family;
    uint8_t prefix, protocol;
    uint16_t port_low, port_high;
    uint8_t address[16];
    struct st_text path;
};
struct st_match {
    uint8_t kind, which, negate, pad;
    struct st_span span;
};
struct st_rule {
    uint32_t row;
    uint8_t action, count_by;
    uint8_t fired;                 /* 1 + index of the count of its acts; 0: they are not counted */
    uint8_t vector, buffer, count; /* short, data: st_vector, and the arguments that it is at */
    uint8_t pad[2];
    int32_t error, signal;
    int64_t value;          /* retval; short: bytes; syscall: its number */
    struct st_text content; /* pokes: each an argument's index, a length of 16 bits, and as many bytes for where it points */
    uint32_t delay_us;
    int32_t handler;
    uint64_t seed;
    uint32_t chance;            /* of 2^32: how many of the calls whose turn it is; 0: all */
    uint32_t first, last, step; /* when; last 0xffffffff: no end; first 0: no counter */
    uint32_t counter;           /* index of its counter */
    struct st_span matches;
};
/* address: index + 1 of an st_addr_use; fd: index of the first descriptor argument, -1: none */
struct st_call_entry {
    struct st_span gates, rules, paths, captures;
    uint32_t address;
    int32_t fd;
    uint32_t known;
    uint32_t traced; /* the scopes that want its events */
};

struct st_plan {
    uint64_t magic;
    uint32_t abi, size, flags;
    int32_t unknown_error;
    uint32_t unknown_row, fs_row, net_row, integrity_row, tasks, tasks_row;
    struct st_span fs_read, fs_write, fs_exec, fs_deny, fs_quiet, net_connect, net_bind;
    uint32_t filter, filter_count; /* offset and number of 8-byte BPF instructions; 0: none */
    uint32_t floor, floor_count;   /* the number-only filter */
    uint32_t calls;                /* offsets of the arrays, in bytes from the start */
    uint32_t gates, conditions, sets, paths, addresses, patterns, addr_patterns, matches, rules, rule_refs, captures, texts;
    uint32_t string_limit; /* bytes captured of a string or buffer */
    struct st_text shim;   /* ST_PLAN_STACK_PYTHON: what the loader puts into programs; a NUL behind it */
};

/* ---- what the preload shim works from: a file of `selftrace preload`, or ST_KEPT_BUNDLE; by selftrace/backends/bundle.py -- */
#define ST_BUNDLE_MAGIC 0x31656c646e756273
#define ST_BUNDLE_HOSTS 1
#define ST_BUNDLE_PYTHON 2 /* there are handlers: the fields from `libpython` on are filled */

/* Offsets in st_text are from the start; texts end with a NUL that their length does not count. */
struct st_bundle {
    uint64_t magic;
    uint32_t abi, size, flags, pad;
    uint64_t own_proc;                    /* Landlock: rights on /proc/self */
    struct st_text table;                 /* the plan's; empty in ST_KEPT_BUNDLE */
    struct st_text ruleset, paths, ports; /* Landlock: attributes, rules as st_landlock_paths has them, (port, rights) as 64 bits each */
    struct st_text rlimits;               /* (resource, soft, hard), 64 bits each */
    struct st_text interposer, shim;      /* paths of the blob and of the shim itself */
    struct st_text libpython, native, bootstrap; /* paths */
    struct st_text version;                      /* Py_GetVersion() of the Python that all this is built for */
    struct st_text home, search;                 /* its prefix; sys.path, each entry followed by a NUL */
    struct st_text specification;                /* for bootstrap.py's `embed` */
};

/* ---- a call on its way, as Python handlers see it --------------------------------------------- */
#define ST_PATH_MAX 4096
#define ST_INTERRUPTED 2 /* KeyboardInterrupt in a handler */
struct st_call {
    uint64_t args[6];
    uint64_t site; /* return address of the program's syscall instruction */
    int64_t result;
    int32_t sysno;
    uint32_t rule;     /* next entry of the call's rule list */
    uint32_t rule_row; /* row of the rule that decided last */
    int32_t tid;
    uint32_t handler;
    uint32_t copied;        /* bit i: args[i] points at a private copy in this structure */
    int32_t path_length[3]; /* path, path2, fd's path, as given; -1: not known yet */
    int32_t resolved_length[3];
    int32_t address_length; /* -1: not known yet */
    uint32_t delay_exit_us, signal;
    uint32_t grants[2];
    uint32_t quiet;
    uint32_t decided;     /* 1, or ST_INTERRUPTED: a handler answered, result holds it */
    uint32_t event_flags; /* ST_EVENT_* of the exit's event */
    uint32_t poke;        /* index + 1 of the rule that changes memory when it returns */
    uint64_t block;       /* the thread's block, for the blob */
    uint8_t address[128];
    uint64_t message[7]; /* private copy of a msghdr */
    uint8_t small[64];   /* private copies of masks, open_how */
    uint8_t path[2][ST_PATH_MAX];
    uint8_t resolved[3][ST_PATH_MAX];
    uint8_t walk[2][ST_PATH_MAX]; /* path resolution at work */
};

/* What is decided about a call. */
enum st_verdict { ST_VERDICT_PASS, ST_VERDICT_RESULT, ST_VERDICT_KILL, ST_VERDICT_PYTHON };

/* ---- between the cffi module and the blob ------------------------------------------------------- */
#define ST_BLOB_MAGIC 0x31626f6c626c7473
struct st_arm {
    const void *plan; /* the table, mapped read-only */
    uint64_t plan_size;
    struct st_ring_header *ring;                                        /* mapped shared, or NULL */
    uint32_t (*stack)(uint8_t *text, uint32_t size, uint32_t *foreign); /* this thread's Python stack; async-signal-safe */
    void (*hook)(struct st_call *call);                                 /* a Python verdict; may be NULL */
    int32_t landlock_fd;                                                /* -1: none */
    uint32_t ldso_known;
    uint64_t ldso_low, ldso_high; /* ld.so's text: Python is never called for sites in it */
};
/* User dispatch: a thread's own, in its thread-local storage. The kernel reads `selector` on each call; it is
 * `dispatched && !aside`. */
struct st_own {
    uint8_t selector, dispatched, aside, pad[5];
    uint64_t record; /* its block's, if traced calls need not arrive; else 0 */
};
/* What lies outside the blob, because a thread may be there while it is unmapped. `visitors` counts the threads without a
 * block that are inside, `leaving` those that have quit and are still on their way. */
struct st_door {
    uint64_t entry, restorer, out, back, gone;
    uint64_t *visitors, *leaving;
    struct st_own *(*own)(void);  /* the calling thread's; async-signal-safe */
    struct st_patching *patching; /* NULL: no site is patched */
};
/* What became of a site whose calls arrive and need not. Too few: it has not arrived often enough. */
enum st_patch_result {
    ST_PATCH_DONE,
    ST_PATCH_NO_OBJECT,   /* in no file, or one that was mapped later or has no table of functions */
    ST_PATCH_NO_PADDING,  /* none between functions near it */
    ST_PATCH_TWO_LINES,   /* the instruction lies in two cache lines */
    ST_PATCH_OTHER_BYTES, /* somebody else has changed the instruction: a debugger's breakpoint */
    ST_PATCH_NO_ARENA,    /* no memory near it, or full */
    ST_PATCH_REFUSED,     /* by the kernel */
    ST_PATCH_RESULTS
};
struct st_patch_results {
    uint32_t sites[7];
    int32_t refused; /* an errno */
};
/* Where a thread stands that a tracer outside has stopped. regs: those of struct st_regs, r8 to eflags. */
struct st_standing {
    uint64_t regs[18];
    int64_t call; /* of the call that it was in, its number: a result of -ERESTART… has yet to be acted on. -1: in none */
    uint64_t mask;
};
enum st_order { ST_ORDER_JOIN = 1, ST_ORDER_QUIT = 2 };
struct st_blob {
    uint64_t magic;
    uint32_t abi, pad;
    uint64_t end;                             /* last address of the blob's own segments */
    int64_t (*arm)(const struct st_arm *arm); /* 0 or -errno */
    int64_t (*next)(struct st_call *call);    /* an st_verdict: the rest of the rules */
    int64_t (*execute)(struct st_call *call); /* runs it: result or -errno */
    int64_t (*gate)(int64_t nr, int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f);
    int64_t (*copy_in)(void *to, const void *from, uint64_t size); /* 0 or -EFAULT */
    int64_t (*content)(const void *bytes, uint64_t size);          /* an fd or -errno */
    void (*report)(struct st_call *call, uint32_t kind, uint32_t row, int64_t result, const uint8_t *note, uint32_t length);
    void (*own)(int32_t on); /* this thread's calls are a handler's from now on, or no longer */
    uint64_t gate_call;      /* address of a `syscall; ret` in the gate */
    /* A hook for a process that is armed without one; as in st_arm. embedded: its Python is ours, the program has none. */
    void (*attach)(void (*hook)(struct st_call *call), uint32_t (*stack)(uint8_t *text, uint32_t size, uint32_t *foreign),
                   int32_t embedded);
    /* ---- user dispatch: dispatch.c has what each is for */
    uint64_t signal_entry, sigsys_entry;
    int64_t (*engage)(const struct st_arm *arm, const struct st_door *door);
    int64_t (*join)(uint32_t scopes, uint64_t program);
    int64_t (*quit)(void);
    void (*scope_begins)(uint32_t scopes);
    int32_t (*scope_ends)(uint32_t scope, int32_t *tids, int32_t most, int32_t *born);
    int64_t (*order)(int32_t tid, uint32_t order, uint32_t scopes);
    int32_t (*is_dispatched)(int32_t tid);
    void (*change)(const struct st_plan *plan);
    void (*forget_counter)(uint32_t counter);
    void (*release)(void);
    uint64_t *fired;
    /* ---- put in from outside: remote.c */
    uint64_t remote_call;                         /* calls what rax says, on the stack that it is given, and stops */
    int64_t (*depart)(struct st_standing *where); /* the calling thread's end of dispatch: 0, or -EAGAIN: let it run on a bit */
};
/* cffi: end */
#endif
