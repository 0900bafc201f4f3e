/* Sockets: addresses, messages, options. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "text.h"

/* ---- addresses -------------------------------------------------------------------------------------------------------- */

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
    if (length >= 28) st_putf(d->out, ", sin6_scope_id=%u", st_load32(at + 24));
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
    if (d->failed || !d->args[address] || !now || !old) {
        st_address(d, d->args[address]);
        st_comma(d);
        if (old && !(d->failed && 0))
            st_putf(d->out, "[%d]", (int32_t)st_load32(old));
        else
            st_address(d, d->args[length]);
        return;
    }
    int32_t was = (int32_t)st_load32(old), is = (int32_t)st_load32(now);
    st_sockaddr(d, d->args[address], (uint64_t)(was < is ? was : is));
    st_comma(d);
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
        st_comma(d);
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
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_bytes(d, d->args[1], (uint64_t)d->result < d->args[2] ? (uint64_t)d->result : d->args[2]);
    st_comma(d);
    st_put_unsigned(d->out, d->args[2]);
    st_comma(d);
    st_set(d, ST_SET_MSG_MSG, ST_ARG32(d, 3));
    st_comma(d);
    filled_address(d, 4, 5);
    return 0;
}

/* ---- socket ----------------------------------------------------------------------------------------------------------- */

static void socket_type(struct st_decoder *d, uint32_t type)
{
    uint64_t flags = type & ~15u;
    st_set(d, ST_SET_SOCKET_TYPE, type & 15);
    if (!flags) return;
    st_putc(d->out, '|');
    st_set(d, ST_SET_SOCKET_FLAGS, flags);
}

static void socket_arguments(struct st_decoder *d)
{
    uint32_t family = ST_ARG32(d, 0), protocol = ST_ARG32(d, 2);
    st_set(d, ST_SET_FAMILY, family);
    st_comma(d);
    socket_type(d, ST_ARG32(d, 1));
    st_comma(d);
    switch (family) {
    case 2:
    case 10: st_set(d, ST_SET_INET_PROTOCOL, protocol); break;
    case 16: st_set(d, ST_SET_NETLINK_PROTOCOL, protocol); break;
    case 17:
        st_puts(d->out, "htons(");
        st_set(d, ST_SET_PACKET_PROTOCOL, ntohs((uint16_t)protocol));
        st_putc(d->out, ')');
        break;
    case 31: st_set(d, ST_SET_BLUETOOTH_PROTOCOL, protocol); break;
    default: st_put_unsigned(d->out, protocol);
    }
}

int st_call_socket(struct st_decoder *d)
{
    if (!d->exiting) socket_arguments(d);
    return 0;
}

int st_call_socketpair(struct st_decoder *d)
{
    if (!d->exiting) {
        socket_arguments(d);
        st_comma(d);
    } else {
        st_print_fdpair(d, d->args[3], NULL);
    }
    return 0;
}

/* ---- iovec, msghdr ---------------------------------------------------------------------------------------------------- */

void st_iovec(struct st_decoder *d, uint64_t address, uint64_t count, uint64_t left, int data)
{
    if (!address || d->pointers || (count && !st_see(d, address, 16))) {
        st_address(d, address);
        return;
    }
    st_putc(d->out, '[');
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *at = st_see(d, address + i * 16, 16);
        if (st_element_missing(d, at, address + i * 16, i)) break;
        uint64_t base = st_load64(at), length = st_load64(at + 8), shown = length < left ? length : left;
        st_puts(d->out, "{iov_base=");
        if (data)
            st_bytes(d, base, shown);
        else
            st_address(d, base);
        st_puts(d->out, ", iov_len=");
        st_put_unsigned(d->out, length);
        st_putc(d->out, '}');
        left -= shown;
    }
    st_putc(d->out, ']');
}

void st_print_iovec(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t count = d->args[type->aux];
    if (type->when != ST_CAPTURE_EXIT)
        st_iovec(d, value, count, ~0ull, 1);
    else if (d->failed)
        st_iovec(d, value, count, 0, 0);
    else
        st_iovec(d, value, count, (uint64_t)d->result, 1);
}

