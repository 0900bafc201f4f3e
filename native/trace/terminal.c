/* struct termio, termios and termios2: a terminal's modes. */
#include "text.h"

#define ST_CBAUD 0x100fu
#define ST_CSIZE 0x30u
#define ST_IBSHIFT 16 /* where c_cflag has the speed of input, 0: that of output */

/* Names of bits; nothing at all if there are none, as strace has it. */
static void bits(struct st_decoder *d, unsigned set, uint64_t value)
{
    if (value) st_set(d, set, value);
}

static void speed(struct st_decoder *d, uint32_t flags)
{
    const char *name = st_lookup(&st_sets[ST_SET_TC_BAUD], flags & ST_CBAUD);
    if (name)
        st_puts(d->out, name);
    else
        st_putf(d->out, "%#x /* B??? */", flags & ST_CBAUD);
}

static void control_flags(struct st_decoder *d, uint32_t flags)
{
    uint64_t left = flags & ~(ST_CBAUD | ST_CBAUD << ST_IBSHIFT | ST_CSIZE);
    speed(d, flags);
    if (flags & ST_CBAUD << ST_IBSHIFT) {
        st_putc(d->out, '|');
        speed(d, flags >> ST_IBSHIFT);
        st_puts(d->out, "<<IBSHIFT");
    }
    st_putc(d->out, '|');
    st_puts(d->out, st_lookup(&st_sets[ST_SET_TC_SIZE], flags & ST_CSIZE));
    st_putc(d->out, '|');
    bits(d, ST_SET_TC_CFLAG, left);
}

static void output_flags(struct st_decoder *d, uint32_t flags)
{
    uint64_t left = flags & ~0177400u;
    st_putf(d->out, "NL%u|CR%u|", flags >> 8 & 1, flags >> 9 & 3);
    if ((flags >> 11 & 3) == 3)
        st_puts(d->out, "XTABS");
    else
        st_putf(d->out, "TAB%u", flags >> 11 & 3);
    st_putf(d->out, "|BS%u|VT%u|FF%u|", flags >> 13 & 1, flags >> 14 & 1, flags >> 15 & 1);
    bits(d, ST_SET_TC_OFLAG, left);
}

static void characters(struct st_decoder *d, const uint8_t *at, unsigned count)
{
    static const char *const names[] = {"VINTR", "VQUIT", "VERASE", "VKILL",    "VEOF",     "VTIME",   "VMIN",   "VSWTC", "VSTART",
                                        "VSTOP", "VSUSP", "VEOL",   "VREPRINT", "VDISCARD", "VWERASE", "VLNEXT", "VEOL2"};
    st_puts(d->out, "c_cc=[");
    for (unsigned i = 0; i < count; i++) {
        if (i < sizeof names / sizeof *names)
            st_putf(d->out, "%s[%s]=%#x", i ? ", " : "", names[i], at[i]);
        else
            st_putf(d->out, ", [%u]=%#x", i, at[i]);
    }
    st_putc(d->out, ']');
}

/* What only -v shows. at: c_line. */
static void details(struct st_decoder *d, const uint8_t *at, enum st_terminal kind)
{
    st_puts(d->out, ", c_line=");
    st_set(d, ST_SET_TC_LINE, at[0]);
    st_comma(d);
    characters(d, at + 1, kind == ST_TERMIO ? 8 : 19);
    if (kind == ST_TERMIOS2) st_putf(d->out, ", c_ispeed=%u, c_ospeed=%u", st_load32(at + 20), st_load32(at + 24));
}

void st_terminal(struct st_decoder *d, uint64_t address, enum st_terminal kind)
{
    unsigned size = kind == ST_TERMIO ? 2 : 4;
    const uint8_t *at = address && !d->failed && !d->pointers ? st_see(d, address, kind) : NULL;
    if (!at) {
        st_address(d, address);
        return;
    }
    st_puts(d->out, "{c_iflag=");
    bits(d, ST_SET_TC_IFLAG, st_load(at, size));
    st_puts(d->out, ", c_oflag=");
    output_flags(d, (uint32_t)st_load(at + size, size));
    st_puts(d->out, ", c_cflag=");
    control_flags(d, (uint32_t)st_load(at + 2 * size, size));
    st_puts(d->out, ", c_lflag=");
    bits(d, ST_SET_TC_LFLAG, st_load(at + 3 * size, size));
    if (d->abbrev)
        st_puts(d->out, ", ...");
    else
        details(d, at + 4 * size, kind);
    st_putc(d->out, '}');
}
