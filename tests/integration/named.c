/* Calls of many kinds behind chdir("."): what is decoded by a table, by a printer, on entry, on exit, and what is unknown. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void)
{
    static unsigned word;
    char text[8];
    int pair[2], file;
    chdir(".");
    file = open("here", O_RDONLY);
    read(file, text, 5);
    lseek(file, 0, SEEK_SET);
    fcntl(file, F_GETFD);
    fcntl(file, F_SETFD, FD_CLOEXEC);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    write(pair[0], "hi", 2);
    prctl(PR_SET_NAME, "other");
    prctl(PR_GET_DUMPABLE);
    syscall(SYS_futex, &word, FUTEX_WAKE_BITSET, 1, 0, 0, 2);
    syscall(SYS_getpid);
    syscall(999, 1, 2, 3, 4, 5, 6);
    _exit(open("nowhere", O_RDONLY) < 0 ? 0 : 1);
}
