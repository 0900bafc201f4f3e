/* Calls of which each has one odd argument: filters, keys, kernel modules' kin, asynchronous I/O, queues, mounts. */
#include <string.h>

#include "text.h"

/* ---- seccomp and socket filters --------------------------------------------------------------------------------------- */

static void instruction(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index);

static void code_words(struct st_decoder *d, uint32_t code)
{
    static const char *const classes[] = {"BPF_LD", "BPF_LDX", "BPF_ST", "BPF_STX", "BPF_ALU", "BPF_JMP", "BPF_RET", "BPF_MISC"};
    static const char *const sizes[] = {"BPF_W", "BPF_H", "BPF_B", "0x18 /* BPF_??? */"};
    static const char *const modes[] = {"BPF_IMM", "BPF_ABS", "BPF_IND", "BPF_MEM", "BPF_LEN", "BPF_MSH"};
    static const char *const alu[] = {"BPF_ADD", "BPF_SUB", "BPF_MUL", "BPF_DIV", "BPF_OR", "BPF_AND",
                                      "BPF_LSH", "BPF_RSH", "BPF_NEG", "BPF_MOD", "BPF_XOR"};
    static const char *const jumps[] = {"BPF_JA", "BPF_JEQ", "BPF_JGT", "BPF_JGE", "BPF_JSET"};
    static const char *const values[] = {"BPF_K", "BPF_X", "BPF_A"};
    uint32_t class = code & 7, op = code >> 4 & 15, mode = code >> 5 & 7;
    st_puts(d->out, classes[class]);
    if (class < 2) {
        st_putf(d->out, "|%s|", sizes[code >> 3 & 3]);
        if (mode < 6)
            st_puts(d->out, modes[mode]);
        else
            st_putf(d->out, "%#x /* BPF_??? */", mode << 5);
    } else if (class < 4) {
        if (code & ~7u) st_putf(d->out, "|%#x /* BPF_??? */", code & ~7u);
    } else if (class == 6) {
        uint32_t value = code >> 3 & 3;
        if (value < 3)
            st_putf(d->out, "|%s", values[value]);
        else
            st_putf(d->out, "|%#x /* BPF_??? */", value << 3);
        if (code & ~0x1fu) st_putf(d->out, "|%#x /* BPF_??? */", code & ~0x1fu);
    } else if (class == 7) {
        uint32_t misc = code & 0xf8;
        if (misc == 0 || misc == 0x80)
            st_puts(d->out, misc ? "|BPF_TXA" : "|BPF_TAX");
        else
            st_putf(d->out, "|%#x /* BPF_??? */", misc);
    } else {
        st_puts(d->out, code & 8 ? "|BPF_X|" : "|BPF_K|");
        const char *name = class == 4 ? (op < 11 ? alu[op] : NULL) : (op < 5 ? jumps[op] : NULL);
        if (name)
            st_puts(d->out, name);
        else
            st_putf(d->out, "%#x /* BPF_??? */", op << 4);
    }
}

static void returned(struct st_decoder *d, uint32_t k)
{
    const char *name = st_lookup(&st_sets[ST_SET_SECCOMP_ACTION], k & 0xffff0000);
    if (name)
        st_puts(d->out, name);
    else
        st_putf(d->out, "%#x /* SECCOMP_RET_??? */", k & 0xffff0000);
    if (k & 0xffff) st_putf(d->out, "|%#x", k & 0xffff);
}

static void instruction(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    uint32_t code = st_load16(at), k = st_load32(at + 4);
    int seccomp = d->row && (d->sysno == 317 || d->sysno == 157);
    (void)address;
    (void)index;
    int jump = at[2] || at[3];
    st_puts(d->out, jump ? "BPF_JUMP(" : "BPF_STMT(");
    code_words(d, code);
    st_comma(d);
    if (seccomp && code == 6)
        returned(d, k);
    else
        st_put_hex(d->out, k);
    if (jump) st_putf(d->out, ", %#x, %#x", at[2], at[3]);
    st_putc(d->out, ')');
}