void st_print_iovec_addresses(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    st_iovec(d, value, d->args[type->aux], 0, 0);
}

static void rights(struct st_decoder *d, const uint8_t *at, uint64_t size)
{
    st_putc(d->out, '[');
    for (uint64_t i = 0; i + 4 <= size; i += 4) {
        if (i) st_comma(d);
        if (d->abbrev && i / 4 >= d->options->string_limit) {
            st_puts(d->out, "...");
            break;
        }
        st_fd(d, (int32_t)st_load32(at + i));
    }
    st_putc(d->out, ']');
}

static void control_data(struct st_decoder *d, uint32_t level, uint32_t type, const uint8_t *at, uint64_t size)
{
    if (level == 1 && type == 1) {
        rights(d, at, size);
    } else if (level == 1 && type == 2 && size >= 12) {
        st_structure(d, &st_structs[ST_STRUCT_UCRED], 0, at);
    } else if (level == 1 && (type == 29 || type == 63) && size >= 16) {
        st_timeval_at(d, at);
    } else if (level == 1 && (type == 35 || type == 64) && size >= 16) {
        st_timespec_at(d, at);
    } else if (level == 0 && (type == 2 || type == 12) && size >= 4) {
        st_putf(d->out, "[%u]", st_load32(at));
    } else if (level == 0 && type == 1) {
        st_putf(d->out, "[%#x]", size ? at[0] : 0);
    } else if (level == 1 && type == 4 && size >= 4) {
        st_putc(d->out, '[');
        st_fd(d, (int32_t)st_load32(at));
        st_putc(d->out, ']');
    } else {
        st_quoted(d, at, size, ST_QUOTE_BYTES);
    }
}

static void control_type(struct st_decoder *d, uint32_t level, uint32_t type)
{
    if (level == 1)
        st_set(d, ST_SET_SCM, type);
    else if (level == 0)
        st_set(d, ST_SET_IP_OPTION, type);
    else if (level == 41)
        st_set(d, ST_SET_IPV6_OPTION, type);
    else
        st_put_hex(d->out, type);
}

static void control(struct st_decoder *d, uint64_t address, uint64_t length)
{
    uint64_t got = length, at = 0;
    const uint8_t *data = address && length ? st_see_some(d, address, &got) : NULL;
    st_puts(d->out, ", msg_control=");
    if (!data || got < 16) {
        st_address(d, address);
    } else {
        st_putc(d->out, '[');
        while (at + 16 <= got) {
            uint64_t size = st_load64(data + at), shown = size > got - at ? got - at : size;
            uint32_t level = st_load32(data + at + 8), type = st_load32(data + at + 12);
            if (at) st_comma(d);
            st_puts(d->out, "{cmsg_len=");
            st_put_unsigned(d->out, size);
            st_puts(d->out, ", cmsg_level=");
            st_set(d, ST_SET_SOL, level);
            st_puts(d->out, ", cmsg_type=");
            control_type(d, level, type);
            if (shown > 16) {
                st_puts(d->out, ", cmsg_data=");
                control_data(d, level, type, data + at + 16, shown - 16);
            }
            st_putc(d->out, '}');
            if (size < 16 || size > got - at) break;
            at += (size + 7) & ~7ull;
            if (at < got && got - at < 16) {
                st_puts(d->out, ", ... /* ");
                st_put_hex(d->out, address + at);
                st_puts(d->out, " */");
                break;
            }
        }
        st_putc(d->out, ']');
    }
    st_puts(d->out, ", msg_controllen=");
    st_put_unsigned(d->out, length);
}

