/* The interpreter of capture operations. No libc, no loops over bytes: each operation is one or a few calls of the readers. */
#include "capture.h"

#define ST_LOWEST 4096u /* nothing is mapped below: numbers that stand where others have a pointer cost no fault */
#define ST_HEAD ((uint32_t)sizeof(struct st_chunk))

struct capture {
    const uint64_t *args;
    int64_t result;
    uint32_t limit, when;
    uint8_t *out;
    uint32_t used, room;
    uint16_t cut;
};

struct message { /* struct msghdr as 64-bit words; the kernel's layout */
    uint64_t name;
    uint32_t name_length, pad0;
    uint64_t vectors, vector_count, control, control_length;
    uint32_t flags, pad1;
};
struct vector {
    uint64_t base, length;
};
struct control {
    uint64_t length;
    int32_t level, type;
};
#define ST_CONTROL_RIGHTS 1 /* SOL_SOCKET's SCM_RIGHTS */

static uint32_t least(uint64_t a, uint64_t b)
{
    uint64_t c = a < b ? a : b;
    return c > 0xffffffffu ? 0xffffffffu : (uint32_t)c;
}

/* Where the bytes of the next chunk go, and how many of `wanted` fit there. */
static uint8_t *chunk_begin(struct capture *c, uint32_t *wanted)
{
    if (c->used + ST_HEAD + 8 > c->room) {
        c->cut = ST_EVENT_CUT;
        return 0;
    }
    uint32_t left = (c->room - c->used - ST_HEAD) & ~7u;
    if (*wanted > left) {
        c->cut = ST_EVENT_CUT;
        *wanted = left;
    }
    return c->out + c->used + ST_HEAD;
}

static void chunk_end(struct capture *c, uint64_t address, uint32_t size, uint32_t kind)
{
    struct st_chunk *chunk = (struct st_chunk *)(c->out + c->used);
    uint32_t padded = (size + 7) & ~7u;
    chunk->address = address;
    chunk->size = size;
    chunk->kind = kind;
    for (uint32_t i = size; i < padded; i++) c->out[c->used + ST_HEAD + i] = 0;
    c->used += ST_HEAD + padded;
}

/* The bytes that were captured, aligned to 8; NULL: nothing. */
static const uint8_t *take(struct capture *c, uint64_t address, uint64_t wanted, uint32_t *got)
{
    uint32_t size = least(wanted, 1u << 30);
    uint8_t *to = address >= ST_LOWEST && size ? chunk_begin(c, &size) : 0;
    *got = to ? st_capture_read(to, address, size) : 0;
    if (!*got) return 0;
    chunk_end(c, address, *got, ST_CHUNK_MEMORY);
    return to;
}

static void bytes(struct capture *c, uint64_t address, uint64_t wanted)
{
    uint32_t got;
    take(c, address, wanted, &got);
}

static void string(struct capture *c, uint64_t address, uint32_t most)
{
    uint8_t *to = address >= ST_LOWEST ? chunk_begin(c, &most) : 0;
    uint32_t got = to ? st_capture_string(to, address, most) : 0;
    if (got) chunk_end(c, address, got, ST_CHUNK_MEMORY);
}

static void link_of(struct capture *c, int32_t fd)
{
    uint32_t most = 4096;
    if (fd < 0 && fd != -100) return;
    uint8_t *to = chunk_begin(c, &most);
    uint32_t got = to ? st_capture_link(fd, to, most) : 0;
    if (got) chunk_end(c, (uint64_t)(int64_t)fd, got, ST_CHUNK_FD);
}

static void name_of(struct capture *c, int32_t tid)
{
    uint32_t most = 64;
    uint8_t *to = tid >= 0 ? chunk_begin(c, &most) : 0;
    uint32_t got = to ? st_capture_comm(tid, to, most) : 0;
    if (got) chunk_end(c, (uint64_t)tid, got, ST_CHUNK_COMM);
}

/* The number that an operation's `arg` or `length` names. */
static uint64_t named(const struct capture *c, uint8_t which)
{
    return which < 6 ? c->args[which] : (uint64_t)c->result;
}

/* Elements of `size` bytes each: no more than the string limit, of bytes one more, to know whether there are more. */
static void elements(struct capture *c, uint64_t address, uint64_t count, uint32_t size)
{
    uint64_t most = size == 1 ? (uint64_t)c->limit + 1 : c->limit + 1;
    bytes(c, address, (uint64_t)least(count, most) * size);
}

static void counted(struct capture *c, const struct st_capture *op)
{
    uint32_t got;
    const uint8_t *number = take(c, c->args[op->length], 4, &got);
    if (!number || got < 4) return;
    bytes(c, c->args[op->arg], least(*(const uint32_t *)number, op->size));
}

