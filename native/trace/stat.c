/* What stat and statx fill in. */
#include <string.h>

#include "text.h"

/* struct stat: offsets of the kernel's on x86_64 */
struct stat_time {
    const char *label;
    unsigned offset;
};

static void stat_time(struct st_decoder *d, const uint8_t *at, struct stat_time t)
{
    int64_t seconds = (int64_t)st_load64(at + t.offset);
    uint64_t nano = st_load64(at + t.offset + 8);
    st_putf(d->out, ", st_%s=", t.label);
    st_put_signed(d->out, seconds);
    st_date(d->out, seconds, nano, 9);
    st_putf(d->out, ", st_%s_nsec=", t.label);
    st_put_unsigned(d->out, nano);
}

static void stat_numbers(struct st_decoder *d, const uint8_t *at)
{
    st_puts(d->out, "st_dev=");
    st_device(d, st_load64(at));
    st_puts(d->out, ", st_ino=");
    st_put_unsigned(d->out, st_load64(at + 8));
    st_puts(d->out, ", st_mode=");
    st_symbolic_mode(d, st_load32(at + 24));
    st_puts(d->out, ", st_nlink=");
    st_put_unsigned(d->out, st_load64(at + 16));
    st_putf(d->out, ", st_uid=%u, st_gid=%u, st_blksize=", st_load32(at + 28), st_load32(at + 32));
    st_put_unsigned(d->out, st_load64(at + 56));
    st_puts(d->out, ", st_blocks=");
    st_put_unsigned(d->out, st_load64(at + 64));
}

void st_print_stat(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !d->failed && !d->pointers ? st_see(d, value, 144) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '{');
    uint32_t mode = st_load32(at + 24), kind = mode & 0170000;
    if (d->abbrev) {
        st_puts(d->out, "st_mode=");
        st_symbolic_mode(d, mode);
    } else {
        stat_numbers(d, at);
    }
    if (kind == 0020000 || kind == 0060000) {
        st_puts(d->out, ", st_rdev=");
        st_device(d, st_load64(at + 40));
    } else {
        st_puts(d->out, ", st_size=");
        st_put_signed(d->out, (int64_t)st_load64(at + 48));
    }
    if (d->abbrev) {
        st_puts(d->out, ", ...}");
        return;
    }
    stat_time(d, at, (struct stat_time){"atime", 72});
    stat_time(d, at, (struct stat_time){"mtime", 88});
    stat_time(d, at, (struct stat_time){"ctime", 104});
    st_putc(d->out, '}');
}

/* How fresh it has to be is always said, be it 0. */
void st_print_statx_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t flags = (uint32_t)value, rest = flags & ~0x6000ull;
    (void)type;
    if (d->options->names != ST_NAMES_ABBREV) {
        st_set(d, ST_SET_AT_STATX, flags);
        return;
    }
    if ((flags & 0x6000) == 0x6000)
        st_puts(d->out, "AT_STATX_FORCE_SYNC|AT_STATX_DONT_SYNC");
    else
        st_set(d, ST_SET_AT_STATX_SYNC, flags & 0x6000);
    if (!rest) return;
    st_putc(d->out, '|');
    if (st_bit_names(d->out, &st_sets[ST_SET_AT_STATX], &rest, "|") && rest) st_putc(d->out, '|');
    if (rest) st_put_hex(d->out, rest);
}

static void statx_time(struct st_decoder *d, const uint8_t *at, const char *label)
{
    int64_t seconds = (int64_t)st_load64(at);
    uint32_t nano = st_load32(at + 8);
    st_putf(d->out, ", stx_%s={tv_sec=", label);
    st_put_signed(d->out, seconds);
    st_putf(d->out, ", tv_nsec=%u}", nano);
    st_date(d->out, seconds, nano, 9);
}

static void statx_rest(struct st_decoder *d, const uint8_t *at)
{
    st_puts(d->out, ", stx_attributes_mask=");
    st_set(d, ST_SET_STATX_ATTRS, st_load64(at + 56));
    statx_time(d, at + 64, "atime");
    if (st_load32(at) & 0x800) statx_time(d, at + 80, "btime");
    statx_time(d, at + 96, "ctime");
    statx_time(d, at + 112, "mtime");
    st_putf(d->out, ", stx_rdev_major=%u, stx_rdev_minor=%u, stx_dev_major=%u, stx_dev_minor=%u", st_load32(at + 128), st_load32(at + 132),
            st_load32(at + 136), st_load32(at + 140));
    st_puts(d->out, ", stx_mnt_id=");
    st_put_hex(d->out, st_load64(at + 144));
    if (st_load32(at) & 0x2000) {
        st_putf(d->out, ", stx_dio_mem_align=%u, stx_dio_offset_align=%u", st_load32(at + 152), st_load32(at + 156));
    }
    if (st_load32(at) & 0x8000) {
        st_puts(d->out, ", stx_subvol=");
        st_put_unsigned(d->out, st_load64(at + 160));
    }
    if (st_load32(at) & 0x10000)
        st_putf(d->out, ", stx_atomic_write_unit_min=%u, stx_atomic_write_unit_max=%u, stx_atomic_write_segments_max=%u",
                st_load32(at + 168), st_load32(at + 172), st_load32(at + 176));
}

void st_print_statx(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !d->failed && !d->pointers ? st_see(d, value, 256) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_puts(d->out, "{stx_mask=");
    st_set(d, ST_SET_STATX_MASK, st_load32(at));
    if (!d->abbrev) st_putf(d->out, ", stx_blksize=%u", st_load32(at + 4));
    st_puts(d->out, ", stx_attributes=");
    st_set(d, ST_SET_STATX_ATTRS, st_load64(at + 8));
    if (!d->abbrev) st_putf(d->out, ", stx_nlink=%u, stx_uid=%u, stx_gid=%u", st_load32(at + 16), st_load32(at + 20), st_load32(at + 24));
    st_puts(d->out, ", stx_mode=");
    st_symbolic_mode(d, st_load16(at + 28));
    if (!d->abbrev) {
        st_puts(d->out, ", stx_ino=");
        st_put_unsigned(d->out, st_load64(at + 32));
    }
    st_puts(d->out, ", stx_size=");
    st_put_unsigned(d->out, st_load64(at + 40));
    if (d->abbrev) {
        st_puts(d->out, ", ...}");
        return;
    }
    st_puts(d->out, ", stx_blocks=");
    st_put_unsigned(d->out, st_load64(at + 48));
    statx_rest(d, at);
    st_putc(d->out, '}');
}
