/* Times and clocks. */
#include <string.h>
#include <time.h>

#include "text.h"

static void pair(struct st_decoder *d, const uint8_t *at, const char *fraction)
{
    st_puts(d->out, "{tv_sec=");
    st_put_signed(d->out, (int64_t)st_load64(at));
    st_puts(d->out, fraction);
    st_put_unsigned(d->out, st_load64(at + 8));
    st_putc(d->out, '}');
}

void st_timespec_at(struct st_decoder *d, const uint8_t *at)
{
    pair(d, at, ", tv_nsec=");
}

void st_timeval_at(struct st_decoder *d, const uint8_t *at)
{
    pair(d, at, ", tv_usec=");
}

static void either(struct st_decoder *d, uint64_t address, void (*print)(struct st_decoder *, const uint8_t *))
{
    const uint8_t *at = address && !d->pointers ? st_see(d, address, 16) : NULL;
    if (at)
        print(d, at);
    else
        st_address(d, address);
}

void st_timespec(struct st_decoder *d, uint64_t address)
{
    either(d, address, st_timespec_at);
}

void st_timeval(struct st_decoder *d, uint64_t address)
{
    either(d, address, st_timeval_at);
}

/* What is left of a sleep: only there if it was interrupted. */
void st_print_remaining(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    int flags_absolute = d->row->count == 4 && (d->args[1] & 1);
    if (d->exiting && (d->result == -4 || d->result == -516 || d->result == -514) && !flags_absolute)
        st_timespec(d, value);
    else
        st_address(d, value);
}

/* The seconds of a time as a comment: 2026-01-31T12:00:00+0100, with a fraction if there is one. */
void st_date(struct st_buffer *b, int64_t seconds, uint64_t nanoseconds, int digits)
{
    struct tm parts;
    char text[64];
    time_t when = (time_t)seconds;
    if ((!seconds && !nanoseconds) || nanoseconds > 999999999 || !localtime_r(&when, &parts)) return;
    st_puts(b, " /* ");
    st_put(b, text, strftime(text, sizeof text, "%FT%T", &parts));
    if (digits && nanoseconds) {
        st_putc(b, '.');
        st_put_padded(b, digits == 6 ? nanoseconds / 1000 : nanoseconds, digits);
    }
    st_put(b, text, strftime(text, sizeof text, "%z", &parts));
    st_puts(b, " */");
}

void st_print_date(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    int64_t seconds;
    (void)type;
    memcpy(&seconds, (const void *)(uintptr_t)value, 8); /* a field: value is where it lies */
    st_put_signed(d->out, seconds);
    st_date(d->out, seconds, 0, 0);
}

/* timeval with its date behind the seconds' fraction, as gettimeofday and utimes show it */
void st_print_timeval(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    if (d->failed && type->when == ST_CAPTURE_EXIT)
        st_address(d, value);
    else
        st_timeval(d, value);
}

static void dated_timeval(struct st_decoder *d, const uint8_t *at)
{
    int64_t seconds = (int64_t)st_load64(at), micro = (int64_t)st_load64(at + 8);
    st_timeval_at(d, at);
    if (micro >= 0 && micro < 1000000) st_date(d->out, seconds, (uint64_t)micro * 1000, 6);
}

void st_print_utimes(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !d->pointers ? st_see(d, value, 32) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    dated_timeval(d, at);
    st_comma(d);
    dated_timeval(d, at + 16);
    st_putc(d->out, ']');
}

static void utimensat_one(struct st_decoder *d, const uint8_t *at)
{
    int64_t seconds = (int64_t)st_load64(at);
    uint64_t nano = st_load64(at + 8);
    const char *special = nano == 0x3fffffff ? "UTIME_NOW" : nano == 0x3ffffffe ? "UTIME_OMIT" : NULL;
    if (special && d->options->names == ST_NAMES_ABBREV) {
        st_puts(d->out, special);
        return;
    }
    st_timespec_at(d, at);
    if (special && d->options->names == ST_NAMES_VERBOSE) st_putf(d->out, " /* %s */", special);
    if (!special) st_date(d->out, seconds, nano, 9);
}

void st_print_utimensat(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !d->pointers ? st_see(d, value, 32) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    utimensat_one(d, at);
    st_comma(d);
    utimensat_one(d, at + 16);
    st_putc(d->out, ']');
}

