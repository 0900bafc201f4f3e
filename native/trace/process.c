/* Processes: execve, clone, wait, limits, scheduling, prctl, capabilities. */
#include <string.h>

#include "text.h"

static uint64_t pointer_at(const struct st_decoder *d, uint64_t address, int *here)
{
    const uint8_t *at = st_see(d, address, 8);
    *here = at != NULL;
    return at ? st_load64(at) : 0;
}

/* Where an array of strings could not be read any further. */
static void unreadable(struct st_decoder *d, uint64_t address)
{
    st_puts(d->out, "... /* ");
    st_put_hex(d->out, address);
    st_puts(d->out, " */");
}

static void strings(struct st_decoder *d, uint64_t address)
{
    int here;
    pointer_at(d, address, &here);
    if (!address || !here || d->pointers) {
        st_address(d, address);
        return;
    }
    st_putc(d->out, '[');
    for (uint32_t i = 0;; i++) {
        uint64_t p = pointer_at(d, address + i * 8, &here);
        if (here && !p) break;
        if (i) st_comma(d);
        if (!here) {
            unreadable(d, address + i * 8);
            break;
        }
        if (d->abbrev && i >= d->options->string_limit) {
            st_puts(d->out, "...");
            break;
        }
        st_string(d, p);
    }
    st_putc(d->out, ']');
}

void st_print_argv(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    strings(d, value);
}

void st_print_envp(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    uint32_t count = 0;
    int here;
    (void)type;
    if (!d->abbrev) {
        strings(d, value);
        return;
    }
    st_address(d, value);
    pointer_at(d, value, &here);
    if (!value || !here || d->pointers) return;
    while (pointer_at(d, value + count * 8ull, &here)) count++;
    st_putf(d->out, " /* %u var%s%s */", count, count == 1 ? "" : "s", here ? "" : ", unterminated");
}

/* ---- clone ------------------------------------------------------------------------------------------------------------ */

static void clone_flags(struct st_decoder *d, unsigned set, uint64_t flags, uint64_t signal)
{
    char room[16];
    if (flags) {
        st_set(d, set, flags);
        if (!signal) return;
        st_putc(d->out, '|');
    } else if (!signal) {
        st_putc(d->out, '0');
        return;
    }
    st_puts(d->out, st_signal_name((uint32_t)signal, room));
}

static void tid_at(struct st_decoder *d, const char *label, uint64_t address)
{
    const uint8_t *at = address && !d->failed ? st_see(d, address, 4) : NULL;
    st_puts(d->out, label);
    if (!at) {
        st_address(d, address);
        return;
    }
    st_putc(d->out, '[');
    st_pid(d, (int32_t)st_load32(at));
    st_putc(d->out, ']');
}

int st_call_clone(struct st_decoder *d)
{
    uint64_t flags = d->args[0];
    if (!d->exiting) {
        st_puts(d->out, "child_stack=");
        st_address(d, d->args[1]);
        st_puts(d->out, ", flags=");
        clone_flags(d, ST_SET_CLONE_FLAGS, flags & ~0xffull, flags & 0xff);
        if (!(flags & 0x1381000)) return 0; /* PARENT_SETTID SETTLS CHILD_CLEARTID CHILD_SETTID PIDFD */
        if (!(flags & 0x101000)) {
            if (flags & 0x80000) {
                st_puts(d->out, ", tls=");
                st_address(d, d->args[4]);
            }
            if (flags & 0x1200000) {
                st_puts(d->out, ", child_tidptr=");
                st_address(d, d->args[3]);
            }
        } else {
            st_comma(d);
        }
        return 0;
    }
    if (!(flags & 0x101000)) return 0;
    if (flags & 0x1000) {
        const uint8_t *at = d->args[2] && !d->failed ? st_see(d, d->args[2], 4) : NULL;
        st_puts(d->out, "parent_tid=");
        if (at)
            st_putf(d->out, "[%d]", (int32_t)st_load32(at));
        else
            st_address(d, d->args[2]);
    } else {
        tid_at(d, "parent_tid=", d->args[2]);
    }
    if (flags & 0x80000) {
        st_puts(d->out, ", tls=");
        st_address(d, d->args[4]);
    }
    if (flags & 0x1200000) {
        st_puts(d->out, ", child_tidptr=");
        st_address(d, d->args[3]);
    }
    return 0;
}

