"""A script as people write them: imports, a directory walked, files read and written, a small database."""

import collections
import csv
import json
import os
import sqlite3
import tempfile

sizes = collections.Counter()
for directory, _, names in os.walk(os.path.dirname(json.__file__)):
    for name in names:
        path = os.path.join(directory, name)
        sizes[os.path.splitext(name)[1]] += os.stat(path).st_size
        if name.endswith(".py"):
            with open(path, encoding="utf-8") as file:
                sizes["lines"] += sum(1 for _ in file)

with tempfile.TemporaryDirectory() as place:
    with open(os.path.join(place, "a.csv"), "w", newline="") as file:
        csv.writer(file).writerows((n, n * n) for n in range(1000))
    with open(os.path.join(place, "a.csv"), newline="") as file:
        rows = list(csv.reader(file))
    base = sqlite3.connect(os.path.join(place, "a.db"))
    base.execute("pragma synchronous = off")  # what a disk takes is another question
    base.execute("create table squares (n, square)")
    for start in range(0, 1000, 100):
        with base:
            base.executemany("insert into squares values (?, ?)", rows[start : start + 100])
    print(base.execute("select sum(square) from squares").fetchone()[0])
    base.close()
