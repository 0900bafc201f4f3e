/* Calls of which each has one odd argument. */
#include <string.h>

#include "text.h"

/* The console's level: one more than that of the messages it shows. */
static void log_level(struct st_decoder *d, int32_t level)
{
    const char *name = st_lookup(&st_sets[ST_SET_LOG_LEVEL], (uint32_t)level);
    if (d->options->names != ST_NAMES_RAW) st_putf(d->out, " /* %s */", name ? name : level == 8 ? "LOGLEVEL_DEBUG+1" : "LOGLEVEL_???");
}

int st_call_syslog(struct st_decoder *d)
{
    uint32_t action = ST_ARG32(d, 0);
    const char *name = st_lookup(&st_sets[ST_SET_SYSLOG_ACTION], action);
    int reads = action >= 2 && action <= 4;
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        if (d->options->names != ST_NAMES_RAW) st_putf(d->out, " /* %s */", name ? name : "SYSLOG_ACTION_???");
        if (action < 2 || action == 5 || action == 6 || action == 7 || action == 9 || action == 10) return 0;
        if (reads) {
            st_comma(d);
            return 0;
        }
        st_arguments(d, 1, 3);
        if (action == 8) log_level(d, (int32_t)d->args[2]);
        return 0;
    }
    if (!reads) return 0;
    st_label(d, 1);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_bytes(d, d->args[1], (uint64_t)d->result);
    st_arguments(d, 2, 3);
    return 0;
}

void st_print_hostname(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint32_t length = ST_ARG32(d, type->aux);
    if (length > 64)
        st_address(d, value);
    else
        st_bytes(d, value, length);
}

/* Bytes that are never text. */
void st_print_hexadecimal(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    struct st_lines_options options = *d->options;
    struct st_decoder other = *d;
    (void)type;
    options.hex_strings = ST_HEX_ALL;
    other.options = &options;
    if (d->failed)
        st_address(d, value);
    else
        st_bytes(&other, value, (uint64_t)d->result);
}

void st_print_memfd_name(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    struct st_lines_options options = *d->options;
    struct st_decoder other = *d;
    (void)type;
    options.string_limit = 250; /* what a name may have behind "memfd:" */
    other.options = &options;
    st_string(&other, value);
}

/* No descriptor is FAN_NOFD here. */
void st_print_mark_dirfd(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if ((uint32_t)value == 0xffffffff)
        st_puts(d->out, "FAN_NOFD");
    else
        st_dirfd(d, (int32_t)value);
}

void st_print_memfd_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint32_t flags = (uint32_t)value, size = flags & 4 ? flags >> 26 : 0;
    (void)type;
    if (size) flags &= 0x3ffffff;
    st_set(d, ST_SET_MEMFD_FLAGS, flags);
    if (size) st_putf(d->out, "|%u<<MFD_HUGE_SHIFT", size);
}

void st_print_fanotify_init(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    static const char *const classes[] = {"FAN_CLASS_NOTIF", "FAN_CLASS_CONTENT", "FAN_CLASS_PRE_CONTENT", "0xc /* FAN_CLASS_??? */"};
    uint32_t flags = (uint32_t)value;
    (void)type;
    st_puts(d->out, classes[flags >> 2 & 3]);
    if (!(flags & ~12u)) return;
    st_putc(d->out, '|');
    st_set(d, ST_SET_FANOTIFY_INIT, flags & ~12u);
}

void st_print_fanotify_mark(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    st_set(d, ST_SET_FANOTIFY_MARK, (uint32_t)value);
}

void st_print_perf_attr(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !d->pointers ? st_see(d, value, 64) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_puts(d->out, "{type=");
    st_set(d, ST_SET_PERF_TYPE, st_load32(at));
    st_putf(d->out, ", size=%#x, config=", st_load32(at + 4));
    st_put_hex(d->out, st_load64(at + 8));
    st_puts(d->out, ", sample_period=");
    st_put_unsigned(d->out, st_load64(at + 16));
    st_puts(d->out, ", sample_type=");
    st_put_hex(d->out, st_load64(at + 24));
    st_puts(d->out, ", read_format=");
    st_put_hex(d->out, st_load64(at + 32));
    st_puts(d->out, ", ...}");
}

void st_print_uring_params(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !d->pointers ? st_see(d, value, 120) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_puts(d->out, "{flags=");
    st_set(d, ST_SET_URING_SETUP, st_load32(at + 8));
    st_putf(d->out, ", sq_thread_cpu=%u, sq_thread_idle=%u", st_load32(at + 12), st_load32(at + 16));
    st_puts(d->out, ", ...}");
}

int st_call_bpf(struct st_decoder *d)
{
    if (d->exiting) {
        uint32_t command = ST_ARG32(d, 0);
        if (!(command == 0 || command == 5 || command == 7 || command == 13 || command == 14 || command == 18 || command == 28))
            d->returns = ST_RETURNS_SIGNED;
        return 0;
    }
    st_arguments(d, 0, 3);
    return 0;
}