void st_filter(struct st_decoder *d, uint64_t address)
{
    const uint8_t *at = address && !d->pointers ? st_see(d, address, 16) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    uint16_t count = st_load16(at);
    uint64_t filter = st_load64(at + 8);
    st_putf(d->out, "{len=%u, filter=", count);
    if (d->abbrev || count > 4096) {
        st_address(d, filter);
    } else {
        struct st_decoder all = *d;
        st_array(&all, filter, count, 8, instruction);
    }
    st_putc(d->out, '}');
}

int st_call_seccomp(struct st_decoder *d)
{
    uint32_t op = ST_ARG32(d, 0);
    if (d->exiting) return 0;
    st_set(d, ST_SET_SECCOMP_OP, op);
    st_comma(d);
    if (op == 1)
        st_set(d, ST_SET_SECCOMP_FLAGS, ST_ARG32(d, 1));
    else
        st_put_hex(d->out, ST_ARG32(d, 1));
    st_comma(d);
    if (op == 1) {
        st_filter(d, d->args[2]);
    } else if (op == 2) {
        const uint8_t *at = d->args[2] ? st_see(d, d->args[2], 4) : NULL;
        if (at) {
            st_putc(d->out, '[');
            st_set(d, ST_SET_SECCOMP_ACTION, st_load32(at));
            st_putc(d->out, ']');
        } else {
            st_address(d, d->args[2]);
        }
    } else {
        st_address(d, d->args[2]);
    }
    return 0;
}

/* ---- ptrace ----------------------------------------------------------------------------------------------------------- */

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
    const uint8_t *at = address && !d->failed && size >= 24 ? st_see(d, address, size > 88 ? 88 : size) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    st_puts(d->out, "{op=");
    st_set(d, ST_SET_PTRACE_OP, at[0]);
    st_puts(d->out, ", arch=");
    st_set(d, ST_SET_AUDIT_ARCH, st_load32(at + 4));
    st_puts(d->out, ", instruction_pointer=");
    st_address(d, st_load64(at + 8));
    st_puts(d->out, ", stack_pointer=");
    st_address(d, st_load64(at + 16));
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
    st_set(d, ST_SET_PTRACE_REQUEST, request);
    st_putf(d->out, ", %d, ", (int32_t)d->args[1]);
    if (request == 7 || request == 9 || request == 24 || request == 17) {
        st_puts(d->out, d->args[3] ? st_signal_name((uint32_t)d->args[3], room) : "SIG_0");
    } else {
        if (d->args[2]) {
            st_puts(d->out, "addr=");
            st_put_hex(d->out, d->args[2]);
            st_comma(d);
        }
        st_puts(d->out, "data=");
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
        if (is_read(request) && !d->options->stap) ptrace_data(d, request);
        return 0;
    }
    if (d->options->stap) {
        stap_request(d, request);
        return 0;
    }
    st_set(d, ST_SET_PTRACE_REQUEST, request);
    if (!request) return 0; /* PTRACE_TRACEME */
    st_comma(d);
    st_pid(d, (int32_t)d->args[1]);
    if (request == 16 || request == 0x4207 || request == 0x4208 || request == 8) {
        if (request == 16 || request == 8) return 0;
    }
    st_comma(d);
    if (request == 0x4204 || request == 0x4205)
        st_set(d, ST_SET_ELF_NOTE, d->args[2]);
    else if (request == 0x420a || request == 0x420b || request == 0x420e)
        st_put_unsigned(d->out, d->args[2]);
    else
        st_address(d, d->args[2]);
    st_comma(d);
    if (!is_read(request)) ptrace_data(d, request);
    return 0;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------- */

void st_print_keyring(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const char *name = st_lookup(&st_sets[ST_SET_KEYRING], (uint32_t)value);
    (void)type;
    if (name && d->options->names == ST_NAMES_ABBREV)
        st_puts(d->out, name);
    else
        st_put_signed(d->out, (int32_t)value);
    if (name && d->options->names == ST_NAMES_VERBOSE) st_putf(d->out, " /* %s */", name);
}

