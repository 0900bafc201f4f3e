/* Signals and sets of them. */
#include <stdio.h>
#include <string.h>

#include "text.h"

static const char *const names[32] = {NULL,        "SIGHUP",  "SIGINT",    "SIGQUIT", "SIGILL",   "SIGTRAP", "SIGABRT", "SIGBUS",
                                      "SIGFPE",    "SIGKILL", "SIGUSR1",   "SIGSEGV", "SIGUSR2",  "SIGPIPE", "SIGALRM", "SIGTERM",
                                      "SIGSTKFLT", "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",
                                      "SIGXCPU",   "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGIO",   "SIGPWR",  "SIGSYS"};

const char *st_signal_name(uint32_t number, char room[16])
{
    if (number && number < 32) return names[number];
    if (number == 32) return "SIGRTMIN";
    if (number > 32 && number <= 64)
        snprintf(room, 16, "SIGRT_%u", number - 32);
    else
        snprintf(room, 16, "%d", (int32_t)number);
    return room;
}

void st_signal(struct st_decoder *d, uint64_t number)
{
    char room[16];
    if (d->options->names == ST_NAMES_RAW || (d->options->names == ST_NAMES_VERBOSE && number && number <= 64))
        st_put_signed(d->out, (int32_t)number);
    if (d->options->names == ST_NAMES_RAW) return;
    if (d->options->names == ST_NAMES_VERBOSE && number && number <= 64)
        st_putf(d->out, " /* %s */", st_signal_name((uint32_t)number, room));
    else
        st_puts(d->out, st_signal_name((uint32_t)number, room));
}

void st_sigset_bits(struct st_decoder *d, uint64_t bits)
{
    int first = 1;
    if (__builtin_popcountll(bits) >= 64 * 2 / 3) {
        st_putc(d->out, '~');
        bits = ~bits;
    }
    st_putc(d->out, '[');
    for (; bits; bits &= bits - 1) {
        char room[16];
        if (!first) st_putc(d->out, ' ');
        first = 0;
        st_puts(d->out, st_signal_name((uint32_t)__builtin_ctzll(bits) + 1, room) + 3);
    }
    st_putc(d->out, ']');
}

void st_sigset(struct st_decoder *d, uint64_t address, uint64_t size)
{
    /* Another size is an error; what is filled in may be shorter. */
    uint64_t used = size > 8 || (!d->exiting && size != 8) ? 0 : size, bits = 0;
    const uint8_t *at = address && used ? st_see(d, address, used) : NULL;
    if (!at || d->pointers) {
        st_address(d, address);
        return;
    }
    memcpy(&bits, at, used);
    st_sigset_bits(d, bits);
}

void st_print_sigset(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    if (d->failed && type->when == ST_CAPTURE_EXIT)
        st_address(d, value);
    else
        st_sigset(d, value, d->args[type->aux]);
}

void st_print_sigset_argument(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value ? st_see(d, value, 16) : NULL;
    (void)type;
    if (!at) {
        st_address(d, value);
        return;
    }
    st_puts(d->out, "{sigmask=");
    st_sigset(d, st_load64(at), st_load64(at + 8));
    st_puts(d->out, ", sigsetsize=");
    st_put_unsigned(d->out, st_load64(at + 8));
    st_putc(d->out, '}');
}

static void handler(struct st_decoder *d, const char *label, uint64_t address)
{
    static const char *const special[] = {"SIG_DFL", "SIG_IGN"};
    st_puts(d->out, label);
    if (address > 1) {
        st_put_hex(d->out, address);
        return;
    }
    if (d->options->names == ST_NAMES_ABBREV) {
        st_puts(d->out, special[address]);
        return;
    }
    if (address || d->options->names == ST_NAMES_RAW)
        st_put_hex(d->out, address);
    else
        st_puts(d->out, "NULL");
    if (d->options->names == ST_NAMES_VERBOSE) st_putf(d->out, " /* %s */", special[address]);
}

/* struct kernel_sigaction: handler, flags, restorer, mask. */
void st_print_sigaction(struct st_decoder *d, uint64_t value, const struct st_type *type)
{
    const uint8_t *at = value && !(d->failed && type->when == ST_CAPTURE_EXIT) ? st_see(d, value, 32) : NULL;
    if (!at || d->pointers) {
        st_address(d, value);
        return;
    }
    uint64_t flags = st_load64(at + 8);
    handler(d, "{sa_handler=", st_load64(at));
    st_puts(d->out, ", sa_mask=");
    uint64_t size = d->args[3] < 8 ? d->args[3] : 8, mask = 0;
    memcpy(&mask, at + 24, size);
    st_sigset_bits(d, mask);
    st_puts(d->out, ", sa_flags=");
    st_set(d, ST_SET_SA_FLAGS, flags);
    if (flags & 0x04000000) {
        st_puts(d->out, ", sa_restorer=");
        st_address(d, st_load64(at + 16));
    }
    st_putc(d->out, '}');
}
