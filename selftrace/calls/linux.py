"""Linux's numbers, whatever system this runs on: policies are explained elsewhere too, where AF_INET6 is another number.

Source: bits/socket.h, netinet/in.h; the same on all of Linux's architectures that selftrace is for.
"""

AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10
SOCK_STREAM, SOCK_DGRAM = 1, 2
SOCK_NONBLOCK, SOCK_CLOEXEC = 0o4000, 0o2000000
IPPROTO_TCP, IPPROTO_UDP = 6, 17
