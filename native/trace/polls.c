/* poll, select, epoll: what is waited for, and what was ready. */
#include <string.h>

#include "text.h"

static void pollfd(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_puts(d->out, "{fd=");
    st_fd(d, (int32_t)st_load32(at));
    if ((int32_t)st_load32(at) >= 0) {
        st_puts(d->out, ", events=");
        st_set(d, ST_SET_POLL_EVENTS, st_load16(at + 4));
    }
    st_putc(d->out, '}');
}

/* ([{fd=3, revents=POLLIN}]) behind the result. */
static void ready(struct st_decoder *d, uint64_t address, uint32_t count, const char *behind)
{
    struct st_buffer text = {0}, *out = d->out;
    uint32_t shown = 0;
    d->out = &text;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = st_see(d, address + i * 8ull, 8);
        if (!at) {
            st_puts(&text, shown ? ", ..." : "[...");
            shown++;
            break;
        }
        if (!st_load16(at + 6)) continue;
        st_puts(&text, shown ? ", " : "[");
        if (d->abbrev && shown >= d->options->string_limit) {
            st_puts(&text, "...");
            shown++;
            break;
        }
        st_puts(&text, "{fd=");
        st_fd(d, (int32_t)st_load32(at));
        st_puts(&text, ", revents=");
        st_set(d, ST_SET_POLL_EVENTS, st_load16(at + 6));
        st_putc(&text, '}');
        shown++;
    }
    if (shown) st_putc(&text, ']');
    if (behind) {
        if (shown) st_comma(d);
        st_puts(&text, behind);
    }
    d->out = out;
    st_note(d, &text);
}

static void timeout_left(struct st_decoder *d, struct st_buffer *text, uint64_t address, int fine)
{
    struct st_buffer *out = d->out;
    const uint8_t *at = address ? st_see(d, address, 16) : NULL;
    if (!at) return;
    d->out = text;
    st_puts(text, "left ");
    (fine ? st_timespec_at : st_timeval_at)(d, at);
    d->out = out;
}

int st_call_poll(struct st_decoder *d)
{
    uint32_t count = ST_ARG32(d, 1);
    if (!d->exiting) {
        st_next(d, 0);
        st_array(d, d->args[0], count, 8, pollfd);
        st_arguments(d, 1, 3);
        return 0;
    }
    if (d->failed) return 0;
    if (!d->result)
        strcpy(d->note, "Timeout");
    else
        ready(d, d->args[0], count, NULL);
    return 0;
}

int st_call_ppoll(struct st_decoder *d)
{
    uint32_t count = ST_ARG32(d, 1);
    if (!d->exiting) {
        st_next(d, 0);
        st_array(d, d->args[0], count, 8, pollfd);
        st_arguments(d, 1, 2);
        st_next(d, 2);
        st_timespec(d, d->args[2]);
        st_next(d, 3);
        st_sigset(d, d->args[3], d->args[4]);
        st_arguments(d, 4, 5);
        return 0;
    }
    if (d->failed) return 0;
    if (!d->result) {
        strcpy(d->note, "Timeout");
        return 0;
    }
    struct st_buffer text = {0};
    timeout_left(d, &text, d->args[2], 1);
    st_putc(&text, 0);
    ready(d, d->args[0], count, text.used > 1 ? (const char *)text.data : NULL);
    st_buffer_free(&text);
    return 0;
}

/* ---- select ----------------------------------------------------------------------------------------------------------- */

static uint32_t set_bytes(const struct st_decoder *d)
{
    int32_t n = (int32_t)d->args[0];
    if (n < 0) return 0;
    return (n > 1024 ? 1024u : (uint32_t)n + 63) / 64 * 8;
}

static int descriptors(struct st_decoder *d, const uint8_t *at, uint32_t most)
{
    int first = 1;
    for (uint32_t i = 0; i < most; i++) {
        if (!(at[i / 8] >> (i & 7) & 1)) continue;
        if (!first) st_putc(d->out, ' ');
        first = 0;
        st_fd(d, (int32_t)i);
    }
    return !first;
}

static void set(struct st_decoder *d, uint64_t address)
{
    uint32_t size = set_bytes(d);
    const uint8_t *at = address ? (size ? st_see(d, address, size) : (const uint8_t *)"") : NULL;
    if (!at || d->pointers) {
        st_address(d, address);
        return;
    }
    st_putc(d->out, '[');
    descriptors(d, at, (int32_t)d->args[0] > 1024 ? 1024 : ST_ARG32(d, 0));
    st_putc(d->out, ']');
}

static void sets(struct st_decoder *d)
{
    st_arguments(d, 0, 1);
    if ((int32_t)d->args[0] < 0) {
        for (unsigned i = 1; i < 4; i++) {
            st_next(d, i);
            st_address(d, d->args[i]);
        }
        return;
    }
    for (unsigned i = 1; i < 4; i++) {
        st_next(d, i);
        set(d, d->args[i]);
    }
}

static void select_exit(struct st_decoder *d, int fine)
{
    static const char *const labels[] = {"in", "out", "except"};
    struct st_buffer text = {0}, *out = d->out;
    uint32_t size = set_bytes(d), most = (int32_t)d->args[0] > 1024 ? 1024 : ST_ARG32(d, 0);
    if (d->failed) return;
    if (!d->result) {
        strcpy(d->note, "Timeout");
        return;
    }
    d->out = &text;
    for (int i = 0; i < 3 && size; i++) {
        const uint8_t *at = d->args[i + 1] ? st_see(d, d->args[i + 1], size) : NULL;
        uint64_t before = text.used;
        if (!at) continue;
        st_putf(&text, text.used ? ", %s [" : "%s [", labels[i]);
        if (descriptors(d, at, most))
            st_putc(&text, ']');
        else
            text.used = before;
    }
    d->out = out;
    const uint8_t *left = d->args[4] ? st_see(d, d->args[4], 16) : NULL;
    if (left && text.used) st_puts(&text, ", ");
    timeout_left(d, &text, d->args[4], fine);
    d->noted = 1;
    st_note(d, &text);
}

int st_call_select(struct st_decoder *d)
{
    if (d->exiting) {
        select_exit(d, 0);
        return 0;
    }
    sets(d);
    st_next(d, 4);
    st_timeval(d, d->args[4]);
    return 0;
}

int st_call_pselect6(struct st_decoder *d)
{
    static const struct st_type none = {0};
    if (d->exiting) {
        select_exit(d, 1);
        return 0;
    }
    sets(d);
    st_next(d, 4);
    st_timespec(d, d->args[4]);
    st_next(d, 5);
    st_print_sigset_argument(d, d->args[5], &none);
    return 0;
}

/* ---- epoll ------------------------------------------------------------------------------------------------------------ */

static void epoll_event(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_puts(d->out, "{events=");
    st_set(d, ST_SET_EPOLL_EVENTS, st_load32(at));
    st_puts(d->out, ", data=");
    st_put_hex(d->out, st_load64(at + 4));
    st_putc(d->out, '}');
}

void st_print_epoll_events(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (d->failed)
        st_address(d, value);
    else if (!d->result)
        st_puts(d->out, value ? "[]" : "NULL");
    else
        st_array(d, value, (uint64_t)d->result, 12, epoll_event);
}

int st_call_epoll_ctl(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_arguments(d, 0, 3);
    st_next(d, 3);
    const uint8_t *at = d->args[3] && ST_ARG32(d, 1) != 2 ? st_see(d, d->args[3], 12) : NULL;
    if (at)
        epoll_event(d, at, 0, 0);
    else
        st_address(d, d->args[3]);
    return 0;
}
