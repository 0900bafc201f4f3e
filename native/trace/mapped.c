/* Which file lies where, process by process: an exec says what the loader has mapped, mmap, munmap and mremap the rest, and a
 * child has what its parent had. So nothing has to be asked of a process, which may be gone when its events are read. */
#include <asm/unistd.h>
#include <stdlib.h>
#include <string.h>

#include "mapped.h"

#define BUCKETS 1024u

struct st_texts {
    struct st_texts *next;
    char text[];
};

/* A thread: whose it is, and the mapping call that it is in. */
struct mapper {
    struct mapper *next;
    int32_t tid, pid, sysno; /* sysno -1: in no call of ours */
    uint64_t args[6];
    const char *path;
};
struct st_mapped {
    struct st_process *processes[BUCKETS];
    struct mapper *threads[BUCKETS];
    struct st_texts *names;
};

const char *st_intern(struct st_texts **names, const char *text, uint32_t length)
{
    for (const struct st_texts *n = *names; n; n = n->next)
        if (!strncmp(n->text, text, length) && !n->text[length]) return n->text;
    struct st_texts *new = malloc(sizeof *new + length + 1);
    if (!new) return NULL;
    memcpy(new->text, text, length);
    new->text[length] = 0;
    new->next = *names;
    *names = new;
    return new->text;
}

void st_texts_free(struct st_texts *names)
{
    while (names) {
        struct st_texts *next = names->next;
        free(names);
        names = next;
    }
}

const uint8_t *st_chunk_next(const uint8_t **at, const uint8_t *end, uint32_t kind, struct st_chunk *head)
{
    while ((uint64_t)(end - *at) >= sizeof *head) {
        memcpy(head, *at, sizeof *head);
        const uint8_t *data = *at + sizeof *head;
        uint64_t padded = ((uint64_t)head->size + 7) & ~7ull;
        if (padded > (uint64_t)(end - data)) break;
        *at = data + padded;
        if (head->kind == kind) return data;
    }
    return NULL;
}

/* ---- processes ------------------------------------------------------------------------------------------------------- */

struct st_mapped *st_mapped_new(void)
{
    return calloc(1, sizeof(struct st_mapped));
}

static void clear(struct st_process *p)
{
    free(p->maps);
    st_unwinder_free(p->unwinder);
    *p = (struct st_process){.next = p->next, .pid = p->pid, .changed = 1};
}

void st_mapped_free(struct st_mapped *m)
{
    if (!m) return;
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct st_process *p = m->processes[i], *next; p; p = next) {
            next = p->next;
            clear(p);
            free(p);
        }
        for (struct mapper *t = m->threads[i], *next; t; t = next) {
            next = t->next;
            free(t);
        }
    }
    st_texts_free(m->names);
    free(m);
}

static void rest(struct st_process *p)
{
    st_unwinder_free(p->unwinder);
    p->unwinder = NULL;
    p->changed = 1;
}

void st_mapped_rest(struct st_mapped *m)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct st_process *p = m->processes[i]; p; p = p->next) rest(p);
}

struct st_process *st_mapped_find(struct st_mapped *m, int32_t pid)
{
    struct st_process *p = m->processes[(uint32_t)pid % BUCKETS];
    while (p && p->pid != pid) p = p->next;
    return p;
}

static struct st_process *process_of(struct st_mapped *m, int32_t pid)
{
    struct st_process *p = st_mapped_find(m, pid);
    if (p || !(p = calloc(1, sizeof *p))) return p;
    p->pid = pid;
    p->changed = 1;
    p->next = m->processes[(uint32_t)pid % BUCKETS];
    return m->processes[(uint32_t)pid % BUCKETS] = p;
}

static struct mapper *thread_find(struct st_mapped *m, int32_t tid)
{
    struct mapper *t = m->threads[(uint32_t)tid % BUCKETS];
    while (t && t->tid != tid) t = t->next;
    return t;
}

static struct mapper *thread_of(struct st_mapped *m, int32_t tid, int32_t pid)
{
    struct mapper *t = thread_find(m, tid);
    if (t) {
        t->pid = pid;
        return t;
    }
    if (!(t = calloc(1, sizeof *t))) return NULL;
    *t = (struct mapper){.next = m->threads[(uint32_t)tid % BUCKETS], .tid = tid, .pid = pid, .sysno = -1};
    return m->threads[(uint32_t)tid % BUCKETS] = t;
}

/* ---- mappings -------------------------------------------------------------------------------------------------------- */

static void append(struct st_process *p, struct st_mapping mapping)
{
    if (p->count == p->room) {
        uint32_t room = p->room ? 2 * p->room : 32;
        struct st_mapping *maps = realloc(p->maps, room * sizeof *maps);
        if (!maps) return;
        p->maps = maps;
        p->room = room;
    }
    p->maps[p->count++] = mapping;
    if (mapping.executable) p->changed = 1;
}