static void word(struct st_decoder *d, const char *label, uint64_t value)
{
    st_puts(d->out, label);
    st_address(d, value);
}

static void clone3_tids(struct st_decoder *d, const uint8_t *at)
{
    uint64_t count = st_load64(at + 72), address = st_load64(at + 64);
    const uint8_t *tids = address && count && count <= 32 ? st_see(d, address, count * 4) : NULL;
    if (!address && !count) return;
    st_puts(d->out, ", set_tid=");
    if (!tids) {
        st_address(d, address);
    } else {
        st_putc(d->out, '[');
        for (uint64_t i = 0; i < count; i++) st_putf(d->out, i ? ", %d" : "%d", (int32_t)st_load32(tids + i * 4));
        st_putc(d->out, ']');
    }
    st_puts(d->out, ", set_tid_size=");
    st_put_unsigned(d->out, count);
}

static void clone3_entry(struct st_decoder *d, const uint8_t *at, uint64_t size)
{
    uint64_t flags = st_load64(at);
    st_puts(d->out, "{flags=");
    st_set(d, ST_SET_CLONE3_FLAGS, flags);
    if (flags & 0x1000) word(d, ", pidfd=", st_load64(at + 8));
    if (flags & 0x1200000) word(d, ", child_tid=", st_load64(at + 16));
    if (flags & 0x100000) word(d, ", parent_tid=", st_load64(at + 24));
    st_puts(d->out, ", exit_signal=");
    if (st_load64(at + 32) && st_load64(at + 32) < 65)
        st_signal(d, st_load64(at + 32));
    else
        st_put_unsigned(d->out, st_load64(at + 32));
    word(d, ", stack=", st_load64(at + 40));
    st_puts(d->out, ", stack_size=");
    st_put_hex(d->out, st_load64(at + 48));
    if (flags & 0x80000) word(d, ", tls=", st_load64(at + 56));
    if (size >= 80) clone3_tids(d, at);
    if (size >= 88 && (st_load64(at + 80) || flags >> 33 & 1)) {
        st_puts(d->out, ", cgroup=");
        st_fd(d, (int32_t)st_load64(at + 80));
    }
    st_puts(d->out, size > 88 ? ", ...}" : "}");
}

static void clone3_exit(struct st_decoder *d, const uint8_t *at)
{
    uint64_t flags = st_load64(at);
    const uint8_t *pidfd = flags & 0x1000 ? st_see(d, st_load64(at + 8), 4) : NULL;
    const uint8_t *tid = flags & 0x100000 ? st_see(d, st_load64(at + 24), 4) : NULL;
    if (!pidfd && !tid) return;
    st_puts(d->out, " => {");
    if (pidfd) st_putf(d->out, "pidfd=[%d]", (int32_t)st_load32(pidfd));
    if (tid) st_putf(d->out, "%sparent_tid=[%d]", pidfd ? ", " : "", (int32_t)st_load32(tid));
    st_putc(d->out, '}');
}

int st_call_clone3(struct st_decoder *d)
{
    uint64_t size = d->args[1], kept = size < 88 ? size : 88;
    const uint8_t *at = d->args[0] && size >= 64 ? st_see(d, d->args[0], kept) : NULL;
    if (!d->exiting) {
        if (at)
            clone3_entry(d, at, size);
        else
            st_address(d, d->args[0]);
        return 0;
    }
    if (at && !d->failed) clone3_exit(d, at);
    st_comma(d);
    st_put_unsigned(d->out, size);
    return 0;
}

/* ---- wait ------------------------------------------------------------------------------------------------------------- */

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

/* ---- scheduling --------------------------------------------------------------------------------------------------- */

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
        st_pid(d, (int32_t)d->args[0]);
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

/* ---- groups, capabilities ------------------------------------------------------------------------------------------- */

static void group(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_id(d, st_load32(at));
}

int st_call_setgroups(struct st_decoder *d)
{
    uint32_t count = ST_ARG32(d, 0);
    if (d->exiting) return 0;
    st_put_signed(d->out, (int32_t)count);
    st_comma(d);
    if (count > 65536)
        st_address(d, d->args[1]);
    else
        st_array(d, d->args[1], count, 4, group);
    return 0;
}

