/* Trace events: what a call was given, what came of it, signals and tasks, as frames in the shared ring. A frame is built in
 * the thread's block, gets its room with one compare-and-swap, and is there for the reader once its stamp is written. */
#include "../trace/frame.h"
#include "core.h"

#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK 0x3fffffffu

static uint64_t now(const struct st_ring_header *ring)
{
    int64_t time[2] = {0, 0};
    if (ring->trace_clock == ST_TIME_COUNTER && !st_state.tsc_off) return __builtin_ia32_rdtsc();
    ST_SYS(__NR_clock_gettime, ring->trace_clock == ST_TIME_CPU ? 3 /* CLOCK_THREAD_CPUTIME_ID */ : 1 /* CLOCK_MONOTONIC */, time);
    return (uint64_t)time[0] * 1000000000ull + (uint64_t)time[1];
}

static struct st_event *begin(struct st_block *block, uint16_t kind, int32_t sysno, uint32_t size)
{
    struct st_event *event = (struct st_event *)block->frame;
    *event =
        (struct st_event){.size = size, .time = now(st_state.ring), .pid = block->pid, .tid = block->tid, .kind = kind, .sysno = sysno};
    return event;
}

/* ---- room ---------------------------------------------------------------------------------------------- */

/* The reader's robust mutex: the kernel itself says that it is gone, however it went. */
static int reader_gone(const struct st_ring_header *ring)
{
    uint32_t word = __atomic_load_n((const uint32_t *)((const uint8_t *)ring + ring->reader_word), __ATOMIC_ACQUIRE);
    return (word & FUTEX_OWNER_DIED) || !(word & FUTEX_TID_MASK);
}

/* The reader may be past `end` by now, if whoever asks has slept: then there is room too. */
static int has_room(const struct st_ring_header *ring, uint64_t end)
{
    return (int64_t)(end - __atomic_load_n(&ring->trace_consumed, __ATOMIC_ACQUIRE)) <= (int64_t)ring->trace_size;
}

/* Waits for room up to `end` as long as somebody reads; 0: the frame is dropped. */
static int wait_for_room(struct st_ring_header *ring, uint64_t end)
{
    int64_t pause[2] = {0, 200000};
    while (!has_room(ring, end)) {
        if (!ring->trace_block || reader_gone(ring)) return 0;
        ST_SYS(__NR_nanosleep, pause, 0);
    }
    return 1;
}

/* Bytes that are left unused before a frame which would run over the ring's end. */
static uint64_t padding(const struct st_ring_header *ring, uint64_t position, uint64_t size)
{
    uint64_t left = ring->trace_size - (position & (ring->trace_size - 1));
    return size > left ? left : 0;
}

/* A position for the frame; *said is it, with bit 0 set, from the moment that it is taken on. */
static int claim(struct st_ring_header *ring, uint64_t size, uint64_t *said)
{
    for (;;) {
        uint64_t old = __atomic_load_n(&ring->trace_reserved, __ATOMIC_RELAXED), end = old + padding(ring, old, size) + size;
        if (!has_room(ring, end)) {
            if (!wait_for_room(ring, end)) return 0;
            continue;
        }
        if (st_claim(&ring->trace_reserved, old, end, said, old | 1)) return 1;
    }
}

static uint8_t *place(const struct st_ring_header *ring, uint64_t position)
{
    return (uint8_t *)ST_TRACE_ADDRESS + (position & (ring->trace_size - 1));
}

/* Whether a stamp has been written, and perhaps been read since: then the place may be another frame's. In this order: what
 * nobody has written nobody has read. */
static int is_there(const struct st_ring_header *ring, const uint64_t *at, uint64_t stamp, uint64_t position)
{
    if (__atomic_load_n(at, __ATOMIC_ACQUIRE) == stamp) return 1;
    return __atomic_load_n(&ring->trace_consumed, __ATOMIC_ACQUIRE) > position;
}

