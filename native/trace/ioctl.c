/* ioctl: its request decides what the last argument is. */
#include <string.h>

#include "text.h"

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
    case 0x5406: /* TCSETA and its two kin */
    case 0x5407:
    case 0x5408:
    case 0x402c542b: /* TCSETS2 and its two kin */
    case 0x402c542c:
    case 0x402c542d:
    case 0x5414:     /* TIOCSWINSZ */
    case 0x40045431: /* TIOCSPTLCK */
    case 0x5410:     /* TIOCSPGRP */
    case 0x5421:     /* FIONBIO */
    case 0x5452:     /* FIOASYNC */
    case 0x540b:     /* TCFLSH */
    case 0x540a:     /* TCXONC */
    case 0x5409: return 1;
    case 0x5401:     /* TCGETS */
    case 0x5405:     /* TCGETA */
    case 0x802c542a: /* TCGETS2 */
    case 0x5413:     /* TIOCGWINSZ */
    case 0x540f:     /* TIOCGPGRP */
    case 0x541b:     /* FIONREAD */
    case 0x5411:     /* TIOCOUTQ */
    case 0x5429:     /* TIOCGSID */
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
    switch (number) {
    case 0x5401:
    case 0x5402:
    case 0x5403:
    case 0x5404: st_terminal(d, d->args[2], ST_TERMIOS); break;
    case 0x5405:
    case 0x5406:
    case 0x5407:
    case 0x5408: st_terminal(d, d->args[2], ST_TERMIO); break;
    case 0x802c542a:
    case 0x402c542b:
    case 0x402c542c:
    case 0x402c542d: st_terminal(d, d->args[2], ST_TERMIOS2); break;
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
        st_next(d, 1);
        request(d, number);
        if (when == 3) return 0;
        if (when == 2) {
            st_comma(d);
            return 0;
        }
        st_next(d, 2);
        if (when == 1)
            ioctl_argument(d, number);
        else
            st_put_hex(d->out, d->args[2]);
    } else if (when == 2) {
        st_label(d, 2);
        ioctl_argument(d, number);
    }
    return 0;
}