int st_call_getgroups(struct st_decoder *d)
{
    if (!d->exiting) {
        st_putf(d->out, "%d, ", (int32_t)d->args[0]);
        return 0;
    }
    if (d->failed || (!d->args[0] && d->result))
        st_address(d, d->args[1]);
    else
        st_array(d, d->args[1], (uint64_t)d->result, 4, group);
    return 0;
}

static void capabilities(struct st_decoder *d, uint64_t bits)
{
    int any = 0;
    if (!bits) {
        st_putc(d->out, '0');
        return;
    }
    if (bits == (1ull << 41) - 1 || d->options->names == ST_NAMES_RAW) {
        if (d->options->names == ST_NAMES_RAW) {
            st_put_hex(d->out, bits);
            return;
        }
    }
    for (unsigned i = 0; i < 64; i++) {
        const char *name = bits >> i & 1 ? st_lookup(&st_sets[ST_SET_CAP], i) : NULL;
        if (!(bits >> i & 1)) continue;
        if (any++) st_putc(d->out, '|');
        if (name)
            st_putf(d->out, "1<<%s", name);
        else
            st_putf(d->out, "1<<%u", i);
    }
}

static void capability_data(struct st_decoder *d, uint64_t address)
{
    const uint8_t *head = st_see(d, d->args[0], 8);
    int two = head && st_load32(head) != 0x19980330;
    const uint8_t *at = address && head ? st_see(d, address, two ? 24 : 12) : NULL;
    static const char *const labels[] = {"{effective=", ", permitted=", ", inheritable="};
    if (!at) {
        st_address(d, address);
        return;
    }
    for (int i = 0; i < 3; i++) {
        st_puts(d->out, labels[i]);
        capabilities(d, st_load32(at + i * 4) | (two ? (uint64_t)st_load32(at + 12 + i * 4) << 32 : 0));
    }
    st_putc(d->out, '}');
}

int st_call_capget(struct st_decoder *d)
{
    if (!d->exiting) {
        st_point(d, ST_STRUCT_CAP_HEADER, d->args[0]);
        st_comma(d);
        return 0;
    }
    if (d->failed)
        st_address(d, d->args[1]);
    else
        capability_data(d, d->args[1]);
    return 0;
}

int st_call_capset(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_point(d, ST_STRUCT_CAP_HEADER, d->args[0]);
    st_comma(d);
    capability_data(d, d->args[1]);
    return 0;
}

/* ---- personality, prctl ----------------------------------------------------------------------------------------------- */

static void persona(struct st_buffer *out, uint32_t value)
{
    const char *name = st_lookup(&st_sets[ST_SET_PERSONALITY], value & 0xff);
    uint64_t flags = value & ~0xffu;
    if (name)
        st_puts(out, name);
    else
        st_putf(out, "%#x /* PER_??? */", value & 0xff);
    if (!flags) return;
    st_putc(out, '|');
    if (st_bit_names(out, &st_sets[ST_SET_PERSONALITY_FLAGS], &flags, "|") && flags) st_putc(out, '|');
    if (flags) st_put_hex(out, flags);
}

int st_call_personality(struct st_decoder *d)
{
    if (!d->exiting) {
        uint32_t value = ST_ARG32(d, 0);
        if (value == 0xffffffff)
            st_puts(d->out, "0xffffffff");
        else
            persona(d->out, value);
        return 0;
    }
    d->returns = ST_RETURNS_HEX;
    if (d->failed) return 0;
    struct st_buffer b = {(uint8_t *)d->note, 0, 0};
    struct st_buffer text = {0};
    persona(&text, (uint32_t)d->result);
    (void)b;
    if (text.used < sizeof d->note) {
        memcpy(d->note, text.data, text.used);
        d->note[text.used] = 0;
    }
    st_buffer_free(&text);
    return 0;
}

static void pointed_number(struct st_decoder *d, uint64_t address, int hex)
{
    const uint8_t *at = address && !d->failed ? st_see(d, address, 4) : NULL;
    if (!at)
        st_address(d, address);
    else
        st_putf(d->out, hex ? "[%#x]" : "[%d]", st_load32(at));
}

