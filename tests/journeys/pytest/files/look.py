import app

import selftrace

with selftrace.tracing("fsync,rename") as trace:
    app.save_whole("/tmp/journey-of-selftrace", "new")
for event in trace.events:
    print(event.name, event.paths, event.result)
