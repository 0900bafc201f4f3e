/* Leaves out the calls that nobody asked for: by path, by descriptor, by how long they took. In place, batch by batch. */
#include <stdlib.h>
#include <string.h>

#include "../module/module.h"
#include "frame.h"

#define SLOTS 65536u
#define MOST_PATHS 64u

/* What is known of a thread's call under way. */
struct under_way {
    int32_t tid;
    uint32_t wanted;
    uint8_t *held; /* its entry, until it is known how long the call took */
};
/* What an argument must be; a call may have several. */
struct wanted {
    struct wanted *next;
    uint32_t arg, width, op;
    uint64_t value;
};
struct st_select {
    struct st_select_options options;
    struct wanted *arguments[ST_NR_MAX];
    char *paths[MOST_PATHS];
    uint32_t path_count, slots;
    uint64_t shown;
    struct under_way tasks[SLOTS];
};

struct st_select *st_select_new(const struct st_select_options *options)
{
    struct st_select *select = calloc(1, sizeof *select);
    if (select) select->options = *options;
    return select;
}

void st_select_free(struct st_select *select)
{
    for (uint32_t i = 0; select && i < select->path_count; i++) free(select->paths[i]);
    for (uint32_t i = 0; select && i < select->slots; i++) free(select->tasks[i].held);
    for (uint32_t i = 0; select && i < ST_NR_MAX; i++)
        for (struct wanted *one = select->arguments[i], *next; one; one = next) {
            next = one->next;
            free(one);
        }
    free(select);
}

int32_t st_select_path(struct st_select *select, const char *path)
{
    if (select->path_count == MOST_PATHS) return 0;
    select->paths[select->path_count] = strdup(path);
    if (!select->paths[select->path_count]) return 0;
    select->path_count++;
    return 1;
}

int32_t st_select_argument(struct st_select *select, int32_t sysno, uint32_t arg, uint32_t width, uint32_t op, uint64_t value)
{
    struct wanted *one = (uint32_t)sysno < ST_NR_MAX && arg < 6 ? malloc(sizeof *one) : NULL;
    if (!one) return 0;
    *one = (struct wanted){select->arguments[sysno], arg, width, op, value};
    select->arguments[sysno] = one;
    return 1;
}

uint64_t st_select_shown(const struct st_select *select)
{
    return select->shown;
}

static struct under_way *of_task(struct st_select *select, int32_t tid)
{
    struct under_way *old = NULL;
    for (uint32_t i = 0; i < select->slots; i++) {
        if (select->tasks[i].tid == tid) return &select->tasks[i];
        if (!select->tasks[i].tid) old = &select->tasks[i];
    }
    if (!old && select->slots < SLOTS) old = &select->tasks[select->slots++];
    if (old) *old = (struct under_way){.tid = tid, .wanted = 1};
    return old;
}

static int is_path(const struct st_select *select, const uint8_t *text, uint32_t size)
{
    while (size && !text[size - 1]) size--;
    for (uint32_t i = 0; i < select->path_count; i++)
        if (strlen(select->paths[i]) == size && !memcmp(select->paths[i], text, size)) return 1;
    return 0;
}

/* Whether a chunk says that the call is about one of the paths: it was given, or a descriptor leads there. */
static int chunk_wanted(const struct st_select *select, const struct st_entry *entry, const struct st_chunk *chunk)
{
    const uint8_t *bytes = (const uint8_t *)(chunk + 1);
    if (chunk->kind == ST_CHUNK_FD) {
        uint64_t fd = chunk->address;
        if (select->options.by_fd && fd < 1024 && (select->options.fds[fd / 64] >> (fd % 64) & 1)) return 1;
        return is_path(select, bytes, chunk->size);
    }
    if (chunk->kind != ST_CHUNK_MEMORY) return 0;
    uint64_t paths = select->options.path_arguments[(uint32_t)entry->event.sysno % ST_NR_MAX];
    for (uint32_t i = 0; i < 6; i++)
        if ((paths >> i & 1) && entry->args[i] == chunk->address && is_path(select, bytes, chunk->size)) return 1;
    return 0;
}

static int holds(const struct wanted *one, uint64_t value)
{
    if (one->width == 4) value = (uint32_t)value;
    switch (one->op) {
    case ST_EQ: return value == one->value;
    case ST_NE: return value != one->value;
    case ST_LE: return value <= one->value;
    case ST_GE: return value >= one->value;
    default: return (value & one->value) != 0; /* ST_ANY */
    }
}