/* prctl's options by what its other arguments are. */
enum {
    ST_PR_SET_PDEATHSIG = 1,
    ST_PR_GET_PDEATHSIG = 2,
    ST_PR_GET_DUMPABLE = 3,
    ST_PR_SET_DUMPABLE = 4,
    ST_PR_SET_NAME = 15,
    ST_PR_GET_NAME = 16,
    ST_PR_GET_SECCOMP = 21,
    ST_PR_SET_SECCOMP = 22,
    ST_PR_CAPBSET_READ = 23,
    ST_PR_CAPBSET_DROP = 24,
    ST_PR_GET_CHILD_SUBREAPER = 37,
    ST_PR_SET_NO_NEW_PRIVS = 38,
    ST_PR_SET_VMA = 0x53564d41,
};

void st_filter(struct st_decoder *d, uint64_t address);

static int prctl_entry(struct st_decoder *d, uint32_t option)
{
    st_set(d, ST_SET_PRCTL_OPTION, option);
    switch (option) {
    case 7: /* PR_GET_KEEPCAPS and others that take nothing */
    case ST_PR_GET_DUMPABLE:
    case 13:
    case 27:
    case 30:
    case ST_PR_GET_SECCOMP:
    case 31:
    case 32:
    case 34: return 0;
    case ST_PR_SET_PDEATHSIG:
        st_comma(d);
        if (d->args[1] > 64)
            st_put_unsigned(d->out, d->args[1]);
        else
            st_signal(d, d->args[1]);
        return 0;
    case ST_PR_SET_DUMPABLE: {
        static const char *const names[] = {"SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT"};
        st_comma(d);
        if (d->args[1] < 3)
            st_puts(d->out, names[d->args[1]]);
        else
            st_putf(d->out, "%#llx /* SUID_DUMP_??? */", (unsigned long long)d->args[1]);
        return 0;
    }
    case ST_PR_SET_NAME: {
        uint64_t size = 15; /* what the kernel keeps */
        const uint8_t *at = st_see_some(d, d->args[1], &size);
        st_comma(d);
        if (!at || (size < 15 && !memchr(at, 0, size))) {
            st_address(d, d->args[1]);
            return 0;
        }
        uint64_t length = strnlen((const char *)at, size);
        st_quoted(d, at, length, ST_QUOTE_WHOLE);
        if (length == 15) st_puts(d->out, "...");
        return 0;
    }
    case ST_PR_GET_PDEATHSIG:
    case ST_PR_GET_NAME:
    case ST_PR_GET_CHILD_SUBREAPER:
    case 5:
    case 9:
    case 11:
    case 19:
    case 25:
    case 40: st_comma(d); return 1;
    case ST_PR_SET_SECCOMP:
        st_comma(d);
        st_set(d, ST_SET_SECCOMP_MODE, d->args[1]);
        if (d->args[1] == 2) {
            st_comma(d);
            st_filter(d, d->args[2]);
        } else if (d->args[1] != 1) {
            for (int i = 2; i < 5; i++) {
                st_comma(d);
                st_put_hex(d->out, d->args[i]);
            }
        }
        return 0;
    case ST_PR_CAPBSET_READ:
    case ST_PR_CAPBSET_DROP:
        st_comma(d);
        st_set(d, ST_SET_CAP, d->args[1]);
        return 0;
    case 8:
    case 28:
    case 29:
    case 36:
        st_comma(d);
        st_put_unsigned(d->out, d->args[1]);
        return 0;
    case ST_PR_SET_NO_NEW_PRIVS:
    case 41:
        st_comma(d);
        st_put_unsigned(d->out, d->args[1]);
        for (int i = 2; i < 5; i++) {
            st_comma(d);
            st_put_hex(d->out, d->args[i]);
        }
        return 0;
    case 39:
    case 42:
        for (int i = 1; i < 5; i++) {
            st_comma(d);
            st_put_hex(d->out, d->args[i]);
        }
        return 0;
    case ST_PR_SET_VMA:
        st_puts(d->out, d->args[1] ? "" : ", PR_SET_VMA_ANON_NAME");
        if (d->args[1]) {
            st_comma(d);
            st_put_hex(d->out, d->args[1]);
        }
        st_comma(d);
        st_address(d, d->args[2]);
        st_comma(d);
        st_put_unsigned(d->out, d->args[3]);
        st_comma(d);
        st_string(d, d->args[4]);
        return 0;
    default:
        for (int i = 1; i < 5; i++) {
            st_comma(d);
            st_put_hex(d->out, d->args[i]);
        }
        return 0;
    }
}

