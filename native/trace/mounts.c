/* Mounts, quotas, swap. */
#include <string.h>

#include "text.h"

int st_call_mount(struct st_decoder *d)
{
    uint64_t magic = d->args[3] & 0xffff0000, flags = magic == 0xc0ed0000 ? d->args[3] & 0xffff : d->args[3];
    /* What a bind, a move and a change of propagation do not look at; of a remount, the type. */
    int binds = flags & 0x1e3000 ? 1 : 0, ignored = binds || (flags & 0x20);
    if (d->exiting) return 0;
    st_arguments(d, 0, 2);
    st_next(d, 2);
    if (ignored)
        st_address(d, d->args[2]);
    else
        st_string(d, d->args[2]);
    st_next(d, 3);
    if (magic == 0xc0ed0000) {
        st_puts(d->out, "MS_MGC_VAL");
        if (flags) st_putc(d->out, '|');
    }
    if (flags || magic != 0xc0ed0000) st_set(d, ST_SET_MOUNT_FLAGS, flags);
    st_next(d, 4);
    if (binds)
        st_address(d, d->args[4]);
    else
        st_string(d, d->args[4]);
    return 0;
}

void st_print_swap_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint32_t flags = (uint32_t)value, priority = flags & 0x7fff;
    (void)type;
    if (!(flags & ~0x7fffu)) {
        st_put_unsigned(d->out, priority);
        return;
    }
    st_set(d, ST_SET_SWAP_FLAGS, flags & ~0x7fffu);
    st_putf(d->out, "|%u", priority);
}

static void quota_command(struct st_decoder *d, uint32_t command)
{
    st_puts(d->out, "QCMD(");
    st_set(d, ST_SET_QUOTA_CMD, command >> 8);
    st_comma(d);
    st_set(d, ST_SET_QUOTA_TYPE, command & 0xff);
    st_putc(d->out, ')');
}

int st_call_quotactl(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_next(d, 0);
    quota_command(d, ST_ARG32(d, 0));
    st_next(d, 1);
    st_path(d, d->args[1]);
    st_next(d, 2);
    st_id(d, ST_ARG32(d, 2));
    st_next(d, 3);
    st_address(d, d->args[3]);
    return 0;
}

int st_call_quotactl_fd(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_arguments(d, 0, 1);
    st_next(d, 1);
    quota_command(d, ST_ARG32(d, 1));
    st_next(d, 2);
    st_id(d, ST_ARG32(d, 2));
    st_next(d, 3);
    st_address(d, d->args[3]);
    return 0;
}

int st_call_fsconfig(struct st_decoder *d)
{
    uint32_t command = ST_ARG32(d, 1);
    if (d->exiting) return 0;
    st_arguments(d, 0, 2);
    st_next(d, 2);
    if (command == 6 || command == 7 || command == 8)
        st_address(d, d->args[2]);
    else
        st_string(d, d->args[2]);
    st_next(d, 3);
    if (command == 1)
        st_string(d, d->args[3]);
    else if (command == 2)
        st_bytes(d, d->args[3], ST_ARG32(d, 4));
    else if (command == 3 || command == 4)
        st_path(d, d->args[3]);
    else
        st_address(d, d->args[3]);
    st_next(d, 4);
    if (command == 3 || command == 4)
        st_dirfd(d, (int32_t)d->args[4]);
    else if (command == 5)
        st_fd(d, (int32_t)d->args[4]);
    else
        st_put_signed(d->out, (int32_t)d->args[4]);
    return 0;
}
