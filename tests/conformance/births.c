/* Threads that live on and make threads that end at once, more often than there are blocks: each gets its own argument. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAKERS = 24, ROUNDS = 1500 };

static void *born(void *own)
{
    return own;
}

static void *makes(void *unused)
{
    for (int n = 0; n < ROUNDS; n++) {
        pthread_t thread;
        void *result = NULL;
        int r = pthread_create(&thread, NULL, born, &result);
        if (!r) r = pthread_join(thread, &result);
        if (!r && result == &result) continue;
        fprintf(stderr, "error %d of number %d, %p for %p\n", r, n, result, (void *)&result);
        exit(1);
    }
    return unused;
}

int main(void)
{
    pthread_t makers[MAKERS];
    for (int n = 0; n < MAKERS; n++) pthread_create(&makers[n], NULL, makes, NULL);
    for (int n = 0; n < MAKERS; n++) pthread_join(makers[n], NULL);
    printf("%d threads\n", MAKERS * ROUNDS);
    return 0;
}
