# A database with a write-ahead log, window functions, an attached copy, an integrity check.
sqlite3 base.db <<'SQL'
pragma journal_mode = wal;
create table t (n integer primary key, square int, text);
with recursive c(n) as (select 1 union all select n + 1 from c where n < 5000)
insert into t select n, n * n, printf('%08x', n * 2654435761 % 4294967296) from c;
create index by_text on t (text);
select count(*), sum(square), min(text), max(text) from t;
select n, sum(square) over (order by n rows 3 preceding) from t where n between 98 and 101;
.backup copy.db
attach 'copy.db' as copy;
select count(*) from t join copy.t c using (text) where c.n % 7 = 0;
pragma integrity_check;
.mode json
select text, n from t order by text limit 2;
SQL
sqlite3 copy.db .dump | sha256sum
sqlite3 base.db 'select * from absent' 2>&1 || echo "sqlite3 says $?"
