# Preprocessor, compiler proper, assembler, linker, LTO's wrapper; then what came out.
cat >prime.h <<'C'
int primes_below(int n);
C
cat >prime.c <<'C'
#include "prime.h"
static int is_prime(int n) { for (int d = 2; d * d <= n; d++) if (n % d == 0) return 0; return n > 1; }
int primes_below(int n) { int count = 0; for (int i = 0; i < n; i++) count += is_prime(i); return count; }
C
cat >main.c <<'C'
#include <stdio.h>
#include "prime.h"
int main(void) { printf("%d primes\n", primes_below(10000)); return 0; }
C
for options in -O0 '-O2 -g' '-O2 -flto=2' '-O1 -pipe'; do
    gcc $options -Wall -Werror -o program main.c prime.c
    ./program
done
gcc -O2 -c prime.c -o prime.o
sha256sum <prime.o
nm prime.o
echo 'int main(void) { return undeclared; }' >wrong.c
gcc -c wrong.c 2>&1 || echo "gcc says $?"
