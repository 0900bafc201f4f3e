/* A server with many threads that counts the signals it gets: `server THREADS` prints its port, answers each line with the
 * number of signals so far, and ends when it is told "end". */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned signals;
static int listener;

static void on_signal(int number)
{
    (void)number;
    __atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED);
}

static void *serve(void *unused)
{
    for (;;) {
        char line[64], answer[64];
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        ssize_t n = 0, got;
        while (n < (ssize_t)sizeof line && (got = read(fd, line + n, sizeof line - (size_t)n)) != 0) {
            if (got > 0) n += got;
            if (n && line[n - 1] == '\n') break;
        }
        if (!strncmp(line, "end", 3)) _exit(0);
        int size = snprintf(answer, sizeof answer, "%u\n", __atomic_load_n(&signals, __ATOMIC_RELAXED));
        while (write(fd, answer, (size_t)size) < 0) {}
        close(fd);
    }
    return unused;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    sigaction(SIGRTMIN, &action, NULL);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &length);
    for (int i = 1; argc > 1 && i < atoi(argv[1]); i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, serve, NULL);
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    serve(NULL);
}
