# A file, and a server on loopback: several transfers at once in threads, ranges, a form.
seq 5000 >numbers
cat >server.py <<'P'
import http.server
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200); self.send_header('X-Length', str(len(body))); self.end_headers(); self.wfile.write(body[::-1])
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
open('port.new', 'w').write(str(server.server_port))
__import__('os').rename('port.new', 'port')
server.serve_forever()
P
/usr/bin/python3 server.py & server=$!
while [ ! -s port ]; do sleep 0.02; done
url="http://127.0.0.1:$(cat port)"
curl -sS "file://$PWD/numbers" | sha256sum
curl -sS "$url/numbers" | sha256sum
curl -sS --no-progress-meter -Z -o out1 "$url/numbers" -o out2 "$url/numbers" -o out3 "$url/server.py"
cat out1 out2 out3 | sha256sum
curl -sS -D - -d 'form=stressed' "$url/" | grep -v -e ^Date -e ^Server
echo
curl -sS --resolve "made.up:${url##*:}:127.0.0.1" -o /dev/null -w '%{http_code} %{size_download}\n' "http://made.up:${url##*:}/absent"
curl -sS http://127.0.0.1:1/ 2>&1 | sed 's/after [0-9]* ms/after some ms/' || true
kill "$server"