/* left: bytes of data that were transferred; name_was: msg_namelen before the call, -1: not known to differ */
static void msghdr(struct st_decoder *d, const uint8_t *at, uint64_t left, int64_t name_was, int data)
{
    uint32_t length = st_load32(at + 8);
    st_puts(d->out, "{msg_name=");
    st_sockaddr(d, st_load64(at), name_was >= 0 && name_was < (int64_t)length ? (uint64_t)name_was : length);
    st_puts(d->out, ", msg_namelen=");
    if (name_was >= 0 && name_was != (int64_t)length) st_putf(d->out, "%lld => ", (long long)name_was);
    st_put_signed(d->out, (int32_t)length);
    st_puts(d->out, ", msg_iov=");
    st_iovec(d, st_load64(at + 16), st_load64(at + 24), left, data);
    st_puts(d->out, ", msg_iovlen=");
    st_put_unsigned(d->out, st_load64(at + 24));
    if (st_load64(at + 40) || st_load64(at + 32))
        control(d, st_load64(at + 32), st_load64(at + 40));
    else
        st_puts(d->out, ", msg_controllen=0");
    st_puts(d->out, ", msg_flags=");
    st_set(d, ST_SET_MSG_MSG, st_load32(at + 48));
    st_putc(d->out, '}');
}

void st_print_msghdr(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    int receiving = type->when == ST_CAPTURE_EXIT;
    const uint8_t *at = value && !d->pointers ? st_see(d, value, 56) : NULL;
    if (!at) {
        st_address(d, value);
        return;
    }
    if (receiving && d->failed) {
        struct st_decoder before = *d;
        before.exiting = 0;
        const uint8_t *was = st_see(&before, value, 56);
        (void)was;
        st_puts(d->out, "{msg_namelen=");
        st_put_signed(d->out, (int32_t)st_load32(at + 8));
        st_putc(d->out, '}');
        return;
    }
    int64_t name_was = -1;
    if (receiving) {
        struct st_decoder before = *d;
        before.exiting = 0;
        const uint8_t *was = st_see(&before, value, 56);
        if (was) name_was = (int32_t)st_load32(was + 8);
    }
    msghdr(d, at, receiving ? (uint64_t)d->result : ~0ull, name_was, 1);
}

/* ---- mmsghdr ---------------------------------------------------------------------------------------------------------- */

static void mmsghdr_entry(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    st_puts(d->out, "{msg_hdr=");
    msghdr(d, at, ~0ull, -1, 1);
    if (d->exiting && (int64_t)index < d->result) st_putf(d->out, ", msg_len=%u", st_load32(at + 56));
    st_putc(d->out, '}');
}

static void mmsghdr_exit(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_puts(d->out, "{msg_hdr=");
    msghdr(d, at, st_load32(at + 56), -1, 1);
    st_putf(d->out, ", msg_len=%u}", st_load32(at + 56));
}

int st_call_sendmmsg(struct st_decoder *d)
{
    uint32_t count = ST_ARG32(d, 2);
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        return 0;
    }
    st_array(d, d->args[1], count > 1024 ? 1024 : count, 64, mmsghdr_entry);
    st_comma(d);
    st_put_unsigned(d->out, count);
    st_comma(d);
    st_set(d, ST_SET_MSG_MSG, ST_ARG32(d, 3));
    return 0;
}

static void left_note(struct st_decoder *d, uint64_t address)
{
    const uint8_t *at = address ? st_see(d, address, 16) : NULL;
    struct st_buffer text = {0}, *out = d->out;
    if (!at) return;
    d->out = &text;
    st_puts(&text, "left ");
    st_timespec_at(d, at);
    d->out = out;
    if (text.used < sizeof d->note) {
        memcpy(d->note, text.data, text.used);
        d->note[text.used] = 0;
    }
    st_buffer_free(&text);
}

int st_call_recvmmsg(struct st_decoder *d)
{
    struct st_decoder before = *d;
    before.exiting = 0;
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        return 0;
    }
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_array(d, d->args[1], (uint64_t)d->result, 64, mmsghdr_exit);
    st_comma(d);
    st_put_unsigned(d->out, ST_ARG32(d, 2));
    st_comma(d);
    st_set(d, ST_SET_MSG_MSG, ST_ARG32(d, 3));
    st_comma(d);
    before.out = d->out;
    st_timespec(&before, d->args[4]);
    if (d->failed) return 0;
    if (!d->result)
        strcpy(d->note, "Timeout");
    else if (d->args[4])
        left_note(d, d->args[4]);
    return 0;
}

