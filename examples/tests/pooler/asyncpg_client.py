"""Runs statements with asyncpg. Many sessions share few server connections."""

import asyncio
import sys

import asyncpg

address = dict(host=sys.argv[1], port=int(sys.argv[2]), user="scram", password="scram-secret", database="test", ssl=False)


async def work(number):
    conn = await asyncpg.connect(**address)
    statement = await conn.prepare("select $1::int + 1, x from items where n = $2")
    for n in range(100):
        key = number * 1000 + n
        async with conn.transaction():
            await conn.execute("insert into items values ($1, $2, $3)", key, bytes(range(256)), "é" * n)
            assert tuple(await statement.fetchrow(n, key)) == (n + 1, "é" * n)
        assert await conn.fetchval("select b from items where n = $1", key) == bytes(range(256))
        await asyncio.sleep(0)
    await conn.executemany("insert into items (n) values ($1)", [(number * 1000 + n,) for n in range(100, 200)])
    async with conn.transaction():
        rows = [row["n"] async for row in conn.cursor("select n from items where n / 1000 = $1 order by n", number, prefetch=7)]
    assert rows == [number * 1000 + n for n in range(200)]
    try:
        await conn.execute("insert into items values ($1)", number * 1000)
        raise AssertionError("a duplicate key is accepted")
    except asyncpg.UniqueViolationError:
        pass
    try:
        await asyncio.wait_for(conn.fetch("select pg_sleep(60)"), timeout=0.5)
        raise AssertionError("not cancelled")
    except asyncio.TimeoutError:
        pass
    assert await conn.fetchval("select $1::text", "fine") == "fine"
    await conn.close()


async def main():
    await asyncio.gather(*(work(number) for number in range(12)))
    conn = await asyncpg.connect(**address)
    assert await conn.fetchval("select count(*) from items") == 12 * 200
    await conn.execute("truncate items")
    # asyncpg's pool resets each connection that is returned to it.
    async with asyncpg.create_pool(min_size=3, max_size=6, **address) as pool:
        for _ in range(5):
            values = await asyncio.gather(*(pool.fetchval("select $1::int", n) for n in range(50)))
            assert values == list(range(50))
    await conn.close()


asyncio.run(main())
print("ok")
