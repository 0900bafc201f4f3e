/* fcntl and ioctl: one number decides what the last argument is. */
#include <string.h>

#include "text.h"

/* ---- fcntl ------------------------------------------------------------------------------------------------------------ */

enum {
    ST_F_DUPFD,
    ST_F_GETFD,
    ST_F_SETFD,
    ST_F_GETFL,
    ST_F_SETFL,
    ST_F_GETLK,
    ST_F_SETLK,
    ST_F_SETLKW,
    ST_F_SETOWN,
    ST_F_GETOWN,
    ST_F_SETSIG,
    ST_F_GETSIG,
    ST_F_SETOWN_EX = 15,
    ST_F_GETOWN_EX,
    ST_F_GETOWNER_UIDS,
    ST_F_OFD_GETLK = 36,
    ST_F_OFD_SETLK,
    ST_F_OFD_SETLKW,
    ST_F_SETLEASE = 1024,
    ST_F_GETLEASE,
    ST_F_NOTIFY,
    ST_F_DUPFD_QUERY,
    ST_F_CREATED_QUERY,
    ST_F_CANCELLK,
    ST_F_DUPFD_CLOEXEC,
    ST_F_SETPIPE_SZ,
    ST_F_GETPIPE_SZ,
    ST_F_ADD_SEALS,
    ST_F_GET_SEALS,
    ST_F_GET_RW_HINT = 1035,
    ST_F_SET_RW_HINT,
    ST_F_GET_FILE_RW_HINT,
    ST_F_SET_FILE_RW_HINT,
};

static void hint(struct st_decoder *d)
{
    const uint8_t *at = d->args[2] && !(d->exiting && d->failed) ? st_see(d, d->args[2], 8) : NULL;
    if (!at) {
        st_address(d, d->args[2]);
        return;
    }
    st_putc(d->out, '[');
    st_set(d, ST_SET_RW_HINTS, st_load64(at));
    st_putc(d->out, ']');
}

static void fcntl_entry(struct st_decoder *d, uint32_t command)
{
    static const struct st_type none = {0};
    switch (command) {
    case ST_F_SETFD:
        st_comma(d);
        st_set(d, ST_SET_FD_FLAGS, ST_ARG32(d, 2));
        break;
    case ST_F_SETOWN:
    case ST_F_SETPIPE_SZ:
    case ST_F_DUPFD:
    case ST_F_DUPFD_CLOEXEC:
        st_comma(d);
        st_put_signed(d->out, (int32_t)d->args[2]);
        break;
    case ST_F_DUPFD_QUERY:
        st_comma(d);
        st_fd(d, (int32_t)d->args[2]);
        break;
    case ST_F_SETFL:
        st_comma(d);
        st_print_open_flags(d, d->args[2], &none);
        break;
    case ST_F_SETLK:
    case ST_F_SETLKW:
    case ST_F_OFD_SETLK:
    case ST_F_OFD_SETLKW:
    case ST_F_CANCELLK:
        st_comma(d);
        st_point(d, command == ST_F_CANCELLK ? ST_STRUCT_FLOCKPID : ST_STRUCT_FLOCK, d->args[2]);
        break;
    case ST_F_SETOWN_EX:
        st_comma(d);
        st_point(d, ST_STRUCT_OWNER, d->args[2]);
        break;
    case ST_F_SETSIG:
        st_comma(d);
        st_signal(d, d->args[2]);
        break;
    case ST_F_SETLEASE:
        st_comma(d);
        st_set(d, ST_SET_LEASE, ST_ARG32(d, 2));
        break;
    case ST_F_NOTIFY:
        st_comma(d);
        st_set(d, ST_SET_NOTIFY_FLAGS, ST_ARG32(d, 2));
        break;
    case ST_F_ADD_SEALS:
        st_comma(d);
        st_set(d, ST_SET_SEALS, ST_ARG32(d, 2));
        break;
    case ST_F_SET_RW_HINT:
    case ST_F_SET_FILE_RW_HINT:
        st_comma(d);
        hint(d);
        break;
    case ST_F_GETFD:
    case ST_F_GETFL:
    case ST_F_GETOWN:
    case ST_F_GETSIG:
    case ST_F_GETLEASE:
    case ST_F_GETPIPE_SZ:
    case ST_F_CREATED_QUERY:
    case ST_F_GET_SEALS: break;
    case ST_F_GETLK:
    case ST_F_OFD_GETLK:
    case ST_F_GETOWN_EX:
    case ST_F_GETOWNER_UIDS:
    case ST_F_GET_RW_HINT:
    case ST_F_GET_FILE_RW_HINT: st_comma(d); break;
    default: st_comma(d); st_put_hex(d->out, d->args[2]);
    }
}