static void key(struct st_decoder *d, unsigned i)
{
    st_comma(d);
    st_print_keyring(d, d->args[i], NULL);
}

static void text(struct st_decoder *d, unsigned i)
{
    st_comma(d);
    st_string(d, d->args[i]);
}

int st_call_keyctl(struct st_decoder *d)
{
    uint32_t op = ST_ARG32(d, 0);
    if (d->exiting) {
        if (op == 11 || op == 6 || op == 17) {
            if (d->failed || d->result < 0)
                st_address(d, d->args[2]);
            else
                st_bytes(d, d->args[2], (uint64_t)d->result < d->args[3] ? (uint64_t)d->result : d->args[3]);
            st_comma(d);
            st_put_unsigned(d->out, d->args[3]);
        }
        return 0;
    }
    st_set(d, ST_SET_KEYCTL_OP, op);
    switch (op) {
    case 0: /* GET_KEYRING_ID */
        key(d, 1);
        st_putf(d->out, ", %d", (int32_t)d->args[2]);
        break;
    case 1: text(d, 1); break;
    case 2:
        key(d, 1);
        st_comma(d);
        st_bytes(d, d->args[2], d->args[3]);
        st_comma(d);
        st_put_unsigned(d->out, d->args[3]);
        break;
    case 3:
    case 7:
    case 21: key(d, 1); break;
    case 4:
        key(d, 1);
        st_comma(d);
        st_id(d, ST_ARG32(d, 2));
        st_comma(d);
        st_id(d, ST_ARG32(d, 3));
        break;
    case 5:
        key(d, 1);
        st_comma(d);
        st_set(d, ST_SET_KEY_PERM, ST_ARG32(d, 2));
        break;
    case 8:
    case 9:
    case 22:
        key(d, 1);
        key(d, 2);
        break;
    case 10:
        key(d, 1);
        text(d, 2);
        text(d, 3);
        key(d, 4);
        break;
    case 6:
    case 11:
    case 17: key(d, 1), st_comma(d); break;
    case 14:
        st_comma(d);
        st_set(d, ST_SET_KEY_REQKEYS, ST_ARG32(d, 1));
        break;
    case 15:
        key(d, 1);
        st_comma(d);
        st_put_unsigned(d->out, d->args[2]);
        break;
    case 18: break;
    default:
        for (unsigned i = 1; i < 5; i++) {
            st_comma(d);
            st_put_hex(d->out, d->args[i]);
        }
    }
    return 0;
}

/* ---- the clock's discipline -------------------------------------------------------------------------------------------- */

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
    if (d->failed && d->result == -14)
        st_address(d, d->args[1]);
    else
        timex(d, d->args[1]);
    timex_state(d);
    return 0;
}

/* ---- queues, asynchronous I/O ------------------------------------------------------------------------------------------ */

void st_print_mq_attr_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint64_t flags;
    (void)type;
    memcpy(&flags, (const void *)(uintptr_t)value, 8);
    st_set(d, ST_SET_MQ_FLAGS, flags);
}

int st_call_mq_open(struct st_decoder *d)
{
    static const struct st_type none = {0};
    if (d->exiting) return 0;
    d->returns = ST_RETURNS_FD;
    st_path(d, d->args[0]);
    st_comma(d);
    st_print_open_flags(d, d->args[1], &none);
    if (!(d->args[1] & 0100)) return 0;
    st_comma(d);
    st_mode(d, (uint16_t)d->args[2]);
    st_comma(d);
    st_point(d, ST_STRUCT_MQ_ATTR, d->args[3]);
    return 0;
}

int st_call_mq_timedreceive(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        return 0;
    }
    const uint8_t *priority = d->failed || !d->args[3] ? NULL : st_see(d, d->args[3], 4);
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_bytes(d, d->args[1], (uint64_t)d->result);
    st_comma(d);
    st_put_unsigned(d->out, d->args[2]);
    st_comma(d);
    if (priority)
        st_putf(d->out, "[%u]", st_load32(priority));
    else
        st_address(d, d->args[3]);
    st_comma(d);
    st_timespec(d, d->args[4]);
    return 0;
}

