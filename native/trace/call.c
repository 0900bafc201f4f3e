/* A whole call: name and arguments on entry, the rest on exit, the result. */
#include <stdio.h>
#include <string.h>

#include "text.h"

const char *st_call_name(int32_t sysno)
{
    return sysno >= 0 && sysno < ST_TRACE_CALLS ? st_rows[sysno].name : NULL;
}

/* The first argument that only the exit shows. */
static unsigned split(const struct st_row *row)
{
    unsigned i = 0;
    while (i < row->count && row->types[i].when != ST_CAPTURE_EXIT) i++;
    return i;
}

static void name(struct st_decoder *d)
{
    if (d->row)
        st_puts(d->out, d->row->name);
    else
        st_putf(d->out, "syscall_%#x", (uint32_t)d->sysno);
    st_putc(d->out, '(');
}

static void raw(struct st_decoder *d, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        st_next(d, i);
        st_put_hex(d->out, d->args[i]);
    }
}

/* nanosleep and clock_nanosleep: what is left of the sleep is only thought of on exit. */
static int late_comma(const struct st_decoder *d)
{
    return d->sysno == 35 || d->sysno == 230;
}

void st_call_entry(struct st_decoder *d)
{
    name(d);
    if (!d->row || d->raw) {
        raw(d, d->row ? d->row->count : 6);
    } else if (d->row->custom) {
        d->row->custom(d);
    } else {
        unsigned last = split(d->row);
        st_arguments(d, 0, last);
        if (last && last < d->row->count && !late_comma(d)) st_comma(d);
    }
}

static void rest(struct st_decoder *d, unsigned first)
{
    /* The comma before the first one is there already. */
    struct st_buffer *b = d->out;
    uint64_t start = b->used;
    st_arguments(d, first, d->row->count);
    if (first && !late_comma(d) && b->used >= start + 2 && !memcmp(b->data + start, ", ", 2)) {
        memmove(b->data + start, b->data + start + 2, b->used - start - 2);
        b->used -= 2;
    }
}

void st_call_exit(struct st_decoder *d)
{
    if (!d->row || d->raw) return;
    if (d->row->custom)
        d->row->custom(d);
    else if (split(d->row) < d->row->count)
        rest(d, split(d->row));
}

struct restart {
    int64_t error;
    const char *name, *text;
};
static const struct restart restarts[] = {
    {512, "ERESTARTSYS", "To be restarted if SA_RESTART is set"},
    {513, "ERESTARTNOINTR", "To be restarted"},
    {514, "ERESTARTNOHAND", "To be restarted if no handler"},
    {516, "ERESTART_RESTARTBLOCK", "Interrupted by signal"},
};

static const struct restart *restart_of(int64_t error)
{
    for (unsigned i = 0; i < sizeof restarts / sizeof *restarts; i++)
        if (restarts[i].error == error) return &restarts[i];
    return NULL;
}

void st_error_name(struct st_buffer *b, int64_t error)
{
    if (st_known_error(error))
        st_puts(b, st_errors[error].name);
    else
        st_put_signed(b, error);
}

static void error(struct st_decoder *d, int64_t number)
{
    const struct restart *again = restart_of(number);
    if (again) {
        st_putf(d->out, "? %s (%s)", again->name, again->text);
        return;
    }
    if (!st_known_error(number)) {
        st_putf(d->out, "-1 (errno %lld)", (long long)number);
        return;
    }
    st_puts(d->out, "-1 ");
    st_error_name(d->out, number);
    st_putf(d->out, " (%s)", st_errors[number].text);
}

void st_note(struct st_decoder *d, struct st_buffer *text)
{
    uint64_t n = text->used < sizeof d->note - 1 ? text->used : sizeof d->note - 1;
    if (n) memcpy(d->note, text->data, n);
    d->note[n] = 0;
    st_buffer_free(text);
}

int64_t st_call_interrupted(const struct st_decoder *d)
{
    static const int64_t results[] = {-4, -512, -514, -516};
    unsigned restart = d->row ? d->row->restart : ST_RESTART_NEVER;
    if (d->sysno == 202 && !d->args[3]) restart = ST_RESTART_SYS;         /* futex without a timeout */
    if (d->sysno == 230 && (d->args[1] & 1)) restart = ST_RESTART_NOHAND; /* clock_nanosleep until an instant */
    return results[restart & 3];
}

static void success(struct st_decoder *d, uint16_t flags)
{
    if (d->raw) {
        st_put_hex(d->out, (uint64_t)d->result);
        return;
    }
    switch (d->returns) {
    case ST_RETURNS_HEX: st_put_hex(d->out, (uint64_t)d->result); break;
    case ST_RETURNS_OCTAL: st_mode(d, (uint32_t)d->result); break;
    case ST_RETURNS_FD: st_fd(d, (int32_t)d->result); break;
    case ST_RETURNS_PID: st_pid(d, (int32_t)d->result); break;
    case ST_RETURNS_UNSIGNED: st_put_unsigned(d->out, (uint64_t)d->result); break;
    default: (flags & ST_EVENT_SUCCESS ? st_put_unsigned(d->out, (uint64_t)d->result) : st_put_signed(d->out, d->result)); break;
    }
}

static void injected(struct st_decoder *d, uint16_t flags)
{
    int args = flags & ST_EVENT_POKED, result = flags & ST_EVENT_INJECTED;
    if (args || result) st_puts(d->out, args && result ? " (INJECTED: args, retval)" : args ? " (INJECTED: args)" : " (INJECTED)");
}

void st_call_result(struct st_decoder *d, uint16_t flags)
{
    if (flags & ST_EVENT_RESTART) {
        error(d, d->failed && d->result != -4 ? -d->result : 512);
    } else if (d->failed) {
        error(d, -d->result);
    } else {
        success(d, flags);
        if (d->note[0] || d->noted) st_putf(d->out, " (%s)", d->note);
    }
    injected(d, flags);
    if (flags & ST_EVENT_DELAYED) st_puts(d->out, " (DELAYED)");
}
