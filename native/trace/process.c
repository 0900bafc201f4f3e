/* Other calls about processes and the machine. */
#include <string.h>

#include "text.h"

int st_call_kcmp(struct st_decoder *d)
{
    uint32_t kind = ST_ARG32(d, 2);
    if (d->exiting) return 0;
    st_arguments(d, 0, 3);
    if (kind == 0) {
        st_next(d, 3);
        st_fd(d, (int32_t)d->args[3]);
        st_next(d, 4);
        st_fd(d, (int32_t)d->args[4]);
    } else if (kind == 7) {
        const uint8_t *at = d->args[4] ? st_see(d, d->args[4], 12) : NULL;
        st_next(d, 3);
        st_fd(d, (int32_t)d->args[3]);
        st_next(d, 4);
        if (at)
            st_putf(d->out, "{efd=%d, tfd=%d, toff=%u}", (int32_t)st_load32(at), (int32_t)st_load32(at + 4), st_load32(at + 8));
        else
            st_address(d, d->args[4]);
    } else if (kind > 7) {
        st_next(d, 3);
        st_put_hex(d->out, d->args[3]);
        st_next(d, 4);
        st_put_hex(d->out, d->args[4]);
    }
    return 0;
}

static void description(struct st_decoder *d, uint64_t address)
{
    const uint8_t *at = address ? st_see(d, address, 16) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    uint32_t flags = st_load32(at + 12);
    if (st_load32(at) == 0xffffffff)
        st_puts(d->out, "{entry_number=-1");
    else
        st_putf(d->out, "{entry_number=%u", st_load32(at));
    st_puts(d->out, ", base_addr=");
    st_put_hex(d->out, st_load32(at + 4));
    st_puts(d->out, ", limit=");
    st_put_hex(d->out, st_load32(at + 8));
    st_putf(d->out, ", seg_32bit=%u, contents=%u, read_exec_only=%u, limit_in_pages=%u, seg_not_present=%u, useable=%u, lm=%u}", flags & 1,
            flags >> 1 & 3, flags >> 3 & 1, flags >> 4 & 1, flags >> 5 & 1, flags >> 6 & 1, flags >> 7 & 1);
}

void st_print_user_desc(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (d->failed)
        st_address(d, value);
    else
        description(d, value);
}

int st_call_modify_ldt(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_arguments(d, 0, 1);
    st_next(d, 1);
    if (((uint32_t)d->args[0] == 1 || (uint32_t)d->args[0] == 0x11) && d->args[2] == 16)
        description(d, d->args[1]);
    else
        st_address(d, d->args[1]);
    st_arguments(d, 2, 3);
    return 0;
}

int st_call_membarrier(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, (ST_ARG32(d, 1) & 1) ? 3 : 2);
        return 0;
    }
    if (!ST_ARG32(d, 0) && d->result > 0) {
        uint64_t bits = (uint64_t)d->result;
        struct st_buffer text = {0};
        st_bit_names(&text, &st_sets[ST_SET_MEMBARRIER_BITS], &bits, "|");
        d->returns = ST_RETURNS_HEX;
        st_note(d, &text);
    }
    return 0;
}

int st_call_restart_syscall(struct st_decoder *d)
{
    uint64_t address;
    uint32_t size = 0;
    const uint8_t *which = d->exiting ? NULL : st_see_first(d, &address, &size); /* its number, where the tracer knows it */
    const char *name = which && size >= 4 ? st_call_name((int32_t)st_load32(which)) : NULL;
    if (!d->exiting) st_putf(d->out, "<... resuming interrupted %s ...>", name ? name : "system call");
    return 0;
}

int st_call_reboot(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_arguments(d, 0, 3);
    if (ST_ARG32(d, 2) == 0xa1b2c3d4) {
        st_next(d, 3);
        st_string(d, d->args[3]);
    }
    return 0;
}

int st_call_sysfs(struct st_decoder *d)
{
    uint32_t option = ST_ARG32(d, 0);
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        if (option == 1) {
            st_next(d, 1);
            st_string(d, d->args[1]);
        } else if (option == 2) {
            st_next(d, 1);
            st_put_unsigned(d->out, (uint32_t)d->args[1]);
            st_comma(d);
        } else if (option != 3) {
            st_next(d, 1);
            st_put_hex(d->out, d->args[1]);
            st_next(d, 2);
            st_put_hex(d->out, d->args[2]);
        }
        return 0;
    }
    if (option == 2) {
        st_label(d, 2);
        if (d->failed)
            st_address(d, d->args[2]);
        else
            st_string(d, d->args[2]);
    }
    return 0;
}

static void segment(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_puts(d->out, "{buf=");
    st_address(d, st_load64(at));
    st_puts(d->out, ", bufsz=");
    st_put_unsigned(d->out, st_load64(at + 8));
    st_puts(d->out, ", mem=");
    st_address(d, st_load64(at + 16));
    st_puts(d->out, ", memsz=");
    st_put_unsigned(d->out, st_load64(at + 24));
    st_putc(d->out, '}');
}

int st_call_kexec_load(struct st_decoder *d)
{
    uint64_t count = d->args[1], flags = d->args[3];
    if (d->exiting) return 0;
    st_arguments(d, 0, 2);
    st_next(d, 2);
    if (count > 16)
        st_address(d, d->args[2]);
    else
        st_array(d, d->args[2], count, 32, segment);
    st_next(d, 3);
    st_set(d, ST_SET_KEXEC_ARCH, flags & 0xffff0000);
    if (flags & ~0xffff0000ull) {
        st_putc(d->out, '|');
        st_set(d, ST_SET_KEXEC_FLAGS, flags & ~0xffff0000ull);
    }
    return 0;
}
