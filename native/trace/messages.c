/* Vectors and messages with their control data. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "text.h"

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
        if (left != ~0ull) left -= shown;
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

/* ---- mmsghdr ---- */

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
    (void)index;
    st_puts(d->out, "{msg_hdr=");
    struct st_decoder before = *d;
    before.exiting = 0;
    const uint8_t *was = st_see(&before, address, 64);
    msghdr(d, at, st_load32(at + 56), was ? (int64_t)st_load32(was + 8) : -1, 1);
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
    st_label(d, 1);
    st_array(d, d->args[1], count > 1024 ? 1024 : count, 64, mmsghdr_entry);
    st_next(d, 2);
    st_put_unsigned(d->out, count);
    st_next(d, 3);
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
    st_note(d, &text);
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
    st_label(d, 1);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_array(d, d->args[1], (uint64_t)d->result, 64, mmsghdr_exit);
    st_next(d, 2);
    st_put_unsigned(d->out, ST_ARG32(d, 2));
    st_next(d, 3);
    st_set(d, ST_SET_MSG_MSG, ST_ARG32(d, 3));
    st_next(d, 4);
    before.out = d->out;
    st_timespec(&before, d->args[4]);
    if (d->failed || d->pointers) return 0;
    if (!d->result)
        strcpy(d->note, "Timeout");
    else if (d->args[4])
        left_note(d, d->args[4]);
    return 0;
}