/* ---- options ---------------------------------------------------------------------------------------------------------- */

static void option_name(struct st_decoder *d, uint32_t level, uint32_t name)
{
    switch (level) {
    case 1: st_set(d, ST_SET_SO, name); break;
    case 0: st_set(d, ST_SET_IP_OPTION, name); break;
    case 41: st_set(d, ST_SET_IPV6_OPTION, name); break;
    case 6: st_set(d, ST_SET_TCP_OPTION, name); break;
    case 17: st_set(d, ST_SET_UDP_OPTION, name); break;
    case 263: st_set(d, ST_SET_PACKET_OPTION, name); break;
    case 270: st_set(d, ST_SET_NETLINK_OPTION, name); break;
    case 255: st_set(d, ST_SET_ICMP_OPTION, name); break;
    default: st_put_hex(d->out, name);
    }
}

static void head(struct st_decoder *d)
{
    st_arguments(d, 0, 1);
    st_comma(d);
    st_set(d, ST_SET_SOL, ST_ARG32(d, 1));
    st_comma(d);
    option_name(d, ST_ARG32(d, 1), ST_ARG32(d, 2));
    st_comma(d);
}

enum { ST_SO_PASSCRED = 16, ST_SO_PEERCRED = 17, ST_SO_LINGER = 13, ST_SO_ERROR = 4, ST_SO_TYPE = 3, ST_SO_ATTACH_FILTER = 26 };

void st_filter(struct st_decoder *d, uint64_t address);

/* The value of a known structure; 0: it has none. */
static int structured(struct st_decoder *d, uint32_t level, uint32_t name, const uint8_t *at, uint64_t size)
{
    if (level == 1 && name == ST_SO_LINGER && size >= 8) {
        st_structure(d, &st_structs[ST_STRUCT_LINGER], 0, at);
    } else if (level == 1 && name == ST_SO_PEERCRED && size >= 12) {
        st_structure(d, &st_structs[ST_STRUCT_UCRED], 0, at);
    } else if (level == 1 && (name == 20 || name == 21 || name == 66 || name == 67) && size >= 16) {
        st_timeval_at(d, at);
    } else {
        return 0;
    }
    return 1;
}

static int text_option(uint32_t level, uint32_t name)
{
    return (level == 1 && name == 25) || (level == 6 && (name == 13 || name == 31));
}

int st_call_setsockopt(struct st_decoder *d)
{
    uint32_t level = ST_ARG32(d, 1), name = ST_ARG32(d, 2);
    int32_t size = (int32_t)d->args[4];
    if (d->exiting) return 0;
    head(d);
    uint64_t got = size < 0 ? 0 : size > 256 ? 256 : (uint64_t)size;
    uint64_t looked_at = level == 1 && name == ST_SO_LINGER ? 8 : got;
    const uint8_t *at = d->args[3] && got && looked_at <= got ? st_see(d, d->args[3], looked_at) : NULL;
    if (level == 1 && (name == ST_SO_ATTACH_FILTER || name == 51) && size == 16)
        st_filter(d, d->args[3]);
    else if (!at)
        st_address(d, d->args[3]);
    else if (text_option(level, name))
        st_quoted(d, at, got, ST_QUOTE_TEXT);
    else if (structured(d, level, name, at, got))
        ;
    else if (size == 4 || (level <= 1 && size > 4))
        st_putf(d->out, "[%d]", (int32_t)st_load32(at));
    else
        st_bytes(d, d->args[3], (uint64_t)size);
    st_putf(d->out, ", %d", size);
    return 0;
}

