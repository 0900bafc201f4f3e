# $PYTHON: threads, children of each kind, asyncio with processes, a pool that is spawned.
cat >job.py <<'P'
import asyncio, hashlib, multiprocessing, os, signal, sqlite3, subprocess, sys, threading, concurrent.futures

def square(n):
    return n * n

async def ask(n):
    process = await asyncio.create_subprocess_exec("sh", "-c", f"echo $(({n} * 3))", stdout=subprocess.PIPE)
    return int((await process.communicate())[0])

async def all_of_them():
    return sum(await asyncio.gather(*map(ask, range(10))))

def main():
    print(hashlib.sha256(b"python" * 1000).hexdigest())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        print("threads", sum(pool.map(lambda n: int(subprocess.check_output(["echo", str(n)])), range(24))))
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, sum(pool.map(square, range(100))))
    print("asyncio", asyncio.run(all_of_them()))
    print(subprocess.run([sys.executable, "-c", "import sys; print(sys.argv); sys.exit(5)", "a b"]).returncode, flush=True)
    print(subprocess.run(["./absent"], stderr=subprocess.PIPE).returncode if os.path.exists("absent") else "no such program")
    try:
        subprocess.run(["./absent"])
    except FileNotFoundError as error:
        print(error)
    print(subprocess.run("kill -9 $$", shell=True).returncode, os.system("exit 3") >> 8)
    seen = threading.Event()
    signal.signal(signal.SIGALRM, lambda *_: seen.set())
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    print("alarm", seen.wait(100))
    base = sqlite3.connect(":memory:")
    print(base.execute("with recursive c(n) as (select 1 union all select n+1 from c where n < 999) select sum(n) from c").fetchall())
    print(sys.executable, sys.argv, os.path.realpath("/proc/self/exe") == os.path.realpath(sys.executable))

if __name__ == "__main__":
    main()
P
"$PYTHON" job.py
"$PYTHON" -m zipfile -c packed.zip job.py && "$PYTHON" -m zipfile -l packed.zip | cut -d' ' -f1
printf '#!%s\nimport sys; print(sys.argv)\n' "$PYTHON" >script; chmod +x script; ./script one two
