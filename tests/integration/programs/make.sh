# Twelve objects by two jobs at a time through the jobserver, a recursive make, and nothing to do the second time.
for n in $(seq 12); do echo "int f$n(void) { return $n * $n; }" >"part$n.c"; done
{
    for n in $(seq 12); do echo "int f$n(void);"; done
    echo '#include <stdio.h>'
    echo 'int main(void) { printf("%d\n", f1()'
    for n in $(seq 2 12); do echo " + f$n()"; done
    echo '); return 0; }'
} >main.c
cat >Makefile <<'M'
objects := $(patsubst %.c,%.o,main.c $(sort $(wildcard part*.c)))
all: program
	@$(MAKE) --no-print-directory -s report
program: $(objects)
	@$(CC) -o $@ $^
%.o: %.c
	@$(CC) -O1 -c -o $@ $<
report:
	@echo "sum $(shell ./program) of $(words $(objects)) objects"
M
make -j2
make -j2 -q program && echo "up to date"