/* Once more, if a signal came in between: the same bytes to the same place, unless they are there already. */
static void publish(struct st_block *block, uint64_t position)
{
    struct st_ring_header *ring = st_state.ring;
    const struct st_event *event = (const struct st_event *)block->frame;
    uint64_t pad = padding(ring, position, event->size);
    if (pad) {
        uint64_t *at = (uint64_t *)place(ring, position), stamp = ST_EVENT_PAD + position;
        if (!is_there(ring, at, stamp, position)) __atomic_store_n(at, stamp, __ATOMIC_RELEASE);
        position += pad;
    }
    struct st_event *to = (struct st_event *)place(ring, position);
    if (is_there(ring, &to->stamp, ST_EVENT_STAMP + position, position)) return;
    memcpy((uint8_t *)to + 8, (const uint8_t *)event + 8, event->size - 8);
    __atomic_store_n(&to->stamp, ST_EVENT_STAMP + position, __ATOMIC_RELEASE);
}

static void finish(struct st_block *block, uint64_t *said)
{
    struct st_event *event = (struct st_event *)block->frame;
    event->checksum = st_frame_sum(event);
    if (claim(st_state.ring, event->size, said))
        publish(block, *said & ~1ull);
    else
        __atomic_fetch_add(&st_state.ring->trace_dropped, 1, __ATOMIC_RELAXED);
}

/* ---- what capture.c reads through ------------------------------------------------------------------------- */

uint32_t st_capture_read(uint8_t *to, uint64_t from, uint32_t size)
{
    return (uint32_t)st_copy_some(to, (const void *)from, size);
}

uint32_t st_capture_string(uint8_t *to, uint64_t from, uint32_t most)
{
    int64_t length = st_copy_string(to, (const void *)from, most);
    if (length >= 0) return (uint32_t)length < most ? (uint32_t)length + 1 : most;
    uint32_t to_edge = 4096 - (uint32_t)(from & 4095);
    return st_capture_read(to, from, to_edge < most ? to_edge : most);
}

uint32_t st_capture_link(int32_t fd, uint8_t *to, uint32_t most)
{
    uint8_t link[40] = "/proc/self/fd/";
    if (fd == -100) memcpy(link, "/proc/self/cwd", sizeof "/proc/self/cwd");
    if (fd != -100) st_put_number(link + 14, fd);
    int64_t length = ST_SYS(__NR_readlink, link, to, most);
    return length < 0 ? 0 : (uint32_t)length;
}

uint32_t st_capture_comm(int32_t tid, uint8_t *to, uint32_t most)
{
    uint8_t path[40] = "/proc/";
    uint8_t *end;
    if (!tid) {
        uint8_t name[16];
        if (most < sizeof name || ST_SYS(__NR_prctl, 16 /* PR_GET_NAME */, name, 0, 0, 0) < 0) return 0;
        memcpy(to, name, sizeof name);
        return st_length(name);
    }
    end = st_put_number(path + 6, tid);
    memcpy(end, "/comm", sizeof "/comm");
    int64_t fd = ST_SYS(__NR_openat, -100 /* AT_FDCWD */, path, 02000000 /* O_CLOEXEC */, 0);
    if (fd < 0) return 0;
    int64_t n = ST_SYS(__NR_read, fd, to, most);
    ST_SYS(__NR_close, fd);
    return n > 0 ? (uint32_t)n - (to[n - 1] == '\n') : 0;
}

/* ---- calls --------------------------------------------------------------------------------------------- */

static void captured(struct st_block *block, const uint64_t args[6], int64_t result, uint32_t when)
{
    struct st_event *event = (struct st_event *)block->frame;
    const struct st_call_entry *entry = st_call_entry_of(event->sysno);
    const struct st_capture *ops = ST_PLAN_AT(struct st_capture, st_state.plan->captures) + entry->captures.first;
    if (!entry->captures.count) return;
    event->size += st_capture_all(ops, entry->captures.count, args, result, when, st_state.plan->string_limit, block->frame + event->size,
                                  (uint32_t)sizeof block->frame - event->size, &event->flags);
}