static void take_note(struct st_decoder *d, const struct st_buffer *text)
{
    uint64_t n = text->used < sizeof d->note - 1 ? text->used : sizeof d->note - 1;
    if (n) memcpy(d->note, text->data, n);
    d->note[n] = 0;
}

/* 0x8002 (flags O_RDWR|O_LARGEFILE) */
static void flags_note(struct st_decoder *d, int set, const char *label)
{
    static const struct st_type none = {0};
    struct st_buffer text = {0}, *out = d->out;
    d->out = &text;
    st_puts(&text, label);
    if (set < 0)
        st_print_open_flags(d, (uint64_t)d->result, &none);
    else
        st_set(d, (unsigned)set, (uint64_t)d->result);
    d->out = out;
    take_note(d, &text);
    st_buffer_free(&text);
    d->returns = ST_RETURNS_HEX;
}

static void fcntl_exit(struct st_decoder *d, uint32_t command)
{
    switch (command) {
    case ST_F_DUPFD:
    case ST_F_DUPFD_CLOEXEC: d->returns = ST_RETURNS_FD; break;
    case ST_F_GETFD:
        if (!d->failed && d->result) flags_note(d, ST_SET_FD_FLAGS, "flags ");
        break;
    case ST_F_GETFL:
        if (!d->failed) flags_note(d, -1, "flags ");
        break;
    case ST_F_GET_SEALS:
        if (!d->failed && d->result) flags_note(d, ST_SET_SEALS, "seals ");
        break;
    case ST_F_GETLEASE:
        if (!d->failed) flags_note(d, ST_SET_LEASE, "");
        break;
    case ST_F_GETSIG: {
        char room[16];
        if (!d->failed && d->result) strcpy(d->note, st_signal_name((uint32_t)d->result, room));
        break;
    }
    case ST_F_GETLK:
    case ST_F_OFD_GETLK:
        if (d->failed)
            st_address(d, d->args[2]);
        else
            st_point(d, ST_STRUCT_FLOCKPID, d->args[2]);
        break;
    case ST_F_GETOWN_EX:
        if (d->failed)
            st_address(d, d->args[2]);
        else
            st_point(d, ST_STRUCT_OWNER, d->args[2]);
        break;
    case ST_F_GETOWNER_UIDS: {
        const uint8_t *at = d->failed || !d->args[2] ? NULL : st_see(d, d->args[2], 8);
        if (at)
            st_putf(d->out, "[%u, %u]", st_load32(at), st_load32(at + 4));
        else
            st_address(d, d->args[2]);
        break;
    }
    case ST_F_GET_RW_HINT:
    case ST_F_GET_FILE_RW_HINT: hint(d); break;
    default: break;
    }
}

int st_call_fcntl(struct st_decoder *d)
{
    uint32_t command = ST_ARG32(d, 1);
    if (d->exiting) {
        fcntl_exit(d, command);
        return 0;
    }
    st_arguments(d, 0, 2);
    fcntl_entry(d, command);
    return 0;
}

/* ---- ioctl ------------------------------------------------------------------------------------------------------------ */

static const char *request_name(uint32_t request)
{
    uint32_t low = 0, high = st_ioctl_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (st_ioctls[middle].value == request) return st_ioctls[middle].name;
        if (st_ioctls[middle].value < request)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static void request_parts(struct st_decoder *d, uint32_t request)
{
    static const char *const directions[] = {"_IOC_NONE", "_IOC_WRITE", "_IOC_READ", "_IOC_READ|_IOC_WRITE"};
    st_putf(d->out, "_IOC(%s, ", directions[request >> 30]);
    st_put_hex(d->out, request >> 8 & 0xff);
    st_comma(d);
    st_put_hex(d->out, request & 0xff);
    st_comma(d);
    st_put_hex(d->out, request >> 16 & 0x3fff);
    st_putc(d->out, ')');
}

static void request(struct st_decoder *d, uint32_t number)
{
    const char *name = request_name(number);
    if (d->options->names != ST_NAMES_ABBREV) st_put_hex(d->out, number);
    if (d->options->names == ST_NAMES_RAW) return;
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " /* ");
    if (name)
        st_puts(d->out, name);
    else
        request_parts(d, number);
    if (d->options->names == ST_NAMES_VERBOSE) st_puts(d->out, " */");
}

static void control_flags(struct st_decoder *d, uint32_t flags)
{
    const char *speed = st_lookup(&st_sets[ST_SET_TC_BAUD], flags & 0x100f);
    uint64_t left = flags & ~0x103fu;
    if (speed) st_puts(d->out, speed);
    st_putc(d->out, '|');
    st_puts(d->out, st_lookup(&st_sets[ST_SET_TC_SIZE], flags & 0x30));
    if (!left) return;
    st_putc(d->out, '|');
    st_set(d, ST_SET_TC_CFLAG, left);
}

