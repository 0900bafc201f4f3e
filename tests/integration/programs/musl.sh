# Another libc, by its own interpreter and statically: the same sources.
musl-gcc -O2 -pthread -o dynamic threads.c && ./dynamic
musl-gcc -O2 -pthread -static -o static threads.c && ./static
musl-gcc -O2 -o dynamic identity.c && ./dynamic one two
musl-gcc -O2 -static -o static identity.c && (exec -a other ./static one two)
readelf -l dynamic | grep -o 'interpreter: .*ld-musl[^]]*'
