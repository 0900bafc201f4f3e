# A master with two workers, over loopback and a Unix socket, reloaded while it serves.
mkdir page tmp
seq 20000 >page/numbers
echo first >page/index.html
cat >conf <<N
pid $PWD/pid; error_log $PWD/error.log; worker_processes 2; daemon on;
events { worker_connections 64; }
http {
    access_log $PWD/access.log; sendfile on;
    client_body_temp_path tmp/body; proxy_temp_path tmp/proxy; fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi; scgi_temp_path tmp/scgi;
    server {
        listen unix:$PWD/socket; listen 127.0.0.1:$PORT;
        root $PWD/page; gzip on; gzip_min_length 1; gzip_types *;
        location /proxied/ { proxy_pass http://127.0.0.1:$PORT/; }
    }
}
N
run() { nginx -e "$PWD/error.log" -p "$PWD" -c "$PWD/conf" "$@"; }
run -t 2>&1 | sed 's/.* the/the/'
if [ "$(id -u)" = 0 ]; then chmod -R a+rwX .; fi
run
until [ -s pid ]; do sleep 0.02; done
curl -sS --unix-socket socket http://localhost/
curl -sS "http://127.0.0.1:$PORT/proxied/numbers" | sha256sum
curl -sS --compressed "http://127.0.0.1:$PORT/numbers" | sha256sum
curl -sS -r 100-120 "http://127.0.0.1:$PORT/numbers"; echo
curl -sS -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$PORT/absent"
echo second >page/index.html
run -s reload
sleep 0.2
for n in $(seq 10); do curl -sS "http://127.0.0.1:$PORT/"; done | sort | uniq -c
master=$(cat pid)
run -s quit
while kill -0 "$master" 2>/dev/null; do sleep 0.02; done
cut -d'"' -f2 access.log | sort | uniq -c
