/* siginfo: what a signal says about itself. */
#include <stdio.h>
#include <string.h>

#include "text.h"

static int code_set(uint32_t signal)
{
    switch (signal) {
    case 4: return ST_SET_CODE_ILL;
    case 5: return ST_SET_CODE_TRAP;
    case 7: return ST_SET_CODE_BUS;
    case 8: return ST_SET_CODE_FPE;
    case 11: return ST_SET_CODE_SEGV;
    case 17: return ST_SET_CODE_CLD;
    case 29: return ST_SET_CODE_POLL;
    case 31: return ST_SET_CODE_SYS;
    default: return -1;
    }
}

static void code(struct st_decoder *d, uint32_t signal, int32_t value)
{
    int own = code_set(signal);
    const struct st_set *set = &st_sets[ST_SET_SI_CODE];
    if (!st_lookup(set, (uint32_t)value) && own >= 0) set = &st_sets[own];
    const char *name = st_lookup(set, (uint32_t)value);
    if (name && d->options->names == ST_NAMES_ABBREV) {
        st_puts(d->out, name);
        return;
    }
    if (d->options->names == ST_NAMES_ABBREV || d->options->names == ST_NAMES_RAW || !name)
        st_put_hex(d->out, (uint32_t)value);
    else if (value < 0 || value < 100)
        st_put_signed(d->out, value);
    else
        st_put_hex(d->out, (uint32_t)value);
    if (name && d->options->names == ST_NAMES_VERBOSE) st_putf(d->out, " /* %s */", name);
}

static void sender(struct st_decoder *d, const uint8_t *at)
{
    st_puts(d->out, ", si_pid=");
    st_pid(d, (int32_t)st_load32(at + 16));
    st_puts(d->out, ", si_uid=");
    st_id(d, st_load32(at + 20));
}

static void value_of(struct st_decoder *d, const uint8_t *at, unsigned offset)
{
    uint64_t pointer = st_load64(at + offset);
    int32_t number = (int32_t)pointer;
    if (!pointer) return;
    st_puts(d->out, ", si_int=");
    st_put_signed(d->out, number);
    st_puts(d->out, ", si_ptr=");
    st_put_hex(d->out, pointer);
}

static void status(struct st_decoder *d, int32_t code_value, uint32_t value)
{
    st_puts(d->out, ", si_status=");
    if (code_value == 1) /* CLD_EXITED */
        st_put_signed(d->out, (int32_t)value);
    else
        st_signal(d, value);
}

static void child(struct st_decoder *d, const uint8_t *at, int32_t code_value)
{
    sender(d, at);
    status(d, code_value, st_load32(at + 24));
    st_puts(d->out, ", si_utime=");
    st_ticks(d, st_load64(at + 32));
    st_puts(d->out, ", si_stime=");
    st_ticks(d, st_load64(at + 40));
}

static void system_call(struct st_decoder *d, const uint8_t *at)
{
    const char *name = st_call_name((int32_t)st_load32(at + 24));
    st_puts(d->out, ", si_call_addr=");
    st_address(d, st_load64(at + 16));
    st_puts(d->out, ", si_syscall=");
    if (name)
        st_putf(d->out, "__NR_%s", name);
    else
        st_put_unsigned(d->out, st_load32(at + 24));
    st_puts(d->out, ", si_arch=");
    st_set(d, ST_SET_AUDIT_ARCH, st_load32(at + 28));
}

static void fault(struct st_decoder *d, const uint8_t *at, uint32_t signal, int32_t code_value)
{
    st_puts(d->out, ", si_addr=");
    st_address(d, st_load64(at + 16));
    if (signal == 7 && (code_value == 4 || code_value == 5)) st_putf(d->out, ", si_addr_lsb=%u", st_load16(at + 24));
    if (signal == 11 && code_value == 3) {
        st_puts(d->out, ", si_lower=");
        st_address(d, st_load64(at + 32));
        st_puts(d->out, ", si_upper=");
        st_address(d, st_load64(at + 40));
    }
    if (signal == 11 && code_value == 4) st_putf(d->out, ", si_pkey=%u", st_load32(at + 32));
}

