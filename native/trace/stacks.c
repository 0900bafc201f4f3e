/* From registers, stack and mappings to the frames of a call stack: libdw unwinds, and knows the symbols. */
#include "stacks.h"

#include <stdlib.h>
#include <string.h>

#include "libdw.h"
#include "mapped.h"

#define BUCKETS 4096u
#define MOST_UNWINDERS 16
#define BLOB_SIZE (ST_BUNDLE_ADDRESS - ST_BLOB_BASE)
#define CONTEXT_REGISTERS 40 /* in a ucontext */

/* What is at an address of a file: looked up once, libdw goes through all symbols for it. */
struct place {
    struct place *next;
    const char *object;
    uint64_t address, offset;
    char *symbol, *file; /* NULL: none */
    int32_t line;
};
struct st_stacks {
    const struct st_libdw *dw;
    struct st_mapped *mapped;
    struct place *places[BUCKETS];
    uint32_t sources;   /* are asked for */
    uint32_t unwinders; /* at most as many processes have one */
};

/* A process's modules, and the one stack that libdw is asked about at a time. */
struct unwinder {
    const struct st_libdw *dw;
    Dwfl *dwfl;
    const struct st_process *process;
    int attached;
    const uint8_t *registers, *stack;
    uint64_t low, size; /* of the stack */
    struct st_stacks *stacks;
    struct st_stack_frame *out;
    uint32_t count, most;
    uint64_t handler_returns; /* the interposer's address that a signal's handler returns to; 0: none has been met */
};

const char *st_stacks_missing(void)
{
    const char *why;
    return st_libdw(&why) ? NULL : why;
}

struct st_stacks *st_stacks_new(void)
{
    const char *why;
    const struct st_libdw *dw = st_libdw(&why);
    struct st_stacks *s = dw ? calloc(1, sizeof *s) : NULL;
    if (!s) return NULL;
    s->dw = dw;
    s->mapped = st_mapped_new();
    if (s->mapped) return s;
    free(s);
    return NULL;
}

void st_stacks_want_sources(struct st_stacks *s)
{
    s->sources = 1;
}

void st_stacks_free(struct st_stacks *s)
{
    if (!s) return;
    st_mapped_free(s->mapped);
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct place *p = s->places[i], *next; p; p = next) {
            next = p->next;
            free(p->symbol);
            free(p->file);
            free(p);
        }
    free(s);
}

void st_stacks_feed(struct st_stacks *s, const uint8_t *frame, uint32_t size)
{
    if (size >= sizeof(struct st_event)) st_mapped_feed(s->mapped, (const struct st_event *)frame, size);
}

/* ---- what libdw asks ------------------------------------------------------------------------------------------------- */

static pid_t next_thread(Dwfl *dwfl, void *arg, void **thread)
{
    (void)dwfl;
    if (*thread) return 0;
    *thread = arg;
    return 1;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *arg, void **thread)
{
    (void)dwfl;
    (void)tid;
    *thread = arg;
    return true;
}

static bool memory_read(Dwfl *dwfl, uint64_t address, uint64_t *result, void *arg)
{
    const struct unwinder *u = arg;
    (void)dwfl;
    if (u->size < 8 || address < u->low || address - u->low > u->size - 8) return false;
    memcpy(result, u->stack + (address - u->low), 8);
    return true;
}

/* Where registers 0 to 16 of DWARF (rax rdx rcx rbx rsi rdi rbp rsp r8 ... r15, return address) are in the kernel's order. */
static bool set_registers(Dwfl_Thread *thread, void *arg)
{
    static const uint8_t place[ST_STACK_REGISTERS] = {13, 12, 14, 11, 9, 8, 10, 15, 0, 1, 2, 3, 4, 5, 6, 7, 16};
    const struct unwinder *u = arg;
    uint64_t words[ST_STACK_REGISTERS];
    for (unsigned i = 0; i < ST_STACK_REGISTERS; i++) memcpy(&words[i], u->registers + 8 * place[i], 8);
    return u->dw->dwfl_thread_state_registers(thread, 0, ST_STACK_REGISTERS, words);
}

