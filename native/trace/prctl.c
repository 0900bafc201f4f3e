/* personality, prctl, arch_prctl. */
#include <string.h>

#include "text.h"

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
        st_next(d, 0);
        if (value == 0xffffffff)
            st_puts(d->out, "0xffffffff");
        else
            persona(d->out, value);
        return 0;
    }
    d->returns = ST_RETURNS_HEX;
    if (d->failed) return 0;
    struct st_buffer text = {0};
    persona(&text, (uint32_t)d->result);
    st_note(d, &text);
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
    ST_PR_SET_SYSCALL_USER_DISPATCH = 59,
    ST_PR_CAPBSET_READ = 23,
    ST_PR_CAPBSET_DROP = 24,
    ST_PR_GET_CHILD_SUBREAPER = 37,
    ST_PR_SET_NO_NEW_PRIVS = 38,
    ST_PR_SET_VMA = 0x53564d41,
};

void st_filter(struct st_decoder *d, uint64_t address);

/* PR_SET_SYSCALL_USER_DISPATCH: mode, the range that is let through, and the byte that switches it. */
static void user_dispatch(struct st_decoder *d)
{
    static const char *const names[] = {"PR_SYS_DISPATCH_OFF", "PR_SYS_DISPATCH_EXCLUSIVE_ON", "PR_SYS_DISPATCH_INCLUSIVE_ON"};
    st_next(d, 1);
    if (d->args[1] < 3)
        st_puts(d->out, names[d->args[1]]);
    else
        st_putf(d->out, "%#llx /* PR_SYS_DISPATCH_??? */", (unsigned long long)d->args[1]);
    for (unsigned i = 2; i < 4; i++) {
        st_next(d, i);
        st_put_hex(d->out, d->args[i]);
    }
    st_next(d, 4);
    st_address(d, d->args[4]);
}

/* The arguments from `first` on, as they are. */
static void words(struct st_decoder *d, unsigned first)
{
    for (unsigned i = first; i < 5; i++) {
        st_next(d, i);
        st_put_hex(d->out, d->args[i]);
    }
}

static int prctl_entry(struct st_decoder *d, uint32_t option)
{
    st_next(d, 0);
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
        st_next(d, 1);
        if (d->args[1] > 64)
            st_put_unsigned(d->out, d->args[1]);
        else
            st_signal(d, d->args[1]);
        return 0;
    case ST_PR_SET_DUMPABLE: {
        static const char *const names[] = {"SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT"};
        st_next(d, 1);
        if (d->args[1] < 3)
            st_puts(d->out, names[d->args[1]]);
        else
            st_putf(d->out, "%#llx /* SUID_DUMP_??? */", (unsigned long long)d->args[1]);
        return 0;
    }
    case ST_PR_SET_NAME: {
        uint64_t size = 15; /* what the kernel keeps */
        const uint8_t *at = st_see_some(d, d->args[1], &size);
        st_next(d, 1);
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
    case ST_PR_SET_SYSCALL_USER_DISPATCH: user_dispatch(d); return 0;
    case ST_PR_SET_SECCOMP:
        st_next(d, 1);
        st_set(d, ST_SET_SECCOMP_MODE, d->args[1]);
        if (d->args[1] == 2) {
            st_next(d, 2);
            st_filter(d, d->args[2]);
        } else if (d->args[1] != 1) {
            words(d, 2);
        }
        return 0;
    case ST_PR_CAPBSET_READ:
    case ST_PR_CAPBSET_DROP:
        st_next(d, 1);
        st_set(d, ST_SET_CAP, d->args[1]);
        return 0;
    case 8:
    case 28:
    case 29:
    case 36:
        st_next(d, 1);
        st_put_unsigned(d->out, d->args[1]);
        return 0;
    case ST_PR_SET_NO_NEW_PRIVS:
    case 41:
        st_next(d, 1);
        st_put_unsigned(d->out, d->args[1]);
        words(d, 2);
        return 0;
    case 39:
    case 42: words(d, 1); return 0;
    case ST_PR_SET_VMA:
        st_next(d, 1);
        st_set(d, ST_SET_SET_VMA, d->args[1]);
        st_next(d, 2);
        st_address(d, d->args[2]);
        st_next(d, 3);
        if (d->args[1])
            st_put_hex(d->out, d->args[3]);
        else
            st_put_unsigned(d->out, d->args[3]);
        st_next(d, 4);
        if (d->args[1])
            st_put_hex(d->out, d->args[4]);
        else
            st_string(d, d->args[4]);
        return 0;
    case 47: /* PR_CAP_AMBIENT */
        st_next(d, 1);
        st_set(d, ST_SET_CAP_AMBIENT, d->args[1]);
        st_next(d, 2);
        if (d->args[1] >= 1 && d->args[1] <= 3)
            st_set(d, ST_SET_CAP, d->args[2]);
        else
            st_put_hex(d->out, d->args[2]);
        words(d, 3);
        return 0;
    default: words(d, 1); return 0;
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
        st_label(d, 1);
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
        st_label(d, 1);
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
    case 19:
        st_label(d, 1);
        pointed_number(d, d->args[1], 0);
        break;
    case 25:
    case 40: {
        const uint8_t *at = d->args[1] && !d->failed ? st_see(d, d->args[1], 8) : NULL;
        st_label(d, 1);
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
    default: break;
    }
    return 0;
}

static int is_features(uint32_t option)
{
    return option == 0x1021 || option == 0x1022 || option == 0x1024;
}

static void pointed_word(struct st_decoder *d, uint32_t option)
{
    const uint8_t *at = d->args[1] && !d->failed ? st_see(d, d->args[1], 8) : NULL;
    st_label(d, 1);
    if (!at) {
        st_address(d, d->args[1]);
        return;
    }
    st_putc(d->out, '[');
    if (is_features(option)) {
        uint64_t left = st_load64(at);
        st_put_hex(d->out, left);
        if (left && d->options->names != ST_NAMES_RAW) {
            st_puts(d->out, " /* ");
            if (!st_bit_names(d->out, &st_sets[ST_SET_XFEATURES], &left, "|"))
                st_puts(d->out, st_sets[ST_SET_XFEATURES].unknown);
            else if (left)
                st_putf(d->out, "|%#llx", (unsigned long long)left);
            st_puts(d->out, " */");
        }
    } else {
        st_address(d, st_load64(at));
    }
    st_putc(d->out, ']');
}

int st_call_arch_prctl(struct st_decoder *d)
{
    uint32_t option = ST_ARG32(d, 0);
    int get = option == 0x1003 || option == 0x1004 || is_features(option);
    if (d->exiting) {
        if (get) pointed_word(d, option);
        return 0;
    }
    st_next(d, 0);
    st_set(d, ST_SET_ARCH_PRCTL, option);
    if (option == 0x1011) return 0; /* ARCH_GET_CPUID */
    if (get) {
        st_comma(d);
        return 0;
    }
    st_next(d, 1);
    if (option == 0x1023 || option == 0x1025) { /* ARCH_REQ_XCOMP_PERM, ARCH_REQ_XCOMP_GUEST_PERM */
        const char *name = st_lookup(&st_sets[ST_SET_XFEATURE], d->args[1]);
        st_put_hex(d->out, d->args[1]);
        if (d->options->names != ST_NAMES_RAW) st_putf(d->out, " /* %s */", name ? name : "XFEATURE_???");
    } else {
        st_put_hex(d->out, d->args[1]);
    }
    return 0;
}
