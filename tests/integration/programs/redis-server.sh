# A server with its io threads and a forked saver, asked by its own client.
ask() { redis-cli -s "$PWD/redis" "$@"; }
redis-server --port 0 --unixsocket "$PWD/redis" --dir "$PWD" --io-threads 2 --save '' --appendonly yes --daemonize no \
    --set-proc-title no >log 2>&1 &
server=$!
until [ "$(ask ping 2>/dev/null)" = PONG ]; do sleep 0.05; done
seq 1000 | sed 's/.*/RPUSH numbers &/' | redis-cli -s "$PWD/redis" --pipe | tail -n 1
ask LRANGE numbers 497 499
ask EVAL 'local s = 0 for _, n in ipairs(redis.call("LRANGE", "numbers", 0, -1)) do s = s + n end return s' 0
ask SADD set c a b; ask SORT set ALPHA
ask BGSAVE
until ask INFO persistence | grep -q 'rdb_bgsave_in_progress:0'; do sleep 0.05; done
ask INFO persistence | grep -o 'rdb_last_bgsave_status:ok'
ask --no-raw INCRBY counter 42
ask SHUTDOWN NOSAVE || true
wait "$server"
redis-check-rdb dump.rdb | grep -c 'RDB looks OK'
grep -ci 'ready to accept connections' log
