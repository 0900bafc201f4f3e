/* Making sockets. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "text.h"

static void socket_type(struct st_decoder *d, uint32_t type)
{
    uint64_t flags = type & ~15u;
    st_set(d, ST_SET_SOCKET_TYPE, type & 15);
    if (!flags) return;
    st_putc(d->out, '|');
    st_set(d, ST_SET_SOCKET_FLAGS, flags);
}

static void socket_arguments(struct st_decoder *d)
{
    uint32_t family = ST_ARG32(d, 0), protocol = ST_ARG32(d, 2);
    st_arguments(d, 0, 1);
    st_next(d, 1);
    socket_type(d, ST_ARG32(d, 1));
    st_next(d, 2);
    switch (family) {
    case 2:
    case 10: st_set(d, ST_SET_INET_PROTOCOL, protocol); break;
    case 16: st_set(d, ST_SET_NETLINK_PROTOCOL, protocol); break;
    case 17:
        st_puts(d->out, "htons(");
        st_set(d, ST_SET_PACKET_PROTOCOL, ntohs((uint16_t)protocol));
        st_putc(d->out, ')');
        break;
    case 31: st_set(d, ST_SET_BLUETOOTH_PROTOCOL, protocol); break;
    default: st_put_unsigned(d->out, protocol);
    }
}

int st_call_socket(struct st_decoder *d)
{
    if (!d->exiting) socket_arguments(d);
    return 0;
}

int st_call_socketpair(struct st_decoder *d)
{
    if (!d->exiting) {
        socket_arguments(d);
        st_comma(d);
    } else {
        st_label(d, 3);
        st_print_fdpair(d, d->args[3], NULL);
    }
    return 0;
}
