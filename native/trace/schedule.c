/* Scheduling. */
#include <string.h>

#include "text.h"

void st_print_sched_policy(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint32_t policy = (uint32_t)value;
    (void)type;
    st_set(d, ST_SET_SCHED_POLICY, policy & ~0x40000000u);
    if (policy & 0x40000000) st_puts(d->out, "|SCHED_RESET_ON_FORK");
}

int st_call_sched_getscheduler(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        return 0;
    }
    const char *name = d->failed ? NULL : st_lookup(&st_sets[ST_SET_SCHED_POLICY], (uint64_t)d->result & ~0x40000000ull);
    if (name) strcpy(d->note, name);
    if (name && (d->result & 0x40000000)) strcat(d->note, "|SCHED_RESET_ON_FORK");
    return 0;
}

void st_print_sched_priority(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !(d->failed && type->when == ST_CAPTURE_EXIT) ? st_see(d, value, 4) : NULL;
    if (at)
        st_putf(d->out, "[%d]", (int32_t)st_load32(at));
    else
        st_address(d, value);
}

void st_print_sched_attr(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !(d->failed && type->when == ST_CAPTURE_EXIT) ? st_see(d, value, 48) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_putf(d->out, "{size=%u, sched_policy=", st_load32(at));
    st_set(d, ST_SET_SCHED_POLICY, st_load32(at + 4));
    st_puts(d->out, ", sched_flags=");
    st_set(d, ST_SET_SCHED_FLAGS, st_load64(at + 8));
    st_putf(d->out, ", sched_nice=%d, sched_priority=%u", (int32_t)st_load32(at + 16), st_load32(at + 20));
    st_puts(d->out, ", sched_runtime=");
    st_put_unsigned(d->out, st_load64(at + 24));
    st_puts(d->out, ", sched_deadline=");
    st_put_unsigned(d->out, st_load64(at + 32));
    st_puts(d->out, ", sched_period=");
    st_put_unsigned(d->out, st_load64(at + 40));
    const uint8_t *more = st_load32(at) >= 56 ? st_see(d, value + 48, 8) : NULL;
    if (more) st_putf(d->out, ", sched_util_min=%u, sched_util_max=%u", st_load32(more), st_load32(more + 4));
    st_puts(d->out, st_load32(at) > 56 ? ", ...}" : "}");
}

void st_print_cpuset(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t size = type->when == ST_CAPTURE_EXIT ? (uint64_t)d->result : d->args[type->aux] & 0xffffffff;
    int first = 1;
    if (size > 1024) size = 1024;
    const uint8_t *at =
        value && !(type->when == ST_CAPTURE_EXIT && d->failed) ? (size ? st_see(d, value, size) : (const uint8_t *)"") : NULL;
    if (!at || (d->pointers)) {
        st_address(d, value);
        return;
    }
    st_putc(d->out, '[');
    for (uint64_t i = 0; i < size * 8; i++)
        if (at[i / 8] >> (i & 7) & 1) {
            st_putf(d->out, first ? "%llu" : " %llu", (unsigned long long)i);
            first = 0;
        }
    st_putc(d->out, ']');
}

void st_print_ioprio(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    st_puts(d->out, "IOPRIO_PRIO_VALUE(");
    st_set(d, ST_SET_IOPRIO_CLASS, (uint32_t)value >> 13);
    st_putf(d->out, ", %u)", (uint32_t)value & 0x1fff);
}

int st_call_ioprio_get(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 2);
        return 0;
    }
    const char *name = d->failed ? NULL : st_lookup(&st_sets[ST_SET_IOPRIO_CLASS], (uint64_t)d->result >> 13);
    if (name) {
        strcpy(d->note, "IOPRIO_PRIO_VALUE(");
        strcat(d->note, name);
        char number[32];
        struct st_buffer b = {(uint8_t *)number, 0, sizeof number};
        st_putf(&b, ", %u)", (uint32_t)d->result & 0x1fff);
        number[b.used] = 0;
        strcat(d->note, number);
    }
    return 0;
}
