# What a program sees of itself, however it was started.
gcc -O2 -o identity identity.c
mkdir bin; ln -s ../identity bin/linked
./identity one 'two words' ''
"$PWD/identity"
(cd bin && ../identity; ./linked)
PATH="$PWD/bin" linked by-path
(exec -a '-other name' ./identity x)
(exec -a '' ./identity)
env -i ./identity
env -i ONLY=this "$PWD/bin/linked" y
env -i bash -c './identity from-bash'
./identity exec ./identity a b
./identity fexecve ./identity a b
./identity memfd ./identity a b
./identity execveat ./identity a b
./identity empty-argv ./identity
./identity thread ./identity a b
./identity vfork ./identity a b
./identity children
./identity exec /proc/self/exe a b
PATH="$PWD/bin:$PATH" bash -c 'ulimit -n 64; linked exec /proc/self/exe c'