int st_call_prctl(struct st_decoder *d)
{
    uint32_t option = ST_ARG32(d, 0);
    if (!d->exiting) {
        prctl_entry(d, option);
        return 0;
    }
    switch (option) {
    case ST_PR_GET_PDEATHSIG: {
        const uint8_t *at = d->args[1] && !d->failed ? st_see(d, d->args[1], 4) : NULL;
        if (!at) {
            st_address(d, d->args[1]);
            return 0;
        }
        st_putc(d->out, '[');
        if (st_load32(at))
            st_signal(d, st_load32(at));
        else
            st_putc(d->out, '0');
        st_putc(d->out, ']');
        break;
    }
    case ST_PR_GET_NAME: {
        uint64_t size = 16;
        const uint8_t *at = d->failed ? NULL : st_see_some(d, d->args[1], &size);
        if (at)
            st_quoted(d, at, size, ST_QUOTE_TEXT | ST_QUOTE_WHOLE);
        else
            st_address(d, d->args[1]);
        break;
    }
    case ST_PR_GET_CHILD_SUBREAPER:
    case 5:
    case 9:
    case 11:
    case 19: pointed_number(d, d->args[1], 0); break;
    case 25:
    case 40: {
        const uint8_t *at = d->args[1] && !d->failed ? st_see(d, d->args[1], 8) : NULL;
        if (option == 40 && at) {
            st_putc(d->out, '[');
            st_address(d, st_load64(at));
            st_putc(d->out, ']');
        } else {
            pointed_number(d, d->args[1], 0);
        }
        break;
    }
    case ST_PR_GET_DUMPABLE: {
        static const char *const names[] = {"SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT"};
        if (!d->failed && d->result < 3) strcpy(d->note, names[d->result]);
        break;
    }
    case ST_PR_GET_SECCOMP: {
        const char *name = d->failed ? NULL : st_lookup(&st_sets[ST_SET_SECCOMP_MODE], (uint64_t)d->result);
        if (name) strcpy(d->note, name);
        break;
    }
    default: break;
    }
    return 0;
}

int st_call_arch_prctl(struct st_decoder *d)
{
    uint32_t option = ST_ARG32(d, 0);
    int get = option == 0x1003 || option == 0x1004;
    if (!d->exiting) {
        st_set(d, ST_SET_ARCH_PRCTL, option);
        st_comma(d);
        if (option == 0x1001 || option == 0x1002)
            st_address(d, d->args[1]);
        else if (!get)
            st_put_hex(d->out, d->args[1]);
        return 0;
    }
    if (!get) return 0;
    const uint8_t *at = d->args[1] && !d->failed ? st_see(d, d->args[1], 8) : NULL;
    if (!at) {
        st_address(d, d->args[1]);
        return 0;
    }
    st_putc(d->out, '[');
    st_address(d, st_load64(at));
    st_putc(d->out, ']');
    return 0;
}

/* ---- others ----------------------------------------------------------------------------------------------------------- */

int st_call_kcmp(struct st_decoder *d)
{
    uint32_t kind = ST_ARG32(d, 2);
    if (d->exiting) return 0;
    st_arguments(d, 0, 3);
    if (kind == 0) {
        st_comma(d);
        st_fd(d, (int32_t)d->args[3]);
        st_comma(d);
        st_fd(d, (int32_t)d->args[4]);
    } else if (kind == 7) {
        const uint8_t *at = d->args[4] ? st_see(d, d->args[4], 12) : NULL;
        st_comma(d);
        st_fd(d, (int32_t)d->args[3]);
        st_comma(d);
        if (at)
            st_putf(d->out, "{efd=%d, tfd=%d, toff=%u}", (int32_t)st_load32(at), (int32_t)st_load32(at + 4), st_load32(at + 8));
        else
            st_address(d, d->args[4]);
    } else if (kind > 7) {
        st_comma(d);
        st_put_hex(d->out, d->args[3]);
        st_comma(d);
        st_put_hex(d->out, d->args[4]);
    }
    return 0;
}

