#!/bin/sh
# A redis server on a socket in a directory of its own, and redis-benchmark, which asks it 2,000 things. Both are traced.
set -e
place=$(mktemp -d /tmp/selftrace-redis.XXXXXX)
trap 'rm -rf "$place"' EXIT
redis-server --port 0 --unixsocket "$place/socket" --save "" --appendonly no --dir "$place" --daemonize no >/dev/null &
server=$!
until redis-cli -s "$place/socket" ping >/dev/null 2>&1; do sleep 0.05; done
redis-benchmark -s "$place/socket" -t set -n 2000 -c 10 -q >/dev/null
redis-cli -s "$place/socket" shutdown nosave >/dev/null 2>&1 || true
wait $server
echo done
