"""Tests psycopg through a proxy: pipelines, errors in pipelines, prepared statements, COPY, notifications, a cancel request."""

import sys

import psycopg

conninfo = sys.argv[1]

with psycopg.connect(conninfo, autocommit=True, prepare_threshold=0) as conn:
    conn.execute("create temp table t (n int primary key, b bytea, x text)")

    # A pipeline of a thousand statements and one Sync at its end.
    with conn.pipeline():
        cursors = []
        for n in range(1000):
            conn.execute("insert into t values (%s, %b, %t)", (n, bytes(range(256)), "é" * n))
            cursors.append(conn.execute("select %s::int * 2", (n,)))
        assert [cursor.fetchone()[0] for cursor in cursors] == [2 * n for n in range(1000)]

    # After an error, the server skips the statements up to the next Sync. The statements before the error are executed.
    try:
        with conn.pipeline() as pipeline:
            before = conn.execute("select 'before'")
            pipeline.sync()
            conn.execute("insert into t values (0)")
            conn.execute("select 'never'")
    except psycopg.errors.UniqueViolation:
        assert before.fetchone() == ("before",)
    else:
        raise AssertionError("the server accepted a key twice")
    assert conn.execute("select count(*) from t").fetchone() == (1000,)

    # psycopg runs executemany as a pipeline.
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into t values (%s) returning n", [(n,) for n in range(1000, 1500)], returning=True
        )
        returned = []
        while True:
            returned.append(cursor.fetchone()[0])
            if not cursor.nextset():
                break
    assert returned == list(range(1000, 1500))

    # Rows in binary format; rows by a cursor on the server; rows in single-row mode.
    with conn.cursor(binary=True) as cursor:
        rows = cursor.execute("select n, b, x from t where n < 1000 order by n").fetchall()
    assert rows == [(n, bytes(range(256)), "é" * n) for n in range(1000)]
    with conn.transaction(), conn.cursor(name="portal") as cursor:
        cursor.itersize = 7
        cursor.execute("select n from t order by n")
        assert [n for (n,) in cursor] == list(range(1500))
    rows = conn.cursor().stream("select n from t order by n")
    assert [n for (n,) in rows] == list(range(1500))

    # COPY in both directions, and a COPY that the client aborts.
    conn.execute("create temp table c (n int, x text)")
    with conn.cursor().copy("copy c from stdin (format binary)") as copy:
        copy.set_types(["int4", "text"])
        for n in range(10_000):
            copy.write_row((n, f"row {n}"))
    with conn.cursor().copy("copy c to stdout") as copy:
        assert [row for row in copy.rows()] == [(str(n), f"row {n}") for n in range(10_000)]
    try:
        with conn.cursor().copy("copy c from stdin") as copy:
            copy.write(b"1\tone\n")
            raise KeyError("enough")
    except (KeyError, psycopg.errors.QueryCanceled):
        pass
    assert conn.execute("select count(*) from c").fetchone() == (10_000,)

    # A notification that another session sends.
    conn.execute("listen ours")
    with psycopg.connect(conninfo, autocommit=True) as other:
        other.execute("notify ours, 'from the other side'")
    for notification in conn.notifies(timeout=60, stop_after=1):
        assert (notification.channel, notification.payload) == ("ours", "from the other side")
        break
    else:
        raise AssertionError("no notification arrived within 60 seconds")

    # A cancel request.
    try:
        conn.cancel_safe()
        conn.execute("select 1")
    except psycopg.errors.QueryCanceled:
        pass

print("ok")
