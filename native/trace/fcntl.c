/* fcntl: its command decides what the last argument is. */
#include <string.h>

#include "text.h"

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
        st_next(d, 2);
        st_set(d, ST_SET_FD_FLAGS, ST_ARG32(d, 2));
        break;
    case ST_F_SETOWN:
    case ST_F_SETPIPE_SZ:
    case ST_F_DUPFD:
    case ST_F_DUPFD_CLOEXEC:
        st_next(d, 2);
        st_put_signed(d->out, (int32_t)d->args[2]);
        break;
    case ST_F_DUPFD_QUERY:
        st_next(d, 2);
        st_fd(d, (int32_t)d->args[2]);
        break;
    case ST_F_SETFL:
        st_next(d, 2);
        st_print_open_flags(d, d->args[2], &none);
        break;
    case ST_F_SETLK:
    case ST_F_SETLKW:
    case ST_F_OFD_SETLK:
    case ST_F_OFD_SETLKW:
    case ST_F_CANCELLK:
        st_next(d, 2);
        st_point(d, command == ST_F_CANCELLK ? ST_STRUCT_FLOCKPID : ST_STRUCT_FLOCK, d->args[2]);
        break;
    case ST_F_SETOWN_EX:
        st_next(d, 2);
        st_point(d, ST_STRUCT_OWNER, d->args[2]);
        break;
    case ST_F_SETSIG:
        st_next(d, 2);
        st_signal(d, d->args[2]);
        break;
    case ST_F_SETLEASE:
        st_next(d, 2);
        st_set(d, ST_SET_LEASE, ST_ARG32(d, 2));
        break;
    case ST_F_NOTIFY:
        st_next(d, 2);
        st_set(d, ST_SET_NOTIFY_FLAGS, ST_ARG32(d, 2));
        break;
    case ST_F_ADD_SEALS:
        st_next(d, 2);
        st_set(d, ST_SET_SEALS, ST_ARG32(d, 2));
        break;
    case ST_F_SET_RW_HINT:
    case ST_F_SET_FILE_RW_HINT:
        st_next(d, 2);
        hint(d);
        break;
    case ST_F_GETFD:
    case ST_F_GETFL:
    case ST_F_GETOWN:
    case ST_F_GETSIG:
    case ST_F_GETLEASE:
    case ST_F_GETPIPE_SZ:
    case ST_F_GET_SEALS: break;
    case ST_F_GETLK:
    case ST_F_OFD_GETLK:
    case ST_F_GETOWN_EX:
    case ST_F_GETOWNER_UIDS:
    case ST_F_GET_RW_HINT:
    case ST_F_GET_FILE_RW_HINT: st_comma(d); break;
    default: st_next(d, 2); st_put_hex(d->out, d->args[2]);
    }
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
    st_note(d, &text);
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
        st_label(d, 2);
        if (d->failed)
            st_address(d, d->args[2]);
        else
            st_point(d, ST_STRUCT_FLOCKPID, d->args[2]);
        break;
    case ST_F_GETOWN_EX:
        st_label(d, 2);
        if (d->failed)
            st_address(d, d->args[2]);
        else
            st_point(d, ST_STRUCT_OWNER, d->args[2]);
        break;
    case ST_F_GETOWNER_UIDS: {
        const uint8_t *at = d->failed || !d->args[2] ? NULL : st_see(d, d->args[2], 8);
        st_label(d, 2);
        if (at)
            st_putf(d->out, "[%u, %u]", st_load32(at), st_load32(at + 4));
        else
            st_address(d, d->args[2]);
        break;
    }
    case ST_F_GET_RW_HINT:
    case ST_F_GET_FILE_RW_HINT:
        st_label(d, 2);
        hint(d);
        break;
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