static void cut(struct st_process *p, uint64_t low, uint64_t high)
{
    for (uint32_t i = 0; i < p->count; i++) {
        struct st_mapping *map = &p->maps[i], tail = *map;
        if (map->high <= low || map->low >= high) continue;
        if (map->executable) p->changed = 1;
        tail.offset += high - tail.low;
        tail.low = high;
        int before = map->low<low, after = map->high> high;
        if (before) map->high = low;
        if (before && after) append(p, tail);
        if (!before && after) *map = tail;
        if (!before && !after) *map = p->maps[--p->count], i--;
    }
}

static uint64_t pages(uint64_t size)
{
    return (size + 4095) & ~4095ull;
}

static void mapped(struct st_process *p, const struct mapper *t, uint64_t at)
{
    cut(p, at, at + pages(t->args[1]));
    if (!t->path) return;
    append(p, (struct st_mapping){at, at + pages(t->args[1]), t->args[5], t->path, (t->args[2] & 4 /* PROT_EXEC */) != 0});
}

static void moved(struct st_process *p, const uint64_t args[6], uint64_t to)
{
    struct st_mapping was = {0};
    for (uint32_t i = 0; i < p->count; i++)
        if (p->maps[i].low <= args[0] && args[0] < p->maps[i].high) was = p->maps[i];
    cut(p, args[0], args[0] + pages(args[1]));
    cut(p, to, to + pages(args[2]));
    if (!was.path) return;
    append(p, (struct st_mapping){to, to + pages(args[2]), was.offset + args[0] - was.low, was.path, was.executable});
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

static void call_begins(struct st_mapped *m, const struct st_entry *entry, uint32_t size)
{
    int32_t sysno = entry->event.sysno;
    struct st_chunk head;
    const uint8_t *at = (const uint8_t *)(entry + 1), *end = (const uint8_t *)entry + size, *link;
    if (sysno != __NR_mmap && sysno != __NR_munmap && sysno != __NR_mremap) return;
    struct mapper *t = thread_of(m, entry->event.tid, entry->event.pid);
    if (!t) return;
    t->sysno = sysno;
    memcpy(t->args, entry->args, sizeof t->args);
    t->path = NULL;
    if (sysno != __NR_mmap || (t->args[3] & 0x20 /* MAP_ANONYMOUS */)) return;
    link = st_chunk_next(&at, end, ST_CHUNK_FD, &head);
    if (link && head.size && *link == '/') t->path = st_intern(&m->names, (const char *)link, head.size);
}

static void call_ends(struct st_mapped *m, const struct st_exit *leaving)
{
    struct mapper *t = thread_find(m, leaving->event.tid);
    if (!t || t->sysno != leaving->event.sysno) return;
    struct st_process *p = process_of(m, leaving->event.pid);
    t->sysno = -1;
    if (!p || (leaving->result < 0 && leaving->result >= -4095)) return;
    switch (leaving->event.sysno) {
    case __NR_mmap: mapped(p, t, (uint64_t)leaving->result); break;
    case __NR_munmap: cut(p, t->args[0], t->args[0] + pages(t->args[1])); break;
    default: moved(p, t->args, (uint64_t)leaving->result); break;
    }
}

static void replaced(struct st_mapped *m, const struct st_event *event, uint32_t size)
{
    struct st_chunk head;
    const uint8_t *at = (const uint8_t *)(event + 1), *end = (const uint8_t *)event + size, *object;
    struct st_process *p = process_of(m, event->pid);
    if (!p) return;
    clear(p);
    while ((object = st_chunk_next(&at, end, ST_CHUNK_OBJECT, &head))) {
        uint64_t high;
        if (head.size <= 8) continue;
        memcpy(&high, object, 8);
        const char *path = st_intern(&m->names, (const char *)object + 8, head.size - 8);
        if (path) append(p, (struct st_mapping){head.address, high, 0, path, 1});
    }
}

/* sysno is the parent's tid. */
static void begins(struct st_mapped *m, const struct st_event *event)
{
    const struct mapper *parent = thread_find(m, event->sysno);
    thread_of(m, event->tid, event->pid);
    if (event->tid != event->pid) return; /* a thread: it has its process's */
    struct st_process *from = st_mapped_find(m, parent ? parent->pid : event->sysno), *p = process_of(m, event->pid);
    if (!p || !from || p == from) return;
    clear(p);
    for (uint32_t i = 0; i < from->count; i++) append(p, from->maps[i]);
}

/* What costs memory goes; what lies where stays, for threads that live on. */
static void ends(struct st_mapped *m, const struct st_event *event)
{
    struct st_process *p = st_mapped_find(m, event->pid);
    if (p && event->tid == event->pid) rest(p);
}

void st_mapped_feed(struct st_mapped *m, const struct st_event *event, uint32_t size)
{
    switch (event->kind) {
    case ST_EVENT_ENTRY:
        if (size >= sizeof(struct st_entry)) call_begins(m, (const struct st_entry *)event, size);
        break;
    case ST_EVENT_EXIT:
        if (size >= sizeof(struct st_exit)) call_ends(m, (const struct st_exit *)event);
        break;
    case ST_EVENT_EXEC: replaced(m, event, size); break;
    case ST_EVENT_TASK: begins(m, event); break;
    case ST_EVENT_END: ends(m, event); break;
    default: break;
    }
}
