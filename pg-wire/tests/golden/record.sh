# Records the messages of the output plugin pgoutput of PostgreSQL 15 and 18 in two files in this folder, pgoutput-15.hex and
# pgoutput-18.hex. Each line is one message in hexadecimal. Run it with:
# cargo xtask with bash pg-wire/tests/golden/record.sh
set -e
here=$(cd "$(dirname "$0")" && pwd)
for v in 15 18; do
  addr=PG${v}_ADDR; addr=${!addr}; host=${addr%:*}; port=${addr##*:}
  P="psql -X -q -At -v ON_ERROR_STOP=1 -h $host -p $port -U admin -d test"
  parallel=on; proto=3; [ $v = 18 ] && parallel=parallel && proto=4
  $P <<SQL
set synchronous_commit = on;
create schema golden; set search_path to golden;
create type mood as enum ('happy', 'so-so');
create table by_key (id int primary key, n int, t text);
alter table by_key alter t set storage external;
create table by_row (a int8, m mood);
alter table by_row replica identity full;
create table by_index (u int2 not null, v numeric(6, 2));
create unique index by_index_u on by_index (u);
alter table by_index replica identity using index by_index_u;
create table by_nothing ("caf$(printf '\303\251')" bool, y bytea);
alter table by_nothing replica identity nothing;
create table wide (a int, pad text);
alter table wide alter pad set storage plain;
create publication golden for table by_key, by_row, by_index, by_nothing, wide (a);
select pg_create_logical_replication_slot('golden', 'pgoutput', false, true) \g /dev/null
begin;
insert into by_key values (1, null, repeat('x', 2100)), (2, -7, 'short');
update by_key set n = 8 where id = 1;
update by_key set id = 20 where id = 2;
delete from by_key where id = 20;
commit;
begin;
insert into by_row values (1, 'happy');
update by_row set m = 'so-so';
delete from by_row;
insert into by_index values (1, 1.5);
update by_index set u = 2;
insert into by_nothing values (true, '\x00ff');
select pg_logical_emit_message(true, 'prefix', 'with') \g /dev/null
truncate by_index, by_nothing restart identity cascade;
commit;
select pg_logical_emit_message(false, 'prefix', 'without') \g /dev/null
select pg_replication_origin_create('golden') \g /dev/null
select pg_replication_origin_session_setup('golden') \g /dev/null
begin;
select pg_replication_origin_xact_setup('0/ABC', '2026-01-01 00:00:00Z') \g /dev/null
insert into by_key values (5, 5, '');
commit;
select pg_replication_origin_session_reset() \g /dev/null
select pg_replication_origin_drop('golden') \g /dev/null
begin; insert into by_key values (6, 6, 'two'); prepare transaction 'golden 1'; commit prepared 'golden 1';
begin; insert into by_key values (7, 7, 'two'); prepare transaction 'golden 2'; rollback prepared 'golden 2';
begin;
insert into wide select g, repeat('x', 6000) from generate_series(1, 15) g;
savepoint s;
select pg_logical_emit_message(true, 'prefix', 'streamed') \g /dev/null
create type mood2 as enum ('new');
alter table by_row add column b mood2;
insert into by_row values (9, 'happy', 'new');
update by_row set m = 'so-so';
delete from by_row;
insert into wide select g, repeat('x', 6000) from generate_series(16, 30) g;
truncate wide;
release s;
commit;
begin; insert into wide select g, repeat('x', 6000) from generate_series(1, 15) g; prepare transaction 'golden 3'; commit prepared 'golden 3';
begin;
savepoint s;
insert into wide select g, repeat('x', 6000) from generate_series(1, 15) g;
rollback to s;
insert into wide select g, repeat('x', 6000) from generate_series(1, 15) g;
rollback;
set logical_decoding_work_mem = '64kB';
\o $here/pgoutput-$v.hex
select encode(data, 'hex') from pg_logical_slot_get_binary_changes('golden', null, null, 'proto_version', '$proto', 'publication_names', 'golden', 'messages', 'on', 'streaming', '$parallel', 'two_phase', 'on');
\o
select pg_drop_replication_slot('golden') \g /dev/null
SQL
done
