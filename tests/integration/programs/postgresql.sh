# A cluster made, started, asked and stopped; as root it becomes an ordinary user first, as the server insists.
if [ "$(id -u)" = 0 ]; then
    chown 65534:65534 .
    exec setpriv --reuid 65534 --regid 65534 --clear-groups bash -euo pipefail "$0"
fi
bin=$(echo /usr/lib/postgresql/*/bin | cut -d' ' -f1)
export PGHOST="$PWD" PGUSER=tester PGDATA="$PWD/data" PGDATABASE=postgres TZ=UTC
"$bin/initdb" --no-sync -A trust -U tester --locale=C -E UTF8 >log
"$bin/pg_ctl" -w -s -l server.log -o "-F -c listen_addresses= -c unix_socket_directories=$PWD" start
trap '"$bin/pg_ctl" -s -m immediate stop' ERR
psql -X -q 2>&1 <<'SQL'
create table t (n int primary key, text text);
insert into t select n, md5(n::text) from generate_series(1, 20000) n;
analyze t;
select sum(n), count(distinct text), max(text) from t;
begin; delete from t where n % 2 = 0; rollback;
set force_parallel_mode = on;
select count(*) from t a join t b using (text) where a.text like '%f0%';
reset force_parallel_mode;
create function f(i int) returns int language plpgsql as 'begin return i * i; exception when others then return -1; end';
select sum(f(n)) from t where n < 100;
copy (select * from t order by text limit 2) to stdout;
select 1 / 0;
SQL
"$bin/pg_dump" --schema-only | grep -c 'CREATE'
"$bin/pg_ctl" -s -w -m fast stop
"$bin/pg_controldata" | grep 'cluster state'