static int entry_wanted(const struct st_select *select, const struct st_entry *entry)
{
    for (const struct wanted *one = select->arguments[(uint32_t)entry->event.sysno % ST_NR_MAX]; one; one = one->next)
        if (!holds(one, entry->args[one->arg])) return 0;
    if (!select->path_count && !select->options.by_fd) return 1;
    uint32_t at = sizeof *entry;
    while (at + sizeof(struct st_chunk) <= entry->event.size) {
        const struct st_chunk *chunk = (const struct st_chunk *)((const uint8_t *)entry + at);
        if (chunk->size > entry->event.size - at - sizeof *chunk) return 0;
        if (chunk_wanted(select, entry, chunk)) return 1;
        at += (uint32_t)sizeof *chunk + ((chunk->size + 7) & ~7u);
    }
    return 0;
}

static uint8_t *put(uint8_t *to, const void *frame, uint32_t size)
{
    memmove(to, frame, size);
    return to + size;
}

static int has(const uint64_t bits[8], int32_t sysno)
{
    return (uint32_t)sysno < ST_NR_MAX && (bits[sysno / 64] >> (sysno % 64) & 1);
}

/* A frame that is not to be shown: gone, unless it says what is mapped. */
static uint8_t *put_unshown(const struct st_select *select, uint8_t *to, const struct st_event *event)
{
    if (!has(select->options.mapping, event->sysno)) return to;
    struct st_event *moved = (struct st_event *)to;
    to = put(to, event, event->size);
    moved->flags |= ST_EVENT_UNSHOWN;
    moved->checksum = st_frame_sum(moved);
    return to;
}

/* Whether a call is only known to be wanted when it has returned. */
static int waits(const struct st_select *select)
{
    return select->options.slower_ns || select->options.by_error;
}

static uint8_t *entered(struct st_select *select, struct under_way *task, const struct st_entry *entry, uint8_t *to)
{
    task->wanted = !has(select->options.unshown, entry->event.sysno) && entry_wanted(select, entry);
    if (task->wanted && !waits(select)) return put(to, entry, entry->event.size);
    free(task->held);
    task->held = task->wanted ? malloc(entry->event.size) : NULL;
    if (task->held) memcpy(task->held, entry, entry->event.size);
    return put_unshown(select, to, &entry->event);
}

static int failed_so(const struct st_select *select, const struct st_exit *leaving)
{
    int64_t error = -leaving->result;
    if (!select->options.by_error) return 1;
    if (error < 1 || error > 4095 || (leaving->event.flags & ST_EVENT_SUCCESS)) return 0;
    return select->options.errors[error / 64] >> (error % 64) & 1;
}

/* An entry that was held comes out with its exit: `room` is what lies between the frames read and those written. */
static uint8_t *left(struct st_select *select, struct under_way *task, const struct st_event *event, uint8_t *to, uint64_t *spare)
{
    struct st_entry *held = (struct st_entry *)task->held;
    uint8_t *end = to;
    int fast = select->options.slower_ns && (!held || event->time - held->event.time < select->options.slower_ns);
    if (task->wanted && !fast && failed_so(select, (const struct st_exit *)event)) {
        if (held && held->event.size <= *spare) {
            /* the exit is moved first: it may lie where the entry goes */
            uint32_t size = event->size;
            memmove(to + held->event.size, event, size);
            memcpy(to, held, held->event.size);
            end = to + held->event.size + size;
        } else {
            end = put(to, event, event->size);
        }
        select->shown++;
    } else {
        end = put_unshown(select, to, event);
    }
    free(task->held);
    task->held = NULL;
    return end;
}

uint64_t st_select_frames(struct st_select *select, uint8_t *frames, uint64_t size, uint64_t room)
{
    uint8_t *from = frames, *to = frames;
    (void)room;
    if (waits(select)) { /* what is held makes the output longer than the input */
        memmove(frames + room - size, frames, size);
        from = frames + room - size;
    }
    const uint8_t *end = from + size;
    while ((uint64_t)(end - from) >= sizeof(struct st_event)) {
        const struct st_event *event = (const struct st_event *)from;
        uint32_t length = event->size;
        if (length < sizeof *event || length > (uint64_t)(end - from)) break;
        struct under_way *task = of_task(select, event->tid);
        uint64_t spare = (uint64_t)(from - to);
        if (!task || (event->kind != ST_EVENT_ENTRY && event->kind != ST_EVENT_EXIT))
            to = put(to, event, length);
        else if (event->kind == ST_EVENT_ENTRY)
            to = entered(select, task, (const struct st_entry *)event, to);
        else
            to = left(select, task, event, to, &spare);
        if (task && event->kind == ST_EVENT_END) task->tid = 0;
        from += length;
    }
    return (uint64_t)(to - frames);
}