static void control_block(struct st_decoder *d, uint64_t address)
{
    const uint8_t *at = address ? st_see(d, address, 64) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    uint32_t op = st_load16(at + 16);
    st_putc(d->out, '{');
    if (st_load64(at)) {
        st_puts(d->out, "aio_data=");
        st_put_hex(d->out, st_load64(at));
        st_comma(d);
    }
    if (st_load32(at + 8)) st_putf(d->out, "aio_key=%u, ", st_load32(at + 8));
    if (st_load32(at + 12)) {
        st_puts(d->out, "aio_rw_flags=");
        st_set(d, ST_SET_RWF, st_load32(at + 12));
        st_comma(d);
    }
    st_puts(d->out, "aio_lio_opcode=");
    st_set(d, ST_SET_IOCB_CMD, op);
    if (st_load16(at + 18)) st_putf(d->out, ", aio_reqprio=%d", (int16_t)st_load16(at + 18));
    st_puts(d->out, ", aio_fildes=");
    st_fd(d, (int32_t)st_load32(at + 20));
    if (op < 2 || op == 7 || op == 8) {
        st_puts(d->out, ", aio_buf=");
        st_address(d, st_load64(at + 24));
        st_puts(d->out, ", aio_nbytes=");
        st_put_unsigned(d->out, st_load64(at + 32));
        st_puts(d->out, ", aio_offset=");
        st_put_signed(d->out, (int64_t)st_load64(at + 40));
    }
    if (st_load32(at + 56) & 1) {
        st_puts(d->out, ", aio_flags=");
        st_set(d, ST_SET_IOCB_FLAGS, st_load32(at + 56));
        st_puts(d->out, ", aio_resfd=");
        st_fd(d, (int32_t)st_load32(at + 60));
    }
    st_putc(d->out, '}');
}

void st_print_iocb_cancel(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    control_block(d, value);
}

static void control_pointer(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    control_block(d, st_load64(at));
}

int st_call_io_submit(struct st_decoder *d)
{
    int64_t count = (int64_t)d->args[1];
    if (d->exiting) return 0;
    st_arguments(d, 0, 2);
    st_comma(d);
    if (count < 0)
        st_address(d, d->args[2]);
    else
        st_array(d, d->args[2], (uint64_t)count, 8, control_pointer);
    return 0;
}

/* ---- mounts, quotas, swap ---------------------------------------------------------------------------------------------- */

int st_call_mount(struct st_decoder *d)
{
    uint64_t flags = d->args[3], magic = flags & 0xffff0000;
    /* What a bind, a move and a change of propagation do not look at; of a remount, the type. */
    int binds = flags & 0x1e3000 ? 1 : 0, ignored = binds || (flags & 0x20);
    if (d->exiting) return 0;
    if (magic == 0xc0ed0000) flags &= 0xffff;
    st_path(d, d->args[0]);
    st_comma(d);
    st_path(d, d->args[1]);
    st_comma(d);
    if (ignored)
        st_address(d, d->args[2]);
    else
        st_string(d, d->args[2]);
    st_comma(d);
    if (magic == 0xc0ed0000) {
        st_puts(d->out, "MS_MGC_VAL");
        if (flags) st_putc(d->out, '|');
    }
    if (flags || magic != 0xc0ed0000) st_set(d, ST_SET_MOUNT_FLAGS, flags);
    st_comma(d);
    if (binds)
        st_address(d, d->args[4]);
    else
        st_string(d, d->args[4]);
    return 0;
}

void st_print_swap_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint32_t flags = (uint32_t)value, priority = flags & 0x7fff;
    (void)type;
    if (!(flags & ~0x7fffu)) {
        st_put_unsigned(d->out, priority);
        return;
    }
    st_set(d, ST_SET_SWAP_FLAGS, flags & ~0x7fffu);
    st_putf(d->out, "|%u", priority);
}

static void quota_command(struct st_decoder *d, uint32_t command)
{
    st_puts(d->out, "QCMD(");
    st_set(d, ST_SET_QUOTA_CMD, command >> 8);
    st_comma(d);
    st_set(d, ST_SET_QUOTA_TYPE, command & 0xff);
    st_putc(d->out, ')');
}