/* A structure of which only some bytes came. */
static void partial(struct st_decoder *d, const char *const *labels, const uint8_t *at, uint64_t size, const char *formats)
{
    uint64_t used = 0;
    st_putc(d->out, '{');
    for (unsigned i = 0; labels[i] && used < size; i++) {
        st_puts(d->out, i ? ", " : "");
        st_puts(d->out, labels[i]);
        if (size - used >= 4) {
            if (formats[i] == 'p')
                st_pid(d, (int32_t)st_load32(at + used));
            else if (formats[i] == 'i')
                st_id(d, st_load32(at + used));
            else
                st_put_signed(d->out, (int32_t)st_load32(at + used));
        } else {
            uint64_t left = size - used;
            st_putc(d->out, '"');
            st_quote_bytes(d->options, d->out, at + used, left, ST_HEX_ALL);
            st_putc(d->out, '"');
        }
        used += 4;
    }
    st_putc(d->out, '}');
}

static void gotten(struct st_decoder *d, uint32_t level, uint32_t name, const uint8_t *at, uint64_t size)
{
    static const char *const linger[] = {"l_onoff=", "l_linger=", NULL}, *const cred[] = {"pid=", "uid=", "gid=", NULL};
    if (level == 1 && name == ST_SO_LINGER && size) {
        partial(d, linger, at, size, "dd");
    } else if (level == 1 && name == ST_SO_PEERCRED && size) {
        partial(d, cred, at, size, "pii");
    } else if (text_option(level, name)) {
        st_quoted(d, at, size, ST_QUOTE_TEXT);
    } else if (structured(d, level, name, at, size)) {
    } else if (level == 1 && name == ST_SO_ERROR && size >= 4) {
        st_putc(d->out, '[');
        if (st_load32(at) && st_known_error(st_load32(at)))
            st_error_name(d->out, st_load32(at));
        else
            st_put_signed(d->out, (int32_t)st_load32(at));
        st_putc(d->out, ']');
    } else if (level == 1 && name == ST_SO_TYPE && size >= 4) {
        st_putc(d->out, '[');
        st_set(d, ST_SET_SOCKET_TYPE, st_load32(at));
        st_putc(d->out, ']');
    } else if (level == 1 && name == 39 && size >= 4) {
        st_putc(d->out, '[');
        st_set(d, ST_SET_FAMILY, st_load32(at));
        st_putc(d->out, ']');
    } else if (level == 1 && name == 38 && size >= 4) {
        st_putc(d->out, '[');
        st_set(d, ST_SET_INET_PROTOCOL, st_load32(at));
        st_putc(d->out, ']');
    } else if (size == 4 || (level <= 1 && size > 4 && size < 8)) {
        st_putf(d->out, "[%d]", (int32_t)st_load32(at));
    } else if (level == 1 && size < 4) {
        st_putc(d->out, '"');
        st_quote_bytes(d->options, d->out, at, size, ST_HEX_ALL);
        st_putc(d->out, '"');
    } else {
        st_quoted(d, at, size, ST_QUOTE_BYTES);
    }
}

int st_call_getsockopt(struct st_decoder *d)
{
    if (!d->exiting) {
        head(d);
        return 0;
    }
    struct st_decoder before = *d;
    before.exiting = 0;
    const uint8_t *old = d->args[4] ? st_see(&before, d->args[4], 4) : NULL;
    const uint8_t *now = d->args[4] ? st_see(d, d->args[4], 4) : NULL;
    if (d->failed || !now || !old) {
        st_address(d, d->args[3]);
        st_comma(d);
        if (old)
            st_putf(d->out, "[%d]", (int32_t)st_load32(old));
        else
            st_address(d, d->args[4]);
        return 0;
    }
    int32_t was = (int32_t)st_load32(old), is = (int32_t)st_load32(now);
    uint64_t size = is < 0 ? 0 : is > 256 ? 256 : (uint64_t)is;
    if (was >= 0 && (uint64_t)was < size) size = (uint64_t)was;
    const uint8_t *at = d->args[3] && size ? st_see(d, d->args[3], size) : NULL;
    if (at)
        gotten(d, ST_ARG32(d, 1), ST_ARG32(d, 2), at, size);
    else
        st_address(d, d->args[3]);
    st_comma(d);
    if (was != is)
        st_putf(d->out, "[%d => %d]", was, is);
    else
        st_putf(d->out, "[%d]", is);
    return 0;
}