static void of_kernel(struct st_decoder *d, const uint8_t *at, uint32_t signal, int32_t code_value)
{
    switch (signal) {
    case 4:
    case 7:
    case 8:
    case 11: fault(d, at, signal, code_value); break;
    case 5: fault(d, at, signal, code_value); break;
    case 17: child(d, at, code_value); break;
    case 29:
        st_puts(d->out, ", si_band=");
        st_put_signed(d->out, (int64_t)st_load64(at + 16));
        st_puts(d->out, ", si_fd=");
        st_fd(d, (int32_t)st_load32(at + 24));
        break;
    case 31: system_call(d, at); break;
    default:
        if (st_load64(at + 16)) sender(d, at);
        value_of(d, at, 24);
    }
}

void st_siginfo_at(struct st_decoder *d, const uint8_t *at)
{
    uint32_t signal = st_load32(at);
    int32_t error = (int32_t)st_load32(at + 4), code_value = (int32_t)st_load32(at + 8);
    if (!signal && !error && !code_value) {
        st_puts(d->out, "{}");
        return;
    }
    st_puts(d->out, "{si_signo=");
    st_signal(d, signal);
    st_puts(d->out, ", si_code=");
    code(d, signal, code_value);
    if (error) {
        st_puts(d->out, ", si_errno=");
        if (error > 0 && st_known_error(error))
            st_error_name(d->out, error);
        else
            st_put_unsigned(d->out, (uint32_t)error);
    }
    if (code_value == 0 || code_value == -6) { /* SI_USER, SI_TKILL */
        if (code_value == 0 && signal == 17 && st_load32(at + 24)) {
            sender(d, at);
        } else {
            sender(d, at);
            if (code_value == -6) value_of(d, at, 24);
        }
    } else if (code_value == -2) { /* SI_TIMER */
        st_puts(d->out, ", si_timerid=");
        st_put_hex(d->out, st_load32(at + 16));
        st_putf(d->out, ", si_overrun=%d", (int32_t)st_load32(at + 20));
        value_of(d, at, 24);
    } else if (code_value == 0x80) { /* SI_KERNEL */
        if (signal == 11 || signal == 7 || signal == 4 || signal == 8) {
            st_puts(d->out, ", si_addr=");
            st_address(d, st_load64(at + 16));
        }
    } else if (code_value < 0) {
        sender(d, at);
        value_of(d, at, 24);
    } else {
        of_kernel(d, at, signal, code_value);
    }
    st_putc(d->out, '}');
}

void st_siginfo(struct st_decoder *d, uint64_t address)
{
    const uint8_t *at = address && !d->pointers ? st_see(d, address, 128) : NULL;
    if (at)
        st_siginfo_at(d, at);
    else
        st_address(d, address);
}

void st_print_siginfo(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    if (d->failed && type->when == ST_CAPTURE_EXIT)
        st_address(d, value);
    else
        st_siginfo(d, value);
}

/* rt_sigtimedwait's: its result is the signal's number. */
void st_print_waited(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    char room[16];
    st_print_siginfo(d, value, type);
    if (!d->failed && d->result > 0) snprintf(d->note, sizeof d->note, "%s", st_signal_name((uint32_t)d->result, room));
}

/* The frame that the kernel takes the mask from lies at the stack pointer: the only chunk there is. */
int st_call_rt_sigreturn(struct st_decoder *d)
{
    uint64_t address, mask;
    uint32_t size;
    const uint8_t *at = d->exiting ? NULL : st_see_first(d, &address, &size);
    d->returns = ST_RETURNS_SIGNED;
    if (d->exiting) return 0;
    if (d->options->arg_names) st_puts(d->out, "sigmask="); /* no register holds it */
    st_puts(d->out, "{mask=");
    if (at && size >= 304) {
        memcpy(&mask, at + 296, 8);
        st_sigset_bits(d, mask);
    } else {
        st_puts(d->out, "[]");
    }
    st_putc(d->out, '}');
    return 0;
}
