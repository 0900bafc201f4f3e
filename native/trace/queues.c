/* Message queues and asynchronous I/O. */
#include <string.h>

#include "text.h"

void st_print_mq_attr_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t flags;
    (void)type;
    memcpy(&flags, (const void *)(uintptr_t)value, 8);
    st_set(d, ST_SET_MQ_FLAGS, flags);
}

int st_call_mq_open(struct st_decoder *d)
{
    static const struct st_type none = {0};
    if (d->exiting) return 0;
    d->returns = ST_RETURNS_FD;
    st_arguments(d, 0, 1);
    st_next(d, 1);
    st_print_open_flags(d, d->args[1], &none);
    if (!(d->args[1] & 0100)) return 0;
    st_arguments(d, 2, 3);
    st_next(d, 3);
    st_point(d, ST_STRUCT_MQ_ATTR, d->args[3]);
    return 0;
}

int st_call_mq_timedreceive(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        return 0;
    }
    const uint8_t *priority = d->failed || !d->args[3] ? NULL : st_see(d, d->args[3], 4);
    st_label(d, 1);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_bytes(d, d->args[1], (uint64_t)d->result);
    st_arguments(d, 2, 3);
    st_next(d, 3);
    if (priority)
        st_putf(d->out, "[%u]", st_load32(priority));
    else
        st_address(d, d->args[3]);
    st_next(d, 4);
    st_timespec(d, d->args[4]);
    return 0;
}

static void control_block(struct st_decoder *d, uint64_t address, int brief)
{
    const uint8_t *at = address ? st_see(d, address, 64) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    uint32_t op = st_load16(at + 16);
    st_putc(d->out, '{');
    if (st_load64(at)) {
        st_puts(d->out, "aio_data=");
        st_put_hex(d->out, st_load64(at));
        st_comma(d);
    }
    if (st_load32(at + 8)) st_putf(d->out, "aio_key=%u, ", st_load32(at + 8));
    if (st_load32(at + 12)) {
        st_puts(d->out, "aio_rw_flags=");
        st_set(d, ST_SET_RWF, st_load32(at + 12));
        st_comma(d);
    }
    st_puts(d->out, "aio_lio_opcode=");
    st_set(d, ST_SET_IOCB_CMD, op);
    if (st_load16(at + 18)) st_putf(d->out, ", aio_reqprio=%d", (int16_t)st_load16(at + 18));
    st_puts(d->out, ", aio_fildes=");
    st_fd(d, (int32_t)st_load32(at + 20));
    if (!brief && (op < 2 || op == 7 || op == 8)) {
        st_puts(d->out, ", aio_buf=");
        st_address(d, st_load64(at + 24));
        st_puts(d->out, ", aio_nbytes=");
        st_put_unsigned(d->out, st_load64(at + 32));
        st_puts(d->out, ", aio_offset=");
        st_put_signed(d->out, (int64_t)st_load64(at + 40));
    }
    if (st_load32(at + 56) & 1) {
        st_puts(d->out, ", aio_flags=");
        st_set(d, ST_SET_IOCB_FLAGS, st_load32(at + 56));
        st_puts(d->out, ", aio_resfd=");
        st_fd(d, (int32_t)st_load32(at + 60));
    }
    st_putc(d->out, '}');
}

void st_print_iocb_cancel(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    control_block(d, value, 1);
}

static void control_pointer(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    control_block(d, st_load64(at), 0);
}

int st_call_io_submit(struct st_decoder *d)
{
    int64_t count = (int64_t)d->args[1];
    if (d->exiting) return 0;
    st_arguments(d, 0, 2);
    st_next(d, 2);
    if (count < 0)
        st_address(d, d->args[2]);
    else
        st_array(d, d->args[2], (uint64_t)count, 8, control_pointer);
    return 0;
}