static const struct st_dwfl_thread_callbacks thread_callbacks = {next_thread, get_thread, memory_read, set_registers, NULL, NULL};

/* ---- modules --------------------------------------------------------------------------------------------------------- */

void st_unwinder_free(void *unwinder)
{
    struct unwinder *u = unwinder;
    if (!u) return;
    u->dw->dwfl_end(u->dwfl);
    free(u);
}

static struct unwinder *unwinder_new(struct st_stacks *s, const struct st_process *p)
{
    static char *path; /* the library's own: debug files below /usr/lib/debug */
    static struct st_dwfl_callbacks callbacks;
    struct unwinder *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    callbacks = (struct st_dwfl_callbacks){s->dw->dwfl_linux_proc_find_elf, s->dw->dwfl_standard_find_debuginfo, NULL, &path};
    *u = (struct unwinder){.dw = s->dw, .dwfl = s->dw->dwfl_begin(&callbacks), .process = p, .stacks = s};
    if (u->dwfl) return u;
    free(u);
    return NULL;
}

/* Where the file of an executable mapping begins: the mapping of its first bytes that lies closest below. */
static uint64_t begins(const struct st_process *p, const struct st_mapping *code)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        const struct st_mapping *map = &p->maps[i];
        if (map->path == code->path && !map->offset && map->low <= code->low && map->low > best) best = map->low;
    }
    return best ? best : code->low - code->offset;
}

/* Whether an earlier mapping of the file is executable too: libdw loses a module that is reported twice. */
static int is_reported(const struct st_process *p, uint32_t index, uint64_t begin)
{
    for (uint32_t i = 0; i < index; i++)
        if (p->maps[i].executable && p->maps[i].path == p->maps[index].path && begins(p, &p->maps[i]) == begin) return 1;
    return 0;
}

static void report(struct unwinder *u, const struct st_process *p)
{
    u->dw->dwfl_report_begin(u->dwfl);
    for (uint32_t i = 0; i < p->count; i++) {
        const struct st_mapping *map = &p->maps[i];
        uint64_t begin = map->executable ? begins(p, map) : 0;
        if (map->executable && !is_reported(p, i, begin)) u->dw->dwfl_report_elf(u->dwfl, map->path, map->path, -1, begin, false);
    }
    u->dw->dwfl_report_end(u->dwfl, NULL, NULL);
}

/* Anew where something else is mapped: a module that is reported twice is lost. What costs most, symbols, is kept apart. Each
 * has a process's files open: there are few at a time. */
static struct unwinder *unwinder_of(struct st_stacks *s, struct st_process *p)
{
    struct unwinder *u = p->unwinder;
    if (u && !p->changed) return u;
    if (u)
        st_unwinder_free(u);
    else if (s->unwinders++ == MOST_UNWINDERS)
        st_mapped_rest(s->mapped), s->unwinders = 1;
    u = p->unwinder = unwinder_new(s, p);
    if (!u) return NULL;
    report(u, p);
    u->attached = s->dw->dwfl_attach_state(u->dwfl, NULL, p->pid, &thread_callbacks, u);
    p->changed = 0;
    return u;
}

/* ---- frames ---------------------------------------------------------------------------------------------------------- */

/* The text lives as long as the module, which may go before: it is copied. */
static void source(struct st_stacks *s, struct place *p, Dwfl_Module *module, uint64_t pc)
{
    void *line = s->sources ? s->dw->dwfl_module_getsrc(module, pc) : NULL;
    const char *file = line ? s->dw->dwfl_lineinfo(line, NULL, &p->line, NULL, NULL, NULL) : NULL;
    if (file) p->file = strdup(file);
}

static struct place *look_up(struct st_stacks *s, Dwfl_Module *module, const char *object, uint64_t address, uint64_t pc)
{
    struct place **bucket = &s->places[(address ^ (uintptr_t)object >> 4) % BUCKETS], *p = *bucket;
    while (p && (p->address != address || p->object != object)) p = p->next;
    if (p || !(p = calloc(1, sizeof *p))) return p;
    struct st_elf_symbol symbol;
    *p = (struct place){.next = *bucket, .object = object, .address = address};
    source(s, p, module, pc);
    const char *name = s->dw->dwfl_module_addrinfo(module, pc, &p->offset, &symbol, NULL, NULL, NULL);
    if (name && *name && !(p->symbol = st_demangle(name))) p->symbol = strdup(name);
    return *bucket = p;
}