static int ends(int32_t sysno)
{
    return sysno == __NR_exit || sysno == __NR_exit_group;
}

static void put_entry(struct st_block *block, int32_t sysno, const uint64_t args[6], uint64_t site, const struct st_regs *regs,
                      uint64_t *said)
{
    struct st_entry *entry = (struct st_entry *)begin(block, ST_EVENT_ENTRY, sysno, sizeof *entry);
    memcpy(entry->args, args, sizeof entry->args);
    entry->site = site;
    if (ends(sysno)) entry->event.flags |= ST_EVENT_NO_RETURN;
    captured(block, args, sysno == __NR_rt_sigreturn ? (int64_t)args[0] : 0, ST_CAPTURE_ENTRY); /* its frame */
    if (regs) st_trace_stack(block, regs);
    finish(block, said);
}

/* regs: the program's at the call; NULL: it has no stack to show. */
void st_trace_entry(struct st_block *block, int32_t sysno, const uint64_t args[6], uint64_t site, const struct st_regs *regs)
{
    uint64_t said = 0;
    put_entry(block, sysno, args, site, regs, &said);
}

/* The same from a patched site, with the program's signals open. */
void st_trace_enter(struct st_block *block, struct st_record *record)
{
    put_entry(block, record->sysno, record->args, record->site, NULL, &record->entered);
}

static void put_exit(struct st_block *block, int32_t sysno, const uint64_t args[6], int64_t result, uint32_t flags, uint64_t *said)
{
    struct st_exit *leaving = (struct st_exit *)begin(block, ST_EVENT_EXIT, sysno, sizeof *leaving);
    leaving->result = result;
    leaving->event.flags = (uint16_t)flags;
    if (result != -512 || !(flags & (ST_EVENT_RESTART | ST_EVENT_CANCELLED)))
        captured(block, args, flags & ST_EVENT_RESTART ? -ST_EINTR : result, ST_CAPTURE_EXIT);
    finish(block, said);
}

void st_trace_exit(struct st_block *block, int32_t sysno, const uint64_t args[6], int64_t result, uint32_t flags)
{
    uint64_t said = 0;
    put_exit(block, sysno, args, result, flags, &said);
}

/* What the kernel had for a call that a signal interrupted, before it made EINTR of it for the handler's sake: whoever traces
 * wants to see whether it would have been restarted. Those not listed here are always EINTR. */
static int64_t interrupted(const struct st_record *record)
{
    switch (record->sysno) {
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case __NR_epoll_pwait2:
    case __NR_semop:
    case __NR_semtimedop:
    case __NR_rt_sigtimedwait:
    case __NR_io_getevents:
    case __NR_io_pgetevents:
    case __NR_close: return -ST_EINTR;
    case __NR_pause:
    case __NR_rt_sigsuspend:
    case __NR_select:
    case __NR_pselect6:
    case __NR_ppoll:
    case __NR_msgsnd:
    case __NR_msgrcv: return -514; /* ERESTARTNOHAND */
    case __NR_poll:
    case __NR_nanosleep: return -516; /* ERESTART_RESTARTBLOCK */
    case __NR_clock_nanosleep: return record->args[1] & 1 /* TIMER_ABSTIME */ ? -514 : -516;
    case __NR_futex: return record->args[3] ? -516 : -512;
    default: return -512; /* ERESTARTSYS */
    }
}

void st_trace_interrupted(struct st_block *block, struct st_record *record)
{
    int64_t result = interrupted(record);
    if (record->event == ST_EVENT_DUE && result != -ST_EINTR) {
        record->event = ST_NO_EVENT;
        st_trace_exit(block, record->sysno, record->args, result, ST_EVENT_RESTART);
    }
    st_trace_finish(block, record);
}

