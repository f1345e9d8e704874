"""Runs statements with psycopg. Many sessions share few server connections."""

import sys
import threading
import time

import psycopg

conninfo = f"host={sys.argv[1]} port={sys.argv[2]} user=scram password=scram-secret dbname=test sslmode=disable"


def work(number):
    with psycopg.connect(conninfo, autocommit=True, prepare_threshold=0, application_name=f"worker {number}") as conn:
        for n in range(100):
            key = number * 1000 + n
            with conn.transaction():
                conn.execute("insert into items values (%s, %b, %t)", (key, bytes(range(256)), "é" * n))
                assert conn.execute("show application_name").fetchone() == (f"worker {number}",)
            assert conn.execute("select x from items where n = %s", (key,)).fetchone() == ("é" * n,)
        with conn.pipeline():
            cursors = [conn.execute("select %s::int * 2", (n,)) for n in range(500)]
        assert [cursor.fetchone()[0] for cursor in cursors] == [2 * n for n in range(500)]
        # Checks that after an error the server discards the statements up to the next Sync, but no statements before or after them.
        for _ in range(3):
            with conn.pipeline() as pipeline:
                before = conn.execute("select 'before'")
                pipeline.sync()
                for statement in (f"insert into items values ({number * 1000})", f"select 'never {number}'"):
                    try:
                        conn.execute(statement)
                    except (psycopg.errors.UniqueViolation, psycopg.errors.PipelineAborted):
                        pass
                try:
                    pipeline.sync()
                # The first of the two errors has been raised by `execute` already if its reply arrived early.
                except (psycopg.errors.UniqueViolation, psycopg.errors.PipelineAborted):
                    pass
                after = conn.execute("select 'after'")
            assert (before.fetchone(), after.fetchone()) == (("before",), ("after",))
        with conn.cursor() as cursor, cursor.copy("copy items (n, x) from stdin") as copy:
            for n in range(100, 200):
                copy.write_row((number * 1000 + n, f"copied {n}"))
        with conn.cursor(name="c") as cursor, conn.transaction():
            cursor.execute("select n from items where n / 1000 = %s order by n", (number,))
            assert [n for (n,) in cursor] == [number * 1000 + n for n in range(200)]


failures = []


def guarded(number):
    try:
        work(number)
    except BaseException as error:
        failures.append((number, error))


threads = [threading.Thread(target=guarded, args=(number,)) for number in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures

with psycopg.connect(conninfo, autocommit=True) as conn:
    assert conn.execute("select count(*) from items").fetchone() == (12 * 200,)
    try:
        conn.execute("listen news")
        raise AssertionError("LISTEN is accepted")
    except psycopg.errors.FeatureNotSupported as error:
        assert "LISTEN needs a session" in str(error)

    threading.Timer(0.5, conn.cancel_safe).start()
    begun = time.monotonic()
    try:
        conn.execute("select pg_sleep(60)")
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        assert time.monotonic() - begun < 30
    conn.execute("truncate items")

print("ok")
