/* What faults do to a call besides answering it: other bytes in memory, fewer bytes to move, bytes that nobody has sent. */
#include "core.h"

#define PRIVATE_IOVECS 4 /* that fit into a call's `small`: one that moves few bytes needs no more */

struct iovec {
    uint64_t base, length;
};
#define IOV_MOST 1024

/* The iovecs of a call that has some. Returns how many there are, and where; 0: none that could be read. */
static uint64_t iovecs(struct st_call *call, const struct st_rule *rule, uint64_t *at)
{
    uint64_t message[7];
    if (rule->vector == ST_IOVECS) {
        *at = call->args[rule->buffer];
        return call->args[rule->count] > IOV_MOST ? 0 : call->args[rule->count];
    }
    if (st_copy_in(message, (const void *)call->args[rule->buffer], sizeof message) < 0) return 0;
    *at = message[2];
    return message[3] > IOV_MOST ? 0 : message[3];
}

/* As many of the iovecs as hold `most` bytes, at most PRIVATE_IOVECS, in the call's own copy. Returns their number. */
static uint64_t shorter(struct st_call *call, uint64_t from, uint64_t count, uint64_t most)
{
    struct iovec *own = (struct iovec *)call->small;
    uint64_t kept = 0;
    while (kept < count && kept < PRIVATE_IOVECS && (most || !kept)) {
        if (st_copy_in(&own[kept], (const struct iovec *)from + kept, sizeof *own) < 0) return 0;
        if (own[kept].length > most) own[kept].length = most;
        most -= own[kept++].length;
    }
    return kept;
}

/* The call moves at most `value` bytes: its count is lower, or its iovecs are a private copy with fewer of them. */
void st_shorten(struct st_call *call, const struct st_rule *rule)
{
    uint64_t most = (uint64_t)rule->value, from = 0;
    if (rule->vector == ST_BUFFER) {
        if (call->args[rule->count] <= most) return;
        call->args[rule->count] = most;
        call->event_flags |= ST_EVENT_POKED;
        return;
    }
    uint64_t count = iovecs(call, rule, &from), kept = shorter(call, from, count, most);
    if (!kept) return;
    call->event_flags |= ST_EVENT_POKED;
    call->copied |= 1u << rule->buffer;
    if (rule->vector == ST_IOVECS) {
        call->args[rule->buffer] = (uint64_t)call->small;
        call->args[rule->count] = kept;
        return;
    }
    if (call->args[rule->buffer] != (uint64_t)call->message &&
        st_copy_in(call->message, (const void *)call->args[rule->buffer], sizeof call->message) < 0)
        return;
    call->message[2] = (uint64_t)call->small;
    call->message[3] = kept;
    call->args[rule->buffer] = (uint64_t)call->message;
}

static const uint8_t *content_of(const struct st_rule *rule)
{
    return ST_PLAN_AT(uint8_t, st_state.plan->texts) + rule->content.offset;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The rule's bytes in the program's buffer, as if they had been read. Returns how many fitted, or -errno. */
int64_t st_give(struct st_call *call, const struct st_rule *rule)
{
    const uint8_t *bytes = content_of(rule);
    uint64_t left = rule->content.length, done = 0, from = 0;
    if (rule->vector == ST_BUFFER) {
        left = least(left, call->args[rule->count]);
        return left && st_copy_out((void *)call->args[rule->buffer], bytes, left) < 0 ? -ST_EFAULT : (int64_t)left;
    }
    uint64_t count = iovecs(call, rule, &from);
    for (uint64_t i = 0; i < count && done < left; i++) {
        struct iovec one;
        if (st_copy_in(&one, (const struct iovec *)from + i, sizeof one) < 0) return -ST_EFAULT;
        one.length = least(one.length, left - done);
        if (one.length && st_copy_out((void *)one.base, bytes + done, one.length) < 0) return done ? (int64_t)done : -ST_EFAULT;
        done += one.length;
    }
    return (int64_t)done;
}

/* One poke; as much of it as there is memory. Returns the number of bytes. By /proc, because a program's constants can be
 * poked at too: what is read-only for it is copied for the purpose, as for a debugger. */
static uint64_t poke(uint64_t address, const uint8_t *bytes, uint64_t size)
{
    if (st_copy_out((void *)address, bytes, size) >= 0) return size;
    int64_t fd = ST_SYS(__NR_openat, -100 /* AT_FDCWD */, "/proc/self/mem", 02000001 /* O_WRONLY | O_CLOEXEC */, 0);
    if (fd < 0) return 0;
    int64_t done = ST_SYS(__NR_pwrite64, fd, bytes, size, address);
    ST_SYS(__NR_close, fd);
    return done < 0 ? 0 : (uint64_t)done;
}

static void failed(struct st_call *call)
{
    static const uint8_t text[] = "Failed to tamper with process ", rest[] = ": couldn't poke";
    uint8_t note[sizeof text + sizeof rest + 20], *at = note + sizeof text - 1;
    memcpy(note, text, sizeof text);
    at = st_put_number(at, st_state.pid);
    memcpy(at, rest, sizeof rest);
    st_report_once(call, note, (uint32_t)(at - note) + (uint32_t)sizeof rest - 1);
}

/* All pokes of a rule. args: as the program gave them; call: for a note. Returns what the event is to say of it. */
uint32_t st_poke(const struct st_rule *rule, struct st_call *call, const uint64_t args[6])
{
    const uint8_t *at = content_of(rule), *end = at + rule->content.length;
    uint64_t done = 0;
    while (end - at > 3) {
        uint64_t size = at[1] | (uint64_t)at[2] << 8;
        uint64_t bytes = poke(args[at[0]], at + 3, size);
        if (!bytes) failed(call);
        done += bytes;
        at += 3 + size;
    }
    return done ? ST_EVENT_POKED : 0;
}

/* poke: index + 1 of the rule; 0: nothing to do. */
uint32_t st_poke_exit(uint32_t poke, struct st_call *call, const uint64_t args[6])
{
    return poke ? st_poke(ST_PLAN_AT(struct st_rule, st_state.plan->rules) + poke - 1, call, args) : 0;
}
