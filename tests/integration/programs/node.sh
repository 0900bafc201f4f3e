# Workers, children, a server with a client, streams, timers.
cat >job.js <<'J'
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { execFileSync, spawn } = require('child_process');
const crypto = require('crypto'), fs = require('fs'), http = require('http'), zlib = require('zlib');
if (!isMainThread) {
  let total = 0;
  for (let n = workerData; n < 100000; n += 4) total += n;
  parentPort.postMessage(total);
} else (async () => {
  const parts = await Promise.all([0, 1, 2, 3].map(n => new Promise((yes, no) =>
    new Worker(__filename, { workerData: n }).on('message', yes).on('error', no))));
  console.log('workers', parts.reduce((a, b) => a + b));
  console.log(execFileSync('sh', ['-c', 'echo from $((6 * 7))']).toString().trim());
  const child = spawn('tr', ['a-z', 'A-Z']);
  child.stdin.end('piped');
  for await (const piece of child.stdout) console.log(piece.toString());
  fs.writeFileSync('data', Buffer.alloc(1 << 20, 'node'));
  const data = await fs.promises.readFile('data');
  console.log(crypto.createHash('sha256').update(data).digest('hex'), zlib.gunzipSync(zlib.gzipSync(data)).equals(data));
  const server = http.createServer((request, answer) => answer.end(request.url.split('').reverse().join('')));
  await new Promise(yes => server.listen(0, '127.0.0.1', yes));
  const answers = await Promise.all([...Array(10).keys()].map(n =>
    fetch(`http://127.0.0.1:${server.address().port}/n${n}`).then(a => a.text())));
  console.log(answers.join(' '));
  server.close(); server.closeAllConnections();
  console.log(process.argv0, process.execPath, process.title);
})();
J
node job.js
