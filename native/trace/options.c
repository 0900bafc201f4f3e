/* Socket options. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "text.h"

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
    st_next(d, 1);
    st_set(d, ST_SET_SOL, ST_ARG32(d, 1));
    st_next(d, 2);
    option_name(d, ST_ARG32(d, 1), ST_ARG32(d, 2));
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
    uint64_t looked_at = level == 1 && name == ST_SO_LINGER ? 8 : level == 1 && got > 4 && got < 8 ? 4 : got;
    const uint8_t *at = d->args[3] && got && looked_at <= got ? st_see(d, d->args[3], looked_at) : NULL;
    st_next(d, 3);
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
    st_arguments(d, 4, 5);
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
        st_comma(d);
        return 0;
    }
    struct st_decoder before = *d;
    before.exiting = 0;
    const uint8_t *old = d->args[4] ? st_see(&before, d->args[4], 4) : NULL;
    const uint8_t *now = d->args[4] ? st_see(d, d->args[4], 4) : NULL;
    st_label(d, 3);
    if (d->failed || !now || !old) {
        st_address(d, d->args[3]);
        st_next(d, 4);
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
    st_next(d, 4);
    if (was != is)
        st_putf(d->out, "[%d => %d]", was, is);
    else
        st_putf(d->out, "[%d]", is);
    return 0;
}