static const char *object_at(const struct st_process *p, uint64_t pc)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->maps[i].executable && p->maps[i].low <= pc && pc < p->maps[i].high) return p->maps[i].path;
    return NULL;
}

static void add(struct unwinder *u, uint64_t pc)
{
    struct st_stack_frame *out = &u->out[u->count++];
    *out = (struct st_stack_frame){.pc = pc};
    out->object = object_at(u->process, pc);
    Dwfl_Module *module = out->object ? u->dw->dwfl_addrmodule(u->dwfl, pc) : NULL;
    uint64_t bias = 0;
    if (!module || !u->dw->dwfl_module_getelf(module, &bias)) return;
    out->address = pc - bias;
    const struct place *place = look_up(u->stacks, module, out->object, out->address, pc);
    if (!place) return;
    out->symbol = place->symbol;
    out->offset = place->offset;
    out->file = place->file;
    out->line = place->line;
}

/* A return address lies behind its call, which may be the last instruction of its function. */
static int frame(Dwfl_Frame *state, void *arg)
{
    struct unwinder *u = arg;
    uint64_t pc;
    bool exact;
    if (!u->dw->dwfl_frame_pc(state, &pc, &exact)) return -1;
    if (!pc) return 1;
    if (pc - ST_BLOB_BASE < BLOB_SIZE) {
        u->handler_returns = pc;
        return 1;
    }
    add(u, exact ? pc : pc - 1);
    return u->count < u->most ? 0 : 1;
}

/* The registers that a signal has interrupted: its frame lies behind the address that the handler returns to. */
static const uint8_t *interrupted(const struct unwinder *u, const uint8_t *from)
{
    for (const uint8_t *at = from, *end = u->stack + u->size; (uint64_t)(end - at) >= 8 + CONTEXT_REGISTERS + 8 * ST_STACK_REGISTERS;
         at += 8)
        if (!memcmp(at, &u->handler_returns, 8)) return at + 8 + CONTEXT_REGISTERS;
    return NULL;
}

/* From the innermost frame, and on from each signal handler to what it interrupted. */
static void unwind(struct unwinder *u, int32_t tid)
{
    const uint8_t *from = u->stack;
    do {
        u->handler_returns = 0;
        u->dw->dwfl_getthread_frames(u->dwfl, tid, frame, u);
        if (!u->handler_returns || u->count == u->most) return;
        from = u->registers = interrupted(u, from);
    } while (from);
}

static uint32_t head_of(const struct st_event *event)
{
    return event->kind == ST_EVENT_ENTRY ? sizeof(struct st_entry) : sizeof *event;
}

uint32_t st_stacks_walk(struct st_stacks *s, const uint8_t *bytes, uint32_t size, struct st_stack_frame *out, uint32_t most)
{
    const struct st_event *event = (const struct st_event *)bytes;
    struct st_chunk head;
    if (size < sizeof *event || size < head_of(event) || !most) return 0;
    const uint8_t *at = bytes + head_of(event), *end = bytes + size, *registers = st_chunk_next(&at, end, ST_CHUNK_REGISTERS, &head);
    if (!registers || head.size != 8 * ST_STACK_REGISTERS) return 0;
    const uint8_t *stack = st_chunk_next(&at, end, ST_CHUNK_STACK, &head);
    struct st_process *p = st_mapped_find(s->mapped, event->pid);
    struct unwinder *u = p && stack ? unwinder_of(s, p) : NULL;
    if (u) {
        u->registers = registers;
        u->stack = stack;
        u->low = head.address;
        u->size = head.size;
        u->out = out;
        u->most = most;
        u->count = 0;
        if (u->attached) unwind(u, event->tid);
        if (u->count) return u->count;
    }
    *out = (struct st_stack_frame){0};
    memcpy(&out->pc, registers + 8 * (ST_STACK_REGISTERS - 1), 8);
    if (p) out->object = object_at(p, out->pc);
    return 1;
}
