"""Tests psycopg and asyncpg with a hidden column: prepared statements, pipelines and both formats."""

import asyncio
import sys

import asyncpg
import psycopg

host, port = sys.argv[1], int(sys.argv[2])

conninfo = f"host={host} port={port} user=scram password=scram-secret dbname=test sslmode=disable"
with psycopg.connect(conninfo, autocommit=True, prepare_threshold=0) as conn:
    for binary in (False, True):
        for n in range(3):
            row = conn.execute("select n, secret, code as n2 from masked where n = %s", (n,), binary=binary).fetchone()
            assert row == (n, "***", n), row
    names = [name for (name,) in conn.execute("select name from pg_prepared_statements")]
    assert names and all(name.startswith("masked__pg3_") for name in names), names

    # Statements with and without the hidden column, in one pipeline. The second statement fails.
    with conn.pipeline() as pipeline:
        first = conn.execute("select secret from masked where n = 1")
        pipeline.sync()
        # The error is raised by the first call after its reply has arrived.
        for call in (
            lambda: conn.execute("select 1 / 0"),
            lambda: conn.execute("select secret from masked where n = 2"),
            pipeline.sync,
        ):
            try:
                call()
            except (psycopg.errors.DivisionByZero, psycopg.errors.PipelineAborted):
                pass
        last = conn.execute("select 'open' as shown, secret from masked where n = 2")
    assert first.fetchone() == ("***",)
    assert last.fetchone() == ("open", "***")

    # The values of a hidden column that is not text are NULL.
    assert conn.execute("select n as secret from masked where n = 1").fetchone() == (None,)


async def main():
    conn = await asyncpg.connect(
        host=host, port=port, user="scram", password="scram-secret", database="test", ssl=False
    )
    for n in range(3):
        row = await conn.fetchrow("select n, secret from masked where n = $1", n)
        assert tuple(row) == (n, "***"), row
    # A cursor is a portal with a name. Its rows arrive in several pieces.
    async with conn.transaction():
        rows = [row["secret"] async for row in conn.cursor("select secret from masked", prefetch=2)]
    assert rows == ["***"] * 5, rows
    statements = await conn.fetch("select name from pg_prepared_statements")
    assert statements and all(row["name"].startswith("masked___asyncpg_") for row in statements), statements
    await conn.close()


asyncio.run(main())
print("masked")
