/* Waiting for children. */
#include <string.h>

#include "text.h"

static void stap_status(struct st_decoder *d, uint32_t s)
{
    char room[16];
    uint32_t signal = s >> 8 & 0xff, event = s >> 16;
    if ((s & 0xff) == 0x7f) {
        st_putf(d->out, "WSTOPSIG=%s", signal == (5 | 0x80) ? "TRACESYSGOOD" : st_signal_name(signal, room));
        if (event) st_putf(d->out, " | %s << 8", st_lookup(&st_sets[ST_SET_PTRACE_EVENT], event));
    } else if (!(s & 0x7f)) {
        st_putf(d->out, "WEXITSTATUS=%u", signal);
    } else {
        st_putf(d->out, "WTERMSIG=%s", st_signal_name(s & 0x7f, room));
    }
}

static void stopped(struct st_decoder *d, uint32_t s)
{
    uint32_t signal = s >> 8 & 0xff, event = s >> 16;
    char room[16];
    st_puts(d->out, "{WIFSTOPPED(s) && WSTOPSIG(s) == ");
    if ((signal & 0x80) && (signal & 0x7f) == 5)
        st_puts(d->out, "SIGTRAP | 0x80");
    else
        st_puts(d->out, st_signal_name(signal, room));
    st_putc(d->out, '}');
    if (!event) return;
    st_putc(d->out, '|');
    st_set(d, ST_SET_PTRACE_EVENT, event);
    st_puts(d->out, "<<16");
}

void st_wait_status(struct st_decoder *d, uint32_t s)
{
    char room[16];
    if (d->options->stap) {
        stap_status(d, s);
    } else if ((s & 0xff) == 0x7f) {
        stopped(d, s);
    } else if (s == 0xffff) {
        st_puts(d->out, "{WIFCONTINUED(s)}");
    } else if (!(s & 0x7f)) {
        st_putf(d->out, "{WIFEXITED(s) && WEXITSTATUS(s) == %u}", s >> 8 & 0xff);
        if (s & ~0xff00u) st_putf(d->out, "|%#x", s & ~0xff00u);
    } else {
        st_putf(d->out, "{WIFSIGNALED(s) && WTERMSIG(s) == %s%s}", st_signal_name(s & 0x7f, room), s & 0x80 ? " && WCOREDUMP(s)" : "");
    }
}

void st_print_wait_status(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && d->result > 0 ? st_see(d, value, 4) : NULL;
    (void)type;
    if (!at || d->failed || d->pointers) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    st_wait_status(d, st_load32(at));
    st_putc(d->out, ']');
}

/* Filled in only where a child was found. */
void st_print_wait_rusage(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (d->result > 0)
        st_point(d, ST_STRUCT_RUSAGE, value);
    else
        st_address(d, value);
}

void st_print_waitid_id(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (ST_ARG32(d, 0) == 3)
        st_fd(d, (int32_t)value);
    else
        st_pid(d, (int32_t)value);
}