static void time_note(struct st_decoder *d)
{
    struct st_buffer text = {0};
    st_date(&text, d->result, 0, 0);
    if (text.used <= 7) return;
    memmove(text.data, text.data + 4, text.used - 7); /* without the marks of a comment */
    text.used -= 7;
    st_note(d, &text);
}

int st_call_time(struct st_decoder *d)
{
    const uint8_t *at = d->exiting && d->args[0] && !d->failed ? st_see(d, d->args[0], 8) : NULL;
    if (!d->exiting) return 0;
    st_next(d, 0);
    if (at) {
        st_putc(d->out, '[');
        st_put_signed(d->out, (int64_t)st_load64(at));
        st_date(d->out, (int64_t)st_load64(at), 0, 0);
        st_putc(d->out, ']');
    } else {
        st_address(d, d->args[0]);
    }
    if (!d->failed) time_note(d);
    return 0;
}

void st_ticks(struct st_decoder *d, uint64_t ticks)
{
    st_put_signed(d->out, (int64_t)ticks);
    if (ticks) st_putf(d->out, " /* %llu.%02llu s */", (unsigned long long)ticks / 100, (unsigned long long)ticks % 100);
}

void st_print_ticks(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t ticks;
    (void)type;
    memcpy(&ticks, (const void *)(uintptr_t)value, 8);
    st_ticks(d, ticks);
}

/* Negative numbers are clocks of a process, a thread, or a descriptor. */
void st_print_clock(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    static const char *const of[4] = {"CPUCLOCK_PROF", "CPUCLOCK_VIRT", "CPUCLOCK_SCHED", NULL};
    int32_t clock = (int32_t)value;
    (void)type;
    if (clock >= 0) {
        st_set(d, ST_SET_CLOCK, (uint32_t)value);
        return;
    }
    if ((clock & 7) == 3) {
        st_putf(d->out, "FD_TO_CLOCKID(%d)", ~(clock >> 3));
        return;
    }
    const char *name = of[clock & 3];
    st_putf(d->out, "MAKE_%s_CPUCLOCK(%d, ", clock & 4 ? "THREAD" : "PROCESS", ~(clock >> 3));
    if (name)
        st_puts(d->out, name);
    else
        st_putf(d->out, "%d /* CPUCLOCK_??? */", clock & 3);
    st_putc(d->out, ')');
}

void st_print_rlim(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t limit;
    (void)type;
    memcpy(&limit, (const void *)(uintptr_t)value, 8);
    const char *name = limit == ~0ull ? "RLIM64_INFINITY" : NULL;
    if (name && d->options->names == ST_NAMES_ABBREV)
        st_puts(d->out, name);
    else if (name && d->options->names == ST_NAMES_VERBOSE)
        st_putf(d->out, "%llu /* %s */", (unsigned long long)limit, name);
    else if (limit > 1024 && limit % 1024 == 0 && d->options->names != ST_NAMES_RAW)
        st_putf(d->out, "%llu*1024", (unsigned long long)(limit / 1024));
    else
        st_put_unsigned(d->out, limit);
}

void st_print_sigevent(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !d->pointers ? st_see(d, value, 64) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    uint32_t notify = st_load32(at + 12);
    st_puts(d->out, "{");
    if (st_load64(at)) {
        st_puts(d->out, "sigev_value={sival_int=");
        st_put_signed(d->out, (int32_t)st_load32(at));
        st_puts(d->out, ", sival_ptr=");
        st_put_hex(d->out, st_load64(at));
        st_puts(d->out, "}, ");
    }
    st_puts(d->out, "sigev_signo=");
    if (notify == 0 || notify == 4 || notify == 2)
        st_signal(d, st_load32(at + 8));
    else
        st_put_unsigned(d->out, st_load32(at + 8));
    st_puts(d->out, ", sigev_notify=");
    st_set(d, ST_SET_SIGEV_NOTIFY, notify);
    if (notify == 4) {
        st_puts(d->out, ", sigev_notify_thread_id=");
        st_pid(d, (int32_t)st_load32(at + 16));
    } else if (notify == 2) {
        st_puts(d->out, ", sigev_notify_function=");
        st_address(d, st_load64(at + 16));
        st_puts(d->out, ", sigev_notify_attributes=");
        st_address(d, st_load64(at + 24));
    }
    st_putc(d->out, '}');
}
