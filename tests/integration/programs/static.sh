# Programs that bring no interpreter: at a fixed address, and anywhere.
for how in -static -static-pie; do
    gcc -O2 -pthread "$how" -o threads threads.c && ./threads
    gcc -O2 "$how" -o identity identity.c && ./identity one two
    (exec -a other ./identity) && env -i A=1 ./identity && ./identity exec "$PWD/identity"
done