static void characters(struct st_decoder *d, const uint8_t *at)
{
    static const char *const names[] = {"VINTR", "VQUIT", "VERASE", "VKILL",    "VEOF",     "VTIME",   "VMIN",   "VSWTC", "VSTART",
                                        "VSTOP", "VSUSP", "VEOL",   "VREPRINT", "VDISCARD", "VWERASE", "VLNEXT", "VEOL2"};
    st_puts(d->out, "c_cc=[");
    for (unsigned i = 0; i < 19; i++) {
        if (i < 17)
            st_putf(d->out, "%s[%s]=%#x", i ? ", " : "", names[i], at[i]);
        else
            st_putf(d->out, ", [%u]=%#x", i, at[i]);
    }
    st_putc(d->out, ']');
}

static void terminal(struct st_decoder *d, const uint8_t *at)
{
    st_puts(d->out, "{c_iflag=");
    st_set(d, ST_SET_TC_IFLAG, st_load32(at));
    uint32_t output = st_load32(at + 4);
    st_puts(d->out, ", c_oflag=");
    static const char *const delays[] = {"NL0", "CR0", "TAB0", "BS0", "VT0", "FF0"};
    (void)delays;
    uint64_t plain = output & 0xff;
    st_puts(d->out, "NL0|CR0|TAB0|BS0|VT0|FF0");
    if (plain) {
        st_putc(d->out, '|');
        st_set(d, ST_SET_TC_OFLAG, plain);
    }
    st_puts(d->out, ", c_cflag=");
    control_flags(d, st_load32(at + 8));
    st_puts(d->out, ", c_lflag=");
    st_set(d, ST_SET_TC_LFLAG, st_load32(at + 12));
    if (d->abbrev) {
        st_puts(d->out, ", ...}");
        return;
    }
    st_putf(d->out, ", c_line=%u, ", at[16]);
    characters(d, at + 17);
    st_putc(d->out, '}');
}

static void out_int(struct st_decoder *d)
{
    const uint8_t *at = d->failed || !d->args[2] ? NULL : st_see(d, d->args[2], 4);
    if (at)
        st_putf(d->out, "[%d]", (int32_t)st_load32(at));
    else
        st_address(d, d->args[2]);
}

/* 1: the argument is shown on entry; 2: on exit; 3: there is none; 0: by the direction in the number */
static int ioctl_when(uint32_t number)
{
    switch (number) {
    case 0x5402: /* TCSETS and its two kin */
    case 0x5403:
    case 0x5404:
    case 0x5414: /* TIOCSWINSZ */
    case 0x5410: /* TIOCSPGRP */
    case 0x5421: /* FIONBIO */
    case 0x5452: /* FIOASYNC */
    case 0x540b: /* TCFLSH */
    case 0x540a: /* TCXONC */
    case 0x5409: return 1;
    case 0x5401: /* TCGETS */
    case 0x5413: /* TIOCGWINSZ */
    case 0x540f: /* TIOCGPGRP */
    case 0x541b: /* FIONREAD */
    case 0x5411: /* TIOCOUTQ */
    case 0x5429: /* TIOCGSID */
    case 0x80045430: return 2;
    case 0x5450: /* FIONCLEX */
    case 0x5451: /* FIOCLEX */
    case 0x540c: /* TIOCEXCL */
    case 0x540d: /* TIOCNXCL */
    case 0x5422: return 3;
    default: return 0;
    }
}

static void ioctl_argument(struct st_decoder *d, uint32_t number)
{
    const uint8_t *at;
    switch (number) {
    case 0x5401:
    case 0x5402:
    case 0x5403:
    case 0x5404:
        at = d->args[2] && !d->failed && !d->pointers ? st_see(d, d->args[2], 36) : NULL;
        if (at)
            terminal(d, at);
        else
            st_address(d, d->args[2]);
        break;
    case 0x5413:
    case 0x5414:
        if (d->failed)
            st_address(d, d->args[2]);
        else
            st_point(d, ST_STRUCT_WINSIZE, d->args[2]);
        break;
    case 0x540b: st_set(d, ST_SET_TCFLUSH, ST_ARG32(d, 2)); break;
    case 0x540a: st_set(d, ST_SET_TCXONC, ST_ARG32(d, 2)); break;
    case 0x5409: st_put_signed(d->out, (int32_t)d->args[2]); break;
    default: out_int(d);
    }
}

int st_call_ioctl(struct st_decoder *d)
{
    uint32_t number = ST_ARG32(d, 1);
    int when = ioctl_when(number);
    if (!d->exiting) {
        st_arguments(d, 0, 1);
        st_comma(d);
        request(d, number);
        if (when == 3) return 0;
        st_comma(d);
        if (when == 1)
            ioctl_argument(d, number);
        else if (!when)
            st_put_hex(d->out, d->args[2]);
    } else if (when == 2) {
        ioctl_argument(d, number);
    }
    return 0;
}