static void description(struct st_decoder *d, uint64_t address)
{
    const uint8_t *at = address ? st_see(d, address, 16) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    uint32_t flags = st_load32(at + 12);
    if (st_load32(at) == 0xffffffff)
        st_puts(d->out, "{entry_number=-1");
    else
        st_putf(d->out, "{entry_number=%u", st_load32(at));
    st_puts(d->out, ", base_addr=");
    st_put_hex(d->out, st_load32(at + 4));
    st_puts(d->out, ", limit=");
    st_put_hex(d->out, st_load32(at + 8));
    st_putf(d->out, ", seg_32bit=%u, contents=%u, read_exec_only=%u, limit_in_pages=%u, seg_not_present=%u, useable=%u, lm=%u}", flags & 1,
            flags >> 1 & 3, flags >> 3 & 1, flags >> 4 & 1, flags >> 5 & 1, flags >> 6 & 1, flags >> 7 & 1);
}

void st_print_user_desc(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    (void)type;
    if (d->failed)
        st_address(d, value);
    else
        description(d, value);
}

int st_call_modify_ldt(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_putf(d->out, "%d, ", (int32_t)d->args[0]);
    if (((uint32_t)d->args[0] == 1 || (uint32_t)d->args[0] == 0x11) && d->args[2] == 16)
        description(d, d->args[1]);
    else
        st_address(d, d->args[1]);
    st_comma(d);
    st_put_unsigned(d->out, d->args[2]);
    return 0;
}

int st_call_membarrier(struct st_decoder *d)
{
    if (!d->exiting) {
        st_arguments(d, 0, (ST_ARG32(d, 1) & 1) ? 3 : 2);
        return 0;
    }
    if (!ST_ARG32(d, 0) && d->result > 0) {
        uint64_t bits = (uint64_t)d->result;
        struct st_buffer text = {0};
        st_bit_names(&text, &st_sets[ST_SET_MEMBARRIER_BITS], &bits, "|");
        d->returns = ST_RETURNS_HEX;
        if (text.used < sizeof d->note) {
            memcpy(d->note, text.data, text.used);
            d->note[text.used] = 0;
        }
        st_buffer_free(&text);
    }
    return 0;
}

int st_call_restart_syscall(struct st_decoder *d)
{
    if (!d->exiting) st_puts(d->out, "<... resuming interrupted system call ...>");
    return 0;
}

int st_call_reboot(struct st_decoder *d)
{
    if (d->exiting) return 0;
    st_arguments(d, 0, 3);
    if (ST_ARG32(d, 2) == 0xa1b2c3d4) {
        st_comma(d);
        st_string(d, d->args[3]);
    }
    return 0;
}

int st_call_sysfs(struct st_decoder *d)
{
    uint32_t option = ST_ARG32(d, 0);
    if (!d->exiting) {
        st_putf(d->out, "%d", (int32_t)option);
        if (option == 1) {
            st_comma(d);
            st_string(d, d->args[1]);
        } else if (option == 2) {
            st_comma(d);
            st_put_unsigned(d->out, (uint32_t)d->args[1]);
            st_comma(d);
        } else if (option != 3) {
            st_comma(d);
            st_put_hex(d->out, d->args[1]);
            st_comma(d);
            st_put_hex(d->out, d->args[2]);
        }
        return 0;
    }
    if (option == 2) {
        if (d->failed)
            st_address(d, d->args[2]);
        else
            st_string(d, d->args[2]);
    }
    return 0;
}

static void segment(struct st_decoder *d, const uint8_t *at, uint64_t address, uint32_t index)
{
    (void)address;
    (void)index;
    st_puts(d->out, "{buf=");
    st_address(d, st_load64(at));
    st_puts(d->out, ", bufsz=");
    st_put_unsigned(d->out, st_load64(at + 8));
    st_puts(d->out, ", mem=");
    st_address(d, st_load64(at + 16));
    st_puts(d->out, ", memsz=");
    st_put_unsigned(d->out, st_load64(at + 24));
    st_putc(d->out, '}');
}

int st_call_kexec_load(struct st_decoder *d)
{
    uint64_t count = d->args[1], flags = d->args[3];
    if (d->exiting) return 0;
    st_address(d, d->args[0]);
    st_comma(d);
    st_put_unsigned(d->out, count);
    st_comma(d);
    if (count > 16)
        st_address(d, d->args[2]);
    else
        st_array(d, d->args[2], count, 32, segment);
    st_comma(d);
    st_set(d, ST_SET_KEXEC_ARCH, flags & 0xffff0000);
    if (flags & ~0xffff0000ull) {
        st_putc(d->out, '|');
        st_set(d, ST_SET_KEXEC_FLAGS, flags & ~0xffff0000ull);
    }
    return 0;
}
