/* Socket addresses: what a connect, bind or send is about, and the [net] gate. */
#include "core.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10

static const struct st_addr_use *use_of(const struct st_call *call)
{
    const struct st_call_entry *entry = ST_PLAN_AT(struct st_call_entry, st_state.plan->calls) + call->sysno;
    return entry->address ? ST_PLAN_AT(struct st_addr_use, st_state.plan->addresses) + entry->address - 1 : NULL;
}

static int take(struct st_call *call, uint64_t from, uint64_t length)
{
    call->address_length = 0;
    if (!from || !length) return 0;
    if (length > sizeof call->address) length = sizeof call->address;
    if (st_copy_in(call->address, (const void *)from, length) < 0) return -ST_EFAULT;
    call->address_length = (int32_t)length;
    return 1;
}

/* Copies the address argument, once; the copy is judged and executed. Returns 1: there is one; 0: none; -errno. */
int st_call_address(struct st_call *call)
{
    const struct st_addr_use *use = use_of(call);
    if (!use) return 0;
    if (call->address_length >= 0) return call->address_length > 0;
    if (use->kind == ST_ADDR_SENDMSG) {
        call->address_length = 0;
        if (st_copy_in(call->message, (const void *)call->args[use->addr], sizeof call->message) < 0) return 0;
        int r = take(call, call->message[0], (uint32_t)call->message[1]);
        if (r <= 0) return r;
        call->message[0] = (uint64_t)call->address;
        call->args[use->addr] = (uint64_t)call->message;
        call->copied |= 1u << use->addr;
        return 1;
    }
    if (use->kind == ST_ADDR_SENDMMSG) return 0;
    int r = take(call, call->args[use->addr], (uint32_t)call->args[use->length]);
    if (r > 0) {
        call->args[use->addr] = (uint64_t)call->address;
        call->copied |= 1u << use->addr;
    }
    return r;
}

static uint32_t port_of(const uint8_t *address)
{
    return (uint32_t)address[2] << 8 | address[3];
}

static int same_prefix(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
    uint32_t whole = bits / 8, rest = bits % 8;
    if (memcmp(a, b, whole)) return 0;
    return !rest || !((a[whole] ^ b[whole]) >> (8 - rest));
}

static int unix_matches(const struct st_call *call, const struct st_addr_pattern *pattern)
{
    const uint8_t *path = call->address + 2;
    uint32_t length = 0, limit = (uint32_t)call->address_length - 2;
    while (length < limit && path[length]) length++;
    struct st_pattern paths = {.kind = ST_PATTERN_GLOB, .text = pattern->path};
    return length && st_path_matches(st_state.plan, &paths, path, length);
}

/* protocol: IPPROTO_TCP, IPPROTO_UDP or 0. */
int st_address_matches(const struct st_call *call, const struct st_addr_pattern *pattern, int64_t protocol)
{
    uint16_t family = (uint16_t)(call->address[0] | call->address[1] << 8);
    const uint8_t *host = call->address + (family == AF_INET6 ? 8 : 4);
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (call->address_length < 3) return 0;
    if (pattern->family == AF_UNIX) return family == AF_UNIX && unix_matches(call, pattern);
    if (family == AF_INET6 && pattern->family == AF_INET && call->address_length >= 24 && !memcmp(host, mapped, 12)) {
        family = AF_INET; /* ::ffff:a.b.c.d is a.b.c.d */
        host += 12;
    }
    if (family != pattern->family || call->address_length < (family == AF_INET ? 8 : 24)) return 0;
    if (pattern->protocol && pattern->protocol != protocol) return 0;
    uint32_t port = port_of(call->address);
    return port >= pattern->port_low && port <= pattern->port_high && same_prefix(host, pattern->address, pattern->prefix);
}

static int64_t protocol_of(int32_t fd)
{
    int32_t type = 0;
    uint32_t size = sizeof type;
    if (ST_SYS(__NR_getsockopt, fd, 1 /* SOL_SOCKET */, 3 /* SO_TYPE */, &type, &size) < 0) return 0;
    return type == 1 ? 6 : type == 2 ? 17 : 0;
}

/* connect(AF_UNSPEC) takes a connection back: it reaches nobody. */
static int unspecified(const struct st_call *call)
{
    return call->address_length >= 2 && !call->address[0] && !call->address[1];
}

static int refuses(const struct st_plan *plan, const struct st_call *call, const struct st_addr_use *use)
{
    struct st_span span = use->kind == ST_ADDR_BIND ? plan->net_bind : plan->net_connect;
    const struct st_addr_pattern *patterns = ST_PLAN_AT(struct st_addr_pattern, plan->addr_patterns) + span.first;
    int64_t protocol = protocol_of((int32_t)call->args[use->fd]);
    if (use->kind == ST_ADDR_CONNECT && unspecified(call)) return 0;
    for (uint32_t i = 0; i < span.count; i++)
        if (st_address_matches(call, &patterns[i], protocol)) return 0;
    return ST_EACCES;
}

struct mmsghdr {
    uint64_t message[7], length;
};

/* sendmmsg: each message's address is looked at where it lies. */
static int refuses_each(const struct st_plan *plan, struct st_call *call, const struct st_addr_use *use)
{
    uint32_t count = (uint32_t)call->args[use->length] > 1024 ? 1024 : (uint32_t)call->args[use->length];
    for (uint32_t i = 0; i < count; i++) {
        struct mmsghdr header;
        if (st_copy_in(&header, (const struct mmsghdr *)call->args[use->addr] + i, sizeof header) < 0) return 0;
        if (take(call, header.message[0], (uint32_t)header.message[1]) <= 0) continue;
        int error = refuses(plan, call, use);
        if (error) return error;
    }
    return 0;
}

/* Gate 3 for addresses. Returns 0 or the errno that refuses. */
int st_net_refuses(struct st_call *call)
{
    const struct st_plan *plan = st_state.plan;
    const struct st_addr_use *use = use_of(call);
    if (!use || !(plan->flags & (ST_PLAN_NET_CLOSED | ST_PLAN_AUDIT))) return 0;
    call->rule_row = plan->net_row;
    int closed = (plan->flags & ST_PLAN_NET_CLOSED) != 0;
    if (use->kind == ST_ADDR_SENDMMSG) return closed ? refuses_each(plan, call, use) : 0;
    int r = st_call_address(call);
    if (r <= 0) return 0; /* no address, or one that the kernel cannot read either */
    int error = closed ? refuses(plan, call, use) : 0;
    call->grants[0] = (uint32_t)use->kind << 8 | (uint32_t)protocol_of((int32_t)call->args[use->fd]);
    if (!error) st_used(call, plan->net_row, call->address, (uint32_t)call->address_length);
    return error;
}
