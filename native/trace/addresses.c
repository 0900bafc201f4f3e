/* Socket addresses. */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>
#include <sys/un.h>

#include "text.h"

static void hardware(struct st_decoder *d, const uint8_t *at, unsigned n)
{
    for (unsigned i = 0; i < n; i++) st_putf(d->out, i ? ", %#x" : "%#x", at[i]);
}

static void un_address(struct st_decoder *d, const uint8_t *at, uint64_t length)
{
    uint64_t size = length > 2 ? length - 2 : 0;
    if (size > 108) size = 108;
    if (!size) return;
    st_puts(d->out, ", sun_path=");
    if (at[2]) {
        st_quoted(d, at + 2, size, ST_QUOTE_TEXT | ST_QUOTE_WHOLE);
    } else {
        st_putc(d->out, '@');
        st_quoted(d, at + 3, size - 1, ST_QUOTE_WHOLE);
    }
}

static void in_address(struct st_decoder *d, const uint8_t *at)
{
    char text[INET_ADDRSTRLEN];
    st_putf(d->out, ", sin_port=htons(%u), sin_addr=", ntohs(st_load16(at + 2)));
    if (d->options->names == ST_NAMES_RAW)
        st_put_hex(d->out, st_load32(at + 4));
    else
        st_putf(d->out, "inet_addr(\"%s\")", inet_ntop(AF_INET, at + 4, text, sizeof text));
}

static void in6_address(struct st_decoder *d, const uint8_t *at, uint64_t length)
{
    char text[INET6_ADDRSTRLEN];
    uint32_t flow = ntohl(st_load32(at + 4));
    st_putf(d->out, ", sin6_port=htons(%u), sin6_flowinfo=htonl(%u), ", ntohs(st_load16(at + 2)), flow);
    st_putf(d->out, "inet_pton(AF_INET6, \"%s\", &sin6_addr)", inet_ntop(AF_INET6, at + 8, text, sizeof text));
    if (length < 28) return;
    char name[IF_NAMESIZE];
    uint32_t scope = st_load32(at + 24);
    int local = (at[8] == 0xfe && (at[9] & 0xc0) == 0x80) || (at[8] == 0xff && (at[9] & 15) == 2);
    if (local && if_indextoname(scope, name))
        st_putf(d->out, ", sin6_scope_id=if_nametoindex(\"%s\")", name);
    else
        st_putf(d->out, ", sin6_scope_id=%u", scope);
}

static void netlink_address(struct st_decoder *d, const uint8_t *at)
{
    if (st_load16(at + 2)) st_putf(d->out, ", nl_pad=%#x", st_load16(at + 2));
    st_putf(d->out, ", nl_pid=%d, nl_groups=", (int32_t)st_load32(at + 4));
    if (st_load32(at + 8))
        st_putf(d->out, "%08x", st_load32(at + 8));
    else
        st_puts(d->out, "00000000");
}

static void packet_address(struct st_decoder *d, const uint8_t *at, uint64_t length)
{
    unsigned n = at[11] > 8 ? 8 : at[11];
    st_puts(d->out, ", sll_protocol=htons(");
    st_set(d, ST_SET_PACKET_PROTOCOL, ntohs(st_load16(at + 2)));
    st_putf(d->out, "), sll_ifindex=%d, sll_hatype=", (int32_t)st_load32(at + 4));
    st_set(d, ST_SET_ARP_HARDWARE, st_load16(at + 8));
    st_puts(d->out, ", sll_pkttype=");
    st_set(d, ST_SET_PACKET_TYPE, at[10]);
    st_putf(d->out, ", sll_halen=%u", at[11]);
    if (n && length > 12) {
        st_puts(d->out, ", sll_addr=[");
        hardware(d, at + 12, n > length - 12 ? (unsigned)(length - 12) : n);
        st_puts(d->out, at[11] > 8 ? ", ...]" : "]");
    }
}