int st_call_quotactl(struct st_decoder *d)
{
    if (d->exiting) return 0;
    quota_command(d, ST_ARG32(d, 0));
    st_comma(d);
    st_path(d, d->args[1]);
    st_comma(d);
    st_id(d, ST_ARG32(d, 2));
    st_comma(d);
    st_address(d, d->args[3]);
    return 0;
}

int st_call_quotactl_fd(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_fd(d, (int32_t)d->args[0]);
    st_comma(d);
    quota_command(d, ST_ARG32(d, 1));
    st_comma(d);
    st_id(d, ST_ARG32(d, 2));
    st_comma(d);
    st_address(d, d->args[3]);
    return 0;
}

int st_call_fsconfig(struct st_decoder *d)
{
    uint32_t command = ST_ARG32(d, 1);
    if (d->exiting) return 0;
    st_arguments(d, 0, 2);
    st_comma(d);
    if (command == 6 || command == 7 || command == 8)
        st_address(d, d->args[2]);
    else
        st_string(d, d->args[2]);
    st_comma(d);
    if (command == 1)
        st_string(d, d->args[3]);
    else if (command == 2)
        st_bytes(d, d->args[3], ST_ARG32(d, 4));
    else if (command == 3 || command == 4)
        st_path(d, d->args[3]);
    else
        st_address(d, d->args[3]);
    st_comma(d);
    if (command == 3 || command == 4)
        st_dirfd(d, (int32_t)d->args[4]);
    else if (command == 5)
        st_fd(d, (int32_t)d->args[4]);
    else
        st_put_signed(d->out, (int32_t)d->args[4]);
    return 0;
}

/* ---- others ----------------------------------------------------------------------------------------------------------- */

int st_call_syslog(struct st_decoder *d)
{
    uint32_t action = ST_ARG32(d, 0);
    const char *name = st_lookup(&st_sets[ST_SET_SYSLOG_ACTION], action);
    int reads = action >= 2 && action <= 4;
    if (!d->exiting) {
        st_putf(d->out, "%d", (int32_t)action);
        if (d->options->names != ST_NAMES_RAW) st_putf(d->out, " /* %s */", name ? name : "SYSLOG_ACTION_???");
        if (action < 2 || action == 5 || action == 6 || action == 7 || action == 9 || action == 10) return 0;
        st_comma(d);
        if (reads) return 0;
        st_address(d, d->args[1]);
        st_putf(d->out, ", %d", (int32_t)d->args[2]);
        return 0;
    }
    if (!reads) return 0;
    if (d->failed)
        st_address(d, d->args[1]);
    else
        st_bytes(d, d->args[1], (uint64_t)d->result);
    st_putf(d->out, ", %d", (int32_t)d->args[2]);
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

void st_print_memfd_flags(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint32_t flags = (uint32_t)value, size = flags & 4 ? flags >> 26 : 0;
    (void)type;
    if (size) flags &= 0x3ffffff;
    st_set(d, ST_SET_MEMFD_FLAGS, flags);
    if (size) st_putf(d->out, "|%u<<MFD_HUGE_SHIFT", size);
}

void st_print_fd_cloexec(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    st_puts(d->out, (uint32_t)value == 02000000 ? "O_CLOEXEC" : "");
    if ((uint32_t)value != 02000000) st_put_hex(d->out, (uint32_t)value);
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
    uint32_t size = ST_ARG32(d, 2);
    if (d->exiting) {
        uint32_t command = ST_ARG32(d, 0);
        if (!(command == 0 || command == 5 || command == 7 || command == 13 || command == 14 || command == 18 || command == 28))
            d->returns = ST_RETURNS_SIGNED;
        return 0;
    }
    st_set(d, ST_SET_BPF_CMD, ST_ARG32(d, 0));
    st_comma(d);
    st_address(d, d->args[1]);
    st_comma(d);
    st_put_unsigned(d->out, size);
    return 0;
}
