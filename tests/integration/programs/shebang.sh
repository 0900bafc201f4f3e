# Interpreter lines: with and without an argument, through scripts, to the kernel's limit and beyond, and broken ones.
gcc -O2 -o identity identity.c
make_script() { printf '#!%s\n' "$2" >"$1"; chmod +x "$1"; }
make_script plain "$PWD/identity"
make_script argument "  $PWD/identity  -x and more  "
make_script one "$PWD/plain"; make_script two "$PWD/one"; make_script three "$PWD/two"; make_script four "$PWD/three"; make_script five "$PWD/four"
for name in plain argument one two three four five; do
    echo "== $name"
    ./identity exec "./$name" a b 2>&1 || echo "says $?"
done
(exec -a other ./plain z)
PATH="$PWD:$PATH" argument by-path
make_script absent /nonexistent/interpreter
make_script directory /usr
make_script empty ''
make_script long "$(printf 'x%.0s' {1..400})"
make_script long-argument "$PWD/identity $(printf 'y%.0s' {1..400})"
printf 'not a program\n' >text; chmod +x text
cp identity no-permission; chmod -x no-permission
head -c 70 identity >cut; chmod +x cut
: >nothing; chmod +x nothing
ln -s loop loop
for name in absent directory empty long long-argument text no-permission cut nothing loop missing ..; do
    echo "== $name"
    ./identity exec "./$name" a 2>&1 || echo "says $?"
done
printf '#!/usr/bin/env -S bash -e\necho "env -S: $0 $*"\n' >env-script; chmod +x env-script; ./env-script 1 2
printf 'echo "no line: $0 $*"\n' >no-line; chmod +x no-line; ./no-line 1 2
