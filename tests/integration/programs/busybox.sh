# One static program under twenty names, found through links and through its own exec of /proc/self/exe.
mkdir bin
busybox --install -s bin
cat >job.sh <<'B'
seq 300 | awk '{ s += $1 * $1 } END { print s }'
seq 300 | sed -n '/7$/p' | sort -rn | head -n 3 | tr '\n' ' '; echo
mkdir tree; for n in 1 2 3; do echo "text $n" >tree/$n; done
tar -cf - tree | gzip -9 | gunzip | tar -tf - | sort
find tree -type f -exec md5sum {} + | sort
echo 'obase=16; 48879' | bc
printf 'x%.0s' $(seq 1000) | sha256sum
httpd -f -p 127.0.0.1:$PORT -h tree & server=$!
until wget -q -O /dev/null http://127.0.0.1:$PORT/1 2>/dev/null; do usleep 20000; done
wget -q -O - http://127.0.0.1:$PORT/2
kill $server
ls tree | xargs -n 1 -P 3 basename | sort
readlink /proc/self/exe
B
PATH="$PWD/bin" busybox sh job.sh
busybox sh -c "cat /proc/self/comm"
