/* ptrace requests, in strace's spelling and in SystemTap's. */
#include <string.h>

#include "text.h"

static void registers(struct st_decoder *d, uint64_t address)
{
    static const char *const names[] = {"r15",    "r14", "r13", "r12",     "rbp",     "rbx", "r11",      "r10", "r9",
                                        "r8",     "rax", "rcx", "rdx",     "rsi",     "rdi", "orig_rax", "rip", "cs",
                                        "eflags", "rsp", "ss",  "fs_base", "gs_base", "ds",  "es",       "fs",  "gs"};
    const uint8_t *at = address && !d->failed ? st_see(d, address, 27 * 8) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    st_putc(d->out, '{');
    for (unsigned i = 0; i < 27; i++) {
        st_putf(d->out, i ? ", %s=" : "%s=", names[i]);
        st_put_hex(d->out, st_load64(at + i * 8));
        if (d->abbrev && i == 3) {
            st_puts(d->out, ", ...");
            break;
        }
    }
    st_putc(d->out, '}');
}

static void syscall_info(struct st_decoder *d, uint64_t address)
{
    uint64_t size = (uint64_t)d->result < d->args[2] ? (uint64_t)d->result : d->args[2];
    const uint8_t *at = address && !d->failed && size ? st_see(d, address, size > 88 ? 88 : size) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    st_puts(d->out, "{op=");
    st_set(d, ST_SET_PTRACE_OP, at[0]);
    if (size >= 8) {
        st_puts(d->out, ", arch=");
        st_set(d, ST_SET_AUDIT_ARCH, st_load32(at + 4));
    }
    if (size >= 16) {
        st_puts(d->out, ", instruction_pointer=");
        st_address(d, st_load64(at + 8));
    }
    if (size >= 24) {
        st_puts(d->out, ", stack_pointer=");
        st_address(d, st_load64(at + 16));
    }
    if ((at[0] == 1 || at[0] == 3) && size >= 80) {
        const char *name = st_call_name((int32_t)st_load64(at + 24));
        st_putf(d->out, ", %s={nr=", at[0] == 1 ? "entry" : "seccomp");
        if (name)
            st_putf(d->out, "__NR_%s", name);
        else
            st_put_unsigned(d->out, st_load64(at + 24));
        st_puts(d->out, ", args=[");
        for (unsigned i = 0; i < 6; i++) {
            if (i) st_comma(d);
            st_put_hex(d->out, st_load64(at + 32 + i * 8));
        }
        st_putc(d->out, ']');
        if (at[0] == 3 && size >= 84) st_putf(d->out, ", ret_data=%u", st_load32(at + 80));
        st_putc(d->out, '}');
    } else if (at[0] == 2 && size >= 33) {
        int64_t value = (int64_t)st_load64(at + 24);
        st_puts(d->out, ", exit={rval=");
        if (at[32] && value < 0 && st_known_error(-value)) {
            st_putc(d->out, '-');
            st_error_name(d->out, -value);
        } else {
            st_put_signed(d->out, value);
        }
        st_putf(d->out, ", is_error=%u}", at[32]);
    }
    st_putc(d->out, '}');
}

static void stap_request(struct st_decoder *d, uint32_t request)
{
    char room[16];
    st_next(d, 0);
    st_set(d, ST_SET_PTRACE_REQUEST, request);
    st_next(d, 1);
    st_put_signed(d->out, (int32_t)d->args[1]);
    if (request == 7 || request == 9 || request == 24 || request == 17) {
        st_next(d, 3);
        st_puts(d->out, d->args[3] ? st_signal_name((uint32_t)d->args[3], room) : "SIG_0");
    } else { /* named with or without -N */
        if (d->args[2]) {
            st_puts(d->out, ", addr=");
            st_put_hex(d->out, d->args[2]);
        }
        st_puts(d->out, ", data=");
        st_put_hex(d->out, d->args[3]);
    }
}

static int is_read(uint32_t request)
{
    return request == 1 || request == 2 || request == 3 || request == 12 || request == 14 || request == 18 || request == 25 ||
           request == 0x4201 || request == 0x4202 || request == 0x4204 || request == 0x4209 || request == 0x420a || request == 0x420e;
}

static void ptrace_data(struct st_decoder *d, uint32_t request)
{
    const uint8_t *at;
    switch (request) {
    case 1:
    case 2:
    case 3:
    case 0x4201:
        at = d->args[3] && !d->failed ? st_see(d, d->args[3], 8) : NULL;
        if (!at) {
            st_address(d, d->args[3]);
        } else {
            st_putc(d->out, '[');
            st_put_hex(d->out, st_load64(at));
            st_putc(d->out, ']');
        }
        break;
    case 12:
    case 13: registers(d, d->args[3]); break;
    case 0x4202:
    case 0x4203:
        if (d->failed)
            st_address(d, d->args[3]);
        else
            st_siginfo(d, d->args[3]);
        break;
    case 0x420a:
    case 0x420b:
        if (d->failed)
            st_address(d, d->args[3]);
        else
            st_sigset(d, d->args[3], d->args[2]);
        break;
    case 0x420e: syscall_info(d, d->args[3]); break;
    case 0x4200:
    case 21:
    case 0x4206: st_set(d, ST_SET_PTRACE_OPTIONS, d->args[3]); break;
    case 7:
    case 8:
    case 9:
    case 17:
    case 24:
    case 31:
    case 32:
    case 33:
    case 0x4207:
    case 0x4208:
        if (d->args[3])
            st_signal(d, d->args[3]);
        else
            st_putc(d->out, '0');
        break;
    case 4:
    case 5:
    case 6: st_put_hex(d->out, d->args[3]); break;
    default: st_address(d, d->args[3]);
    }
}

int st_call_ptrace(struct st_decoder *d)
{
    uint32_t request = ST_ARG32(d, 0);
    if (d->exiting) {
        if (!is_read(request) || d->options->stap) return 0;
        st_label(d, 3);
        ptrace_data(d, request);
        return 0;
    }
    if (d->options->stap) {
        stap_request(d, request);
        return 0;
    }
    st_next(d, 0);
    st_set(d, ST_SET_PTRACE_REQUEST, d->args[0]);
    if (!request) return 0; /* PTRACE_TRACEME */
    st_next(d, 1);
    st_pid(d, (int32_t)d->args[1]);
    if (request == 16 || request == 0x4207 || request == 0x4208 || request == 8) {
        if (request == 16 || request == 8) return 0;
    }
    st_next(d, 2);
    if (request == 0x4204 || request == 0x4205)
        st_set(d, ST_SET_ELF_NOTE, d->args[2]);
    else if (request == 0x420a || request == 0x420b || request == 0x420e)
        st_put_unsigned(d->out, d->args[2]);
    else
        st_address(d, d->args[2]);
    if (is_read(request)) {
        st_comma(d);
        return 0;
    }
    st_next(d, 3);
    ptrace_data(d, request);
    return 0;
}