/* Vectors, and what they point at: as far as `left` bytes go. Returns what is left. */
static uint64_t vectors(struct capture *c, uint64_t address, uint64_t count, uint64_t left)
{
    uint32_t got;
    const struct vector *v = (const struct vector *)take(c, address, least(count, ST_CAPTURE_MOST / sizeof *v) * sizeof *v, &got);
    uint32_t whole = got / (uint32_t)sizeof *v;
    for (uint32_t i = 0; v && i < whole && i <= c->limit && left; i++) {
        uint64_t length = v[i].length < left ? v[i].length : left;
        elements(c, v[i].base, length, 1);
        left -= length;
    }
    return left;
}

static uint64_t transferred(const struct capture *c)
{
    return c->when == ST_CAPTURE_ENTRY ? ~0ull : c->when == ST_CAPTURE_FAILED ? 0 : (uint64_t)c->result;
}

static void control_links(struct capture *c, const uint8_t *data, uint32_t size)
{
    uint32_t at = 0;
    while (at + sizeof(struct control) <= size) {
        const struct control *one = (const struct control *)(data + at);
        if (one->length < sizeof *one || one->length > size - at) return;
        const int32_t *fds = (const int32_t *)(one + 1);
        uint32_t count = least((one->length - sizeof *one) / 4, c->limit);
        for (uint32_t i = 0; one->level == 1 && one->type == ST_CONTROL_RIGHTS && i < count; i++) link_of(c, fds[i]);
        at += ((uint32_t)one->length + 7) & ~7u;
    }
}

static void message(struct capture *c, const struct message *m, uint64_t left, uint32_t links)
{
    uint32_t got;
    bytes(c, m->name, least(m->name_length, 128));
    vectors(c, m->vectors, m->vector_count, left);
    const uint8_t *data = take(c, m->control, least(m->control_length, ST_CAPTURE_MOST), &got);
    if (data && links) control_links(c, data, got);
}

static void one_message(struct capture *c, const struct st_capture *op)
{
    uint32_t got;
    const struct message *m = (const struct message *)take(c, c->args[op->arg], sizeof *m, &got);
    if (m && got == sizeof *m) message(c, m, transferred(c), op->size);
}

static void messages(struct capture *c, const struct st_capture *op)
{
    const uint32_t stride = (uint32_t)sizeof(struct message) + 8;
    uint64_t count = c->when == ST_CAPTURE_ENTRY ? c->args[op->length] & 0xffffffffu : (uint64_t)c->result;
    uint32_t got;
    if (c->when == ST_CAPTURE_FAILED) count = c->args[op->length] & 0xffffffffu;
    const uint8_t *data = take(c, c->args[op->arg], (uint64_t)least(count, ST_CAPTURE_MOST / stride) * stride, &got);
    for (uint32_t at = 0; data && at + stride <= got && at / stride <= c->limit; at += stride) {
        const struct message *m = (const struct message *)(data + at);
        message(c, m, c->when == ST_CAPTURE_ENTRY ? ~0ull : *(const uint32_t *)(data + at + sizeof *m), op->size);
    }
}

static void strings(struct capture *c, uint64_t address, uint32_t followed)
{
    const uint32_t step = 64; /* pointers at a time: most arrays are that short */
    uint32_t got, read = 0;
    while (read < ST_CAPTURE_MOST / 8) {
        uint8_t *from = c->out + c->used;
        const uint64_t *pointers = (const uint64_t *)take(c, address + read * 8, step * 8, &got);
        uint32_t i = 0, whole = got / 8;
        if (!pointers) return;
        while (i < whole && pointers[i]) i++;
        ((struct st_chunk *)from)->size = (i < whole ? i + 1 : whole) * 8;
        c->used = (uint32_t)(from - c->out) + ST_HEAD + ((struct st_chunk *)from)->size;
        /* The strings come behind this chunk, which does not move: its pointers stay readable. */
        for (uint32_t k = 0; k < i && read + k < followed; k++) string(c, pointers[k], c->limit + 1);
        if (i < step) return;
        read += step;
    }
}

static void pointers(struct capture *c, const struct st_capture *op)
{
    uint32_t got;
    uint64_t count = named(c, op->length);
    const uint64_t *p = (const uint64_t *)take(c, c->args[op->arg], (uint64_t)least(count, ST_CAPTURE_MOST / 8) * 8, &got);
    for (uint32_t i = 0; p && i < got / 8 && i < 32; i++) bytes(c, p[i], op->size);
}

/* A scratch copy of what is read behind the last chunk: no chunk. */
static const uint8_t *peek(struct capture *c, uint64_t address, uint32_t size, uint32_t *got)
{
    uint8_t *to = address >= ST_LOWEST ? chunk_begin(c, &size) : 0;
    *got = to ? st_capture_read(to, address, size) : 0;
    return *got ? to : 0;
}

