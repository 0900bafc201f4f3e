/* The discipline of the clock. */
#include <string.h>

#include "text.h"

static void timex(struct st_decoder *d, uint64_t address)
{
    static const char *const first[] = {", offset=", ", freq=", ", maxerror=", ", esterror="};
    static const char *const last[] = {", tick=", ", ppsfreq=", ", jitter="};
    static const char *const counters[] = {", stabil=", ", jitcnt=", ", calcnt=", ", errcnt=", ", stbcnt="};
    const uint8_t *at = address ? st_see(d, address, 208) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    st_puts(d->out, "{modes=");
    st_set(d, ST_SET_ADJTIMEX_MODES, st_load32(at));
    for (unsigned i = 0; i < 4; i++) {
        st_puts(d->out, first[i]);
        st_put_signed(d->out, (int64_t)st_load64(at + 8 + i * 8));
    }
    st_puts(d->out, ", status=");
    st_set(d, ST_SET_ADJTIMEX_STATUS, st_load32(at + 40));
    st_puts(d->out, ", constant=");
    st_put_signed(d->out, (int64_t)st_load64(at + 48));
    st_puts(d->out, ", precision=");
    st_put_unsigned(d->out, st_load64(at + 56));
    st_puts(d->out, ", tolerance=");
    st_put_signed(d->out, (int64_t)st_load64(at + 64));
    st_puts(d->out, ", time=");
    if (st_load32(at + 40) & 0x2000) {
        st_puts(d->out, "{tv_sec=");
        st_put_signed(d->out, (int64_t)st_load64(at + 72));
        st_puts(d->out, ", tv_usec=");
        st_put_signed(d->out, (int64_t)st_load64(at + 80));
        st_putc(d->out, '}');
    } else {
        st_timeval_at(d, at + 72);
    }
    for (unsigned i = 0; i < 3; i++) {
        st_puts(d->out, last[i]);
        st_put_signed(d->out, (int64_t)st_load64(at + 88 + i * 8));
    }
    st_putf(d->out, ", shift=%d", (int32_t)st_load32(at + 112));
    for (unsigned i = 0; i < 5; i++) {
        st_puts(d->out, counters[i]);
        st_put_signed(d->out, (int64_t)st_load64(at + 120 + i * 8));
    }
    st_putf(d->out, ", tai=%d}", (int32_t)st_load32(at + 160));
}

static void timex_state(struct st_decoder *d)
{
    const char *name = d->failed ? NULL : st_lookup(&st_sets[ST_SET_ADJTIMEX_STATE], (uint64_t)d->result);
    if (name) strcpy(d->note, name);
}

int st_call_adjtimex(struct st_decoder *d)
{
    if (!d->exiting) return 0;
    st_next(d, 0);
    if (d->failed && d->result == -14)
        st_address(d, d->args[0]);
    else
        timex(d, d->args[0]);
    timex_state(d);
    return 0;
}

int st_call_clock_adjtime(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        return 0;
    }
    st_label(d, 1);
    if (d->failed && d->result == -14)
        st_address(d, d->args[1]);
    else
        timex(d, d->args[1]);
    timex_state(d);
    return 0;
}