static void raw_address(struct st_decoder *d, const uint8_t *at, uint64_t length)
{
    if (length <= 2) return;
    st_puts(d->out, ", sa_data=");
    st_quoted(d, at + 2, length - 2, ST_QUOTE_WHOLE);
}

void st_sockaddr_at(struct st_decoder *d, const uint8_t *at, uint64_t length)
{
    uint16_t family = length >= 2 ? st_load16(at) : 0;
    if (length < 2) {
        st_puts(d->out, "{sa_family=");
        st_quoted(d, at, length, ST_QUOTE_WHOLE);
        st_putc(d->out, '}');
        return;
    }
    const char *label = family == 10 && length >= 24 ? "sin6_family" : "sa_family";
    st_putf(d->out, "{%s=", family == 10 && length >= 24 ? "sa_family" : label);
    st_set(d, ST_SET_FAMILY, family);
    if (family == 1)
        un_address(d, at, length);
    else if (family == 2 && length >= 16)
        in_address(d, at);
    else if (family == 10 && length >= 24)
        in6_address(d, at, length);
    else if (family == 16 && length >= 12)
        netlink_address(d, at);
    else if (family == 17 && length >= 12)
        packet_address(d, at, length);
    else
        raw_address(d, at, length);
    st_putc(d->out, '}');
}

void st_sockaddr(struct st_decoder *d, uint64_t address, uint64_t length)
{
    uint64_t size = length > 128 ? 128 : length;
    const uint8_t *at = address && !d->pointers && size >= 2 ? st_see(d, address, size) : NULL;
    if (!at || (int32_t)length < 2) {
        st_address(d, address);
        return;
    }
    uint8_t copy[136] = {0};
    memcpy(copy, at, size);
    st_sockaddr_at(d, copy, size);
}

void st_print_sockaddr(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    st_sockaddr(d, value, ST_ARG32(d, type->aux));
}

/* The address that a call filled in, and [length it had => length it has]. */
static void filled_address(struct st_decoder *d, unsigned address, unsigned length)
{
    struct st_decoder before = *d;
    before.exiting = 0;
    const uint8_t *old = d->args[length] ? st_see(&before, d->args[length], 4) : NULL;
    const uint8_t *now = d->args[length] ? st_see(d, d->args[length], 4) : NULL;
    st_label(d, address);
    if (d->failed || !d->args[address] || !now || !old) {
        st_address(d, d->args[address]);
        st_next(d, length);
        if (old && !(d->failed && 0))
            st_putf(d->out, "[%d]", (int32_t)st_load32(old));
        else
            st_address(d, d->args[length]);
        return;
    }
    int32_t was = (int32_t)st_load32(old), is = (int32_t)st_load32(now);
    st_sockaddr(d, d->args[address], (uint64_t)(was < is ? was : is));
    st_next(d, length);
    if (was != is)
        st_putf(d->out, "[%d => %d]", was, is);
    else
        st_putf(d->out, "[%d]", is);
}

int st_call_getsockname(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
    } else {
        filled_address(d, 1, 2);
    }
    return 0;
}

int st_call_accept(struct st_decoder *d)
{
    d->returns = ST_RETURNS_FD;
    return st_call_getsockname(d);
}

int st_call_accept4(struct st_decoder *d)
{
    st_call_accept(d);
    if (d->exiting) {
        st_next(d, 3);
        st_set(d, ST_SET_SOCKET_FLAGS, ST_ARG32(d, 3));
    }
    return 0;
}

int st_call_recvfrom(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        return 0;
    }
    st_label(d, 1);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_bytes(d, d->args[1], (uint64_t)d->result < d->args[2] ? (uint64_t)d->result : d->args[2]);
    st_next(d, 2);
    st_put_unsigned(d->out, d->args[2]);
    st_next(d, 3);
    st_set(d, ST_SET_MSG_MSG, ST_ARG32(d, 3));
    st_comma(d);
    filled_address(d, 4, 5);
    return 0;
}