static void set_links(struct capture *c, uint64_t address, uint32_t bits)
{
    uint64_t set[16];
    uint32_t got, count = least(((uint64_t)bits + 63) / 64, 16);
    const uint64_t *in = (const uint64_t *)peek(c, address, count * 8, &got);
    if (!in || got < count * 8) return;
    for (uint32_t i = 0; i < count; i++) set[i] = in[i];
    for (uint32_t i = 0; i < count; i++)
        for (uint64_t left = set[i]; left; left &= left - 1) {
            uint32_t fd = i * 64 + (uint32_t)__builtin_ctzll(left);
            if (fd < bits) link_of(c, (int32_t)fd);
        }
}

static void element_links(struct capture *c, const struct st_capture *op)
{
    int32_t fds[64];
    uint64_t count = named(c, op->length);
    uint32_t got, n = least(count & 0xffffffffu, 64);
    if (!op->size) {
        set_links(c, c->args[op->arg], least(count & 0xffffffffu, 1024));
        return;
    }
    const uint8_t *in = peek(c, c->args[op->arg], n * op->size, &got);
    for (uint32_t i = 0; in && i < n; i++) fds[i] = (i + 1) * op->size <= got ? *(const int32_t *)(in + i * op->size) : -1;
    for (uint32_t i = 0; in && i < n; i++) link_of(c, fds[i]);
}

static void indirect(struct capture *c, const struct st_capture *op)
{
    uint32_t got;
    const uint64_t *at = (const uint64_t *)peek(c, c->args[op->arg] + op->length, 8, &got);
    if (!at || got < 8) return;
    uint64_t address = *at; /* what is read next overwrites it */
    if (op->kind == ST_CAPTURE_TEXT)
        string(c, address, op->size < c->limit + 1 ? op->size : c->limit + 1);
    else
        bytes(c, address, op->size);
}

static void run(struct capture *c, const struct st_capture *op)
{
    uint64_t address = op->arg < 6 ? c->args[op->arg] : (uint64_t)c->result, request;
    switch (op->kind) {
    case ST_CAPTURE_BYTES: bytes(c, address, op->size); break;
    case ST_CAPTURE_STRING: string(c, address, c->limit + 1); break;
    case ST_CAPTURE_PATH: string(c, address, 4096); break;
    case ST_CAPTURE_BUFFER: elements(c, address, named(c, op->length), op->size); break;
    case ST_CAPTURE_RESULT: elements(c, address, (uint64_t)c->result, op->size); break;
    case ST_CAPTURE_ARRAY: bytes(c, address, (uint64_t)least(named(c, op->length), ST_CAPTURE_MOST / op->size) * op->size); break;
    case ST_CAPTURE_COUNTED: counted(c, op); break;
    case ST_CAPTURE_IOVEC: vectors(c, address, named(c, op->length), transferred(c)); break;
    case ST_CAPTURE_MSGHDR: one_message(c, op); break;
    case ST_CAPTURE_MMSGHDR: messages(c, op); break;
    case ST_CAPTURE_STRINGS: strings(c, address, op->size); break;
    case ST_CAPTURE_FD: link_of(c, (int32_t)address); break;
    case ST_CAPTURE_INDIRECT: /* both */
    case ST_CAPTURE_TEXT: indirect(c, op); break;
    case ST_CAPTURE_DECIMAL: bytes(c, address, least(named(c, op->length), op->size)); break;
    case ST_CAPTURE_RETURNED: bytes(c, address, least((uint64_t)c->result, op->size)); break;
    case ST_CAPTURE_IOCTL:
        request = named(c, op->length) >> 16 & 0x3fff;
        bytes(c, address, least(request < 64 ? 64 : request, op->size));
        break;
    case ST_CAPTURE_POINTERS: pointers(c, op); break;
    case ST_CAPTURE_FDS: element_links(c, op); break;
    case ST_CAPTURE_COMM: name_of(c, op->arg == ST_CAPTURE_SELF ? 0 : (int32_t)address); break;
    default: break; /* of a later version */
    }
}

uint32_t st_capture_all(const struct st_capture *ops, uint32_t count, const uint64_t args[6], int64_t result, uint32_t when,
                        uint32_t string_limit, uint8_t *out, uint32_t room, uint16_t *flags)
{
    struct capture c = {.args = args, .result = result, .limit = string_limit, .when = when, .out = out, .room = room};
    if (when != ST_CAPTURE_ENTRY) c.when = result < 0 && result >= -4095 ? ST_CAPTURE_FAILED : ST_CAPTURE_EXIT;
    for (uint32_t i = 0; i < count; i++)
        if (ops[i].when & c.when) run(&c, &ops[i]);
    *flags |= c.cut;
    return c.used;
}
