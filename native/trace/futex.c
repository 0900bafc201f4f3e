/* Futexes. */
#include <string.h>

#include "text.h"

#define ST_FUTEX_PRIVATE 128u
#define ST_FUTEX_REALTIME 256u

static void futex_operation(struct st_decoder *d, uint32_t op)
{
    uint32_t command = op & 127;
    int realtime = command == 0 || command == 9 || command == 11 || command == 13; /* that may be by the real-time clock */
    const char *name = (op & ~511u) || ((op & ST_FUTEX_REALTIME) && !realtime) ? NULL : st_lookup(&st_sets[ST_SET_FUTEX_OP], command);
    if (d->options->names != ST_NAMES_ABBREV) st_put_hex(d->out, op);
    if (d->options->names == ST_NAMES_RAW) return;
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " /* ");
    if (name) {
        st_puts(d->out, name);
        if (op & ST_FUTEX_PRIVATE) st_puts(d->out, "_PRIVATE");
        if (op & ST_FUTEX_REALTIME) st_puts(d->out, "|FUTEX_CLOCK_REALTIME");
    } else {
        st_put_hex(d->out, op);
        st_puts(d->out, " /* FUTEX_??? */");
    }
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " */");
}

static void wake_operand(struct st_decoder *d, uint32_t value)
{
    st_put_hex(d->out, value & 0xfff);
}

static void wake_operation(struct st_decoder *d, uint32_t value)
{
    uint32_t op = value >> 28;
    st_putc(d->out, '{');
    if (op & 8) st_puts(d->out, "FUTEX_OP_OPARG_SHIFT<<28|");
    st_set(d, ST_SET_FUTEX_WAKE_OP, op & 7);
    st_puts(d->out, "<<28|");
    wake_operand(d, value >> 12);
    st_puts(d->out, "<<12|");
    st_set(d, ST_SET_FUTEX_WAKE_CMP, value >> 24 & 15);
    st_puts(d->out, "<<24|");
    wake_operand(d, value);
    st_putc(d->out, '}');
}

static void futex_mask(struct st_decoder *d, uint32_t mask)
{
    if (mask == 0xffffffff && d->options->names == ST_NAMES_ABBREV)
        st_puts(d->out, "FUTEX_BITSET_MATCH_ANY");
    else
        st_put_hex(d->out, mask);
}

/* An argument that is a number. */
static void count(struct st_decoder *d, unsigned i)
{
    st_next(d, i);
    st_put_unsigned(d->out, ST_ARG32(d, i));
}

static void timeout(struct st_decoder *d)
{
    st_next(d, 3);
    st_timespec(d, d->args[3]);
}

static void second_futex(struct st_decoder *d)
{
    st_next(d, 4);
    st_address(d, d->args[4]);
}

static void bits(struct st_decoder *d)
{
    st_next(d, 5);
    futex_mask(d, ST_ARG32(d, 5));
}

static void requeue(struct st_decoder *d)
{
    count(d, 2);
    count(d, 3);
    second_futex(d);
}

static void operands(struct st_decoder *d, uint32_t command)
{
    switch (command) {
    case 0: /* WAIT */
        count(d, 2);
        timeout(d);
        break;
    case 1:
    case 2: count(d, 2); break;
    case 6: /* LOCK_PI */
    case 13: timeout(d); break;
    case 7:
    case 8: break;
    case 9: /* WAIT_BITSET */
        count(d, 2);
        timeout(d);
        bits(d);
        break;
    case 10:
        count(d, 2);
        bits(d);
        break;
    case 11:
        count(d, 2);
        timeout(d);
        second_futex(d);
        break;
    case 3: requeue(d); break;
    case 4:
    case 12:
        requeue(d);
        count(d, 5);
        break;
    case 5:
        requeue(d);
        st_next(d, 5);
        wake_operation(d, ST_ARG32(d, 5));
        break;
    default:
        count(d, 2);
        st_next(d, 3);
        st_address(d, d->args[3]);
        second_futex(d);
        st_next(d, 5);
        st_put_hex(d->out, ST_ARG32(d, 5));
    }
}

int st_call_futex(struct st_decoder *d)
{
    uint32_t op = ST_ARG32(d, 1);
    if (d->exiting) return 0;
    st_next(d, 0);
    st_address(d, d->args[0]);
    st_next(d, 1);
    futex_operation(d, op);
    operands(d, op & 127);
    return 0;
}

static void futex2_flags(struct st_decoder *d, uint32_t flags)
{
    static const char *const sizes[] = {"FUTEX2_SIZE_U8", "FUTEX2_SIZE_U16", "FUTEX2_SIZE_U32", "FUTEX2_SIZE_U64"};
    uint64_t left = flags & ~3u;
    st_puts(d->out, sizes[flags & 3]);
    if (!left) return;
    st_putc(d->out, '|');
    if (st_bit_names(d->out, &st_sets[ST_SET_FUTEX2_FLAGS], &left, "|") && left) st_putc(d->out, '|');
    if (left) st_put_hex(d->out, left);
}

void st_print_futex_mask(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (value == 0xffffffff && d->options->names == ST_NAMES_ABBREV)
        st_puts(d->out, "FUTEX_BITSET_MATCH_ANY");
    else
        st_put_unsigned(d->out, value);
}

void st_print_futex2(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    futex2_flags(d, (uint32_t)value);
}

static void waiter(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_puts(d->out, "{val=");
    st_put_hex(d->out, st_load64(at));
    st_puts(d->out, ", uaddr=");
    st_address(d, st_load64(at + 8));
    st_puts(d->out, ", flags=");
    futex2_flags(d, st_load32(at + 16));
    if (st_load32(at + 20)) st_putf(d->out, ", __reserved=%#x", st_load32(at + 20));
    st_putc(d->out, '}');
}

void st_print_futex_waitv(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    st_array(d, value, type->aux == 4 ? 2 : ST_ARG32(d, type->aux), 24, waiter);
}
