/* clone and clone3. */
#include <string.h>

#include "text.h"

static void clone_flags(struct st_decoder *d, unsigned set, uint64_t flags, uint64_t signal)
{
    char room[16];
    if (flags) {
        st_set(d, set, flags);
        if (!signal) return;
        st_putc(d->out, '|');
    } else if (!signal) {
        st_putc(d->out, '0');
        return;
    }
    st_puts(d->out, st_signal_name((uint32_t)signal, room));
}

static void tid_at(struct st_decoder *d, const char *label, uint64_t address)
{
    const uint8_t *at = address && !d->failed ? st_see(d, address, 4) : NULL;
    st_puts(d->out, label);
    if (!at) {
        st_address(d, address);
        return;
    }
    st_putc(d->out, '[');
    st_pid(d, (int32_t)st_load32(at));
    st_putc(d->out, ']');
}

int st_call_clone(struct st_decoder *d)
{
    uint64_t flags = d->args[0];
    if (!d->exiting) {
        st_puts(d->out, "child_stack=");
        st_address(d, d->args[1]);
        st_puts(d->out, ", flags=");
        clone_flags(d, ST_SET_CLONE_FLAGS, flags & ~0xffull, flags & 0xff);
        if (!(flags & 0x1381000)) return 0; /* PARENT_SETTID SETTLS CHILD_CLEARTID CHILD_SETTID PIDFD */
        if (!(flags & 0x101000)) {
            if (flags & 0x80000) {
                st_puts(d->out, ", tls=");
                st_address(d, d->args[4]);
            }
            if (flags & 0x1200000) {
                st_puts(d->out, ", child_tidptr=");
                st_address(d, d->args[3]);
            }
        } else {
            st_comma(d);
        }
        return 0;
    }
    if (!(flags & 0x101000)) return 0;
    if (flags & 0x1000) {
        const uint8_t *at = d->args[2] && !d->failed ? st_see(d, d->args[2], 4) : NULL;
        st_puts(d->out, "parent_tid=");
        if (at)
            st_putf(d->out, "[%d]", (int32_t)st_load32(at));
        else
            st_address(d, d->args[2]);
    } else {
        tid_at(d, "parent_tid=", d->args[2]);
    }
    if (flags & 0x80000) {
        st_puts(d->out, ", tls=");
        st_address(d, d->args[4]);
    }
    if (flags & 0x1200000) {
        st_puts(d->out, ", child_tidptr=");
        st_address(d, d->args[3]);
    }
    return 0;
}

static void word(struct st_decoder *d, const char *label, uint64_t value)
{
    st_puts(d->out, label);
    st_address(d, value);
}

static void clone3_tids(struct st_decoder *d, const uint8_t *at)
{
    uint64_t count = st_load64(at + 72), address = st_load64(at + 64);
    const uint8_t *tids = address && count && count <= 32 ? st_see(d, address, count * 4) : NULL;
    if (!address && !count) return;
    st_puts(d->out, ", set_tid=");
    if (!tids) {
        st_address(d, address);
    } else {
        st_putc(d->out, '[');
        for (uint64_t i = 0; i < count; i++) st_putf(d->out, i ? ", %d" : "%d", (int32_t)st_load32(tids + i * 4));
        st_putc(d->out, ']');
    }
    st_puts(d->out, ", set_tid_size=");
    st_put_unsigned(d->out, count);
}

static void clone3_entry(struct st_decoder *d, const uint8_t *at, uint64_t size)
{
    uint64_t flags = st_load64(at);
    st_puts(d->out, "{flags=");
    st_set(d, ST_SET_CLONE3_FLAGS, flags);
    if (flags & 0x1000) word(d, ", pidfd=", st_load64(at + 8));
    if (flags & 0x1200000) word(d, ", child_tid=", st_load64(at + 16));
    if (flags & 0x100000) word(d, ", parent_tid=", st_load64(at + 24));
    st_puts(d->out, ", exit_signal=");
    if (st_load64(at + 32) && st_load64(at + 32) < 65)
        st_signal(d, st_load64(at + 32));
    else
        st_put_unsigned(d->out, st_load64(at + 32));
    word(d, ", stack=", st_load64(at + 40));
    st_puts(d->out, ", stack_size=");
    st_put_hex(d->out, st_load64(at + 48));
    if (flags & 0x80000) word(d, ", tls=", st_load64(at + 56));
    if (size >= 80) clone3_tids(d, at);
    if (size >= 88 && (st_load64(at + 80) || flags >> 33 & 1)) {
        st_puts(d->out, ", cgroup=");
        if (flags >> 33 & 1)
            st_fd(d, (int32_t)st_load64(at + 80));
        else
            st_put_unsigned(d->out, st_load64(at + 80));
    }
    st_rest(d, d->args[0], 88, size);
    st_putc(d->out, '}');
}

static void clone3_exit(struct st_decoder *d, const uint8_t *at)
{
    uint64_t flags = st_load64(at);
    const uint8_t *pidfd = flags & 0x1000 ? st_see(d, st_load64(at + 8), 4) : NULL;
    const uint8_t *tid = flags & 0x100000 ? st_see(d, st_load64(at + 24), 4) : NULL;
    if (!pidfd && !tid) return;
    st_puts(d->out, " => {");
    if (pidfd) st_putf(d->out, "pidfd=[%d]", (int32_t)st_load32(pidfd));
    if (tid) st_putf(d->out, "%sparent_tid=[%d]", pidfd ? ", " : "", (int32_t)st_load32(tid));
    st_putc(d->out, '}');
}

int st_call_clone3(struct st_decoder *d)
{
    uint64_t size = d->args[1], kept = size < 88 ? size : 88;
    const uint8_t *at = d->args[0] && size >= 64 ? st_see(d, d->args[0], kept) : NULL;
    if (!d->exiting) {
        st_label(d, 0);
        if (at)
            clone3_entry(d, at, size);
        else
            st_address(d, d->args[0]);
        return 0;
    }
    if (at && !d->failed) clone3_exit(d, at);
    st_next(d, 1);
    st_put_unsigned(d->out, size);
    return 0;
}