/* A signal was first: whatever has been said of the call, it was not made. */
void st_trace_cancel(struct st_block *block, struct st_record *record)
{
    if (!(record->entered & 1)) return;
    publish(block, record->entered & ~1ull);
    record->entered = 0;
    st_trace_exit(block, record->sysno, record->args, -512 /* ERESTARTSYS */, ST_EVENT_CANCELLED);
}

/* After a traced call, as the program, with its signals open; see st_trace_return. */
void st_trace_after(struct st_record *record)
{
    struct st_block *block = st_block_at((uint32_t)(record - st_records));
    st_enter(block);
    put_exit(block, record->sysno, record->args, (int64_t)record->result, record->flags, &record->claimed);
    st_exit(block);
    record->event = ST_EVENT_WRITTEN;
}

/* The same, when a signal came first: from its start, or only what is left if room was taken. */
void st_trace_finish(struct st_block *block, struct st_record *record)
{
    int due = record->event == ST_EVENT_DUE;
    record->event = ST_NO_EVENT;
    if (!due) return;
    if (record->claimed & 1)
        publish(block, record->claimed & ~1ull);
    else
        put_exit(block, record->sysno, record->args, (int64_t)record->result, record->flags, &record->claimed);
}

/* ---- signals and tasks ----------------------------------------------------------------------------------- */

void st_trace_chunk(struct st_block *block, uint64_t address, uint32_t kind, const void *bytes, uint32_t size)
{
    struct st_event *event = (struct st_event *)block->frame;
    struct st_chunk *chunk = (struct st_chunk *)(block->frame + event->size);
    *chunk = (struct st_chunk){.address = address, .size = size, .kind = kind};
    memcpy(chunk + 1, bytes, size);
    event->size += (uint32_t)sizeof *chunk + ((size + 7) & ~7u);
}

/* regs: where the program was. */
void st_trace_signal(struct st_block *block, int32_t signal, const struct st_siginfo *info, const struct st_regs *regs)
{
    uint64_t said = 0;
    if (!st_speaks(block)) return;
    begin(block, ST_EVENT_SIGNAL, signal, sizeof(struct st_event));
    st_trace_chunk(block, regs->rip, ST_CHUNK_MEMORY, info, sizeof *info);
    st_trace_stack(block, regs);
    finish(block, &said);
}

/* Whose event it is, by name. */
static void put_name(struct st_block *block)
{
    uint8_t name[16];
    uint32_t length = st_state.plan->flags & ST_PLAN_NAMES ? st_capture_comm(0, name, sizeof name) : 0;
    if (length) st_trace_chunk(block, 0, ST_CHUNK_COMM, name, length);
}

/* kind: ST_EVENT_EXEC, ST_EVENT_TASK or ST_EVENT_END; number: as in selftrace.h. */
void st_trace_task(struct st_block *block, uint16_t kind, int32_t number, uint16_t flags)
{
    uint64_t said = 0;
    if (!st_speaks(block)) return;
    begin(block, kind, number, sizeof(struct st_event))->flags = flags;
    put_name(block);
    finish(block, &said);
}

/* Another program has taken this one's place. former: the tid of the thread that called exec; objects: what the program
 * consists of so far. */
void st_trace_exec(struct st_block *block, int32_t former, const struct st_object objects[2])
{
    uint64_t said = 0;
    uint8_t bytes[8 + sizeof objects->path];
    if (!st_speaks(block)) return;
    begin(block, ST_EVENT_EXEC, former, sizeof(struct st_event));
    for (int i = 0; i < 2; i++) {
        if (!objects[i].low) continue;
        memcpy(bytes, &objects[i].high, 8);
        memcpy(bytes + 8, objects[i].path, objects[i].length);
        st_trace_chunk(block, objects[i].low, ST_CHUNK_OBJECT, bytes, 8 + objects[i].length);
    }
    finish(block, &said);
}
