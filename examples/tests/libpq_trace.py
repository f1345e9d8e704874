"""Runs a conversation with a server by libpq, and prints libpq's own trace (PQtrace) to standard output.

libpq_trace.py CONVERSATION CONNINFO

CONVERSATION is the name of a function in this file. The environment variable TRACE_FLAGS has the flags for PQsetTraceFlags; by
default timestamps are left out and secrets are shown. An unexpected result in the conversation is an exception.
"""

import ctypes
import glob
import os
import select
import sys

import psycopg
from psycopg import pq
from psycopg.pq import ConnStatus, ExecStatus, PollingStatus, Trace, TransactionStatus

ALL_BYTES = bytes(range(256))


def connect(conninfo):
    """Starts a connection that is traced from its first byte: PQconnectStart has not sent any byte yet."""
    conn = pq.PGconn.connect_start(conninfo.encode())
    assert conn.status != ConnStatus.BAD, conn.error_message
    conn.trace(1)
    conn.set_trace_flags(Trace(int(os.environ.get("TRACE_FLAGS", Trace.SUPPRESS_TIMESTAMPS))))
    return conn


def establish(conn):
    """Finishes connecting. Returns whether the connection is open."""
    state = PollingStatus.WRITING
    while state not in (PollingStatus.OK, PollingStatus.FAILED):
        wait = [conn.socket]
        reading = state == PollingStatus.READING
        select.select(wait if reading else [], [] if reading else wait, [])
        state = conn.connect_poll()
    return state == PollingStatus.OK


def session(conninfo):
    conn = connect(conninfo)
    assert establish(conn), conn.error_message
    return conn


def expect(result, *statuses):
    assert result.status in statuses, (ExecStatus(result.status).name, result.error_message)
    return result


def run(conn, sql):
    return expect(
        conn.exec_(sql),
        ExecStatus.TUPLES_OK,
        ExecStatus.COMMAND_OK,
        ExecStatus.EMPTY_QUERY,
        ExecStatus.COPY_IN,
        ExecStatus.COPY_OUT,
        ExecStatus.COPY_BOTH,
    )


def results(conn):
    """Returns all results up to the end of the statement."""
    found = []
    while (result := conn.get_result()) is not None:
        found.append(result)
    return found


def start_up(conninfo):
    conn = session(conninfo)
    assert conn.transaction_status == TransactionStatus.IDLE
    conn.finish()


def refused(conninfo):
    conn = connect(conninfo)
    assert not establish(conn), "the server accepted a connection that it should reject"
    conn.finish()


def simple(conninfo):
    conn = session(conninfo)
    run(conn, b"select 1")
    run(conn, b"")
    run(conn, b" ; ; ")
    run(conn, b"select 1 as a;\nselect 'two\nlines' as \"b\nc\"\t; -- and a comment")
    run(conn, b"select")
    run(conn, b"select '' as empty, null as nothing, 'caf\xc3\xa9', e'\\t\\\\\"''\\x7f'")
    run(conn, b"create temp table t (a int4 primary key, b varchar(7), c numeric(5,2))")
    run(conn, b"insert into t values (1, 'x', 1.5), (2, null, -1)")
    run(conn, b"select * from t")
    run(conn, b"set application_name = 'caf\xc3\xa9 \"x\"'")
    run(conn, b"begin")
    assert conn.transaction_status == TransactionStatus.INTRANS
    expect(conn.exec_(b"select 1/0"), ExecStatus.FATAL_ERROR)
    assert conn.transaction_status == TransactionStatus.INERROR
    expect(conn.exec_(b"select 1"), ExecStatus.FATAL_ERROR)
    run(conn, b"rollback")
    conn.finish()


def errors(conninfo):
    conn = session(conninfo)
    expect(conn.exec_(b"selekt\n1"), ExecStatus.FATAL_ERROR)
    run(conn, b"create temp table e (a int constraint positive check (a > 0))")
    expect(conn.exec_(b"insert into e values (-1)"), ExecStatus.FATAL_ERROR)
    expect(conn.exec_(b"select no_such_function(1)"), ExecStatus.FATAL_ERROR)
    conn.notice_handler = lambda result: None
    run(
        conn,
        b"do $$ begin raise notice e'caf\xc3\xa9\n\"x\"' using detail = 'd', hint = 'h';"
        b" raise warning ''; perform 1; end $$",
    )
    expect(
        conn.exec_(b"do $$ begin execute 'select 1 from no_such_table'; end $$"),
        ExecStatus.FATAL_ERROR,
    )
    expect(
        conn.exec_(
            b"do $$ begin raise exception 'm' using schema = 's', table = 't', column = 'c',"
            b" datatype = 'd', constraint = 'n'; end $$"
        ),
        ExecStatus.FATAL_ERROR,
    )
    conn.finish()


def extended(conninfo):
    conn = session(conninfo)
    ok = ExecStatus.TUPLES_OK
    expect(conn.exec_params(b"select $1::int4 + $2", [b"1", b"2"], None, None, 0), ok)
    expect(conn.exec_params(b"select $1::text", [b""], [25], None, 1), ok)
    expect(conn.exec_params(b"select $1::text", [None], [25], [0], 0), ok)
    expect(conn.exec_params(b"select $1::text", [None], [25], [1], 0), ok)
    expect(conn.exec_params(b"select $1::bytea", [ALL_BYTES], [17], [1], 1), ok)
    expect(conn.exec_params(b"select $1::bytea, $2::text", [ALL_BYTES, b"x'y"], [17, 0], [1, 0], 1), ok)
    expect(conn.exec_params(b"select $1::int4", [b"\0\0\0\x05"], [23], [1], 0), ok)
    expect(conn.exec_params(b"select $1, $2", [b"caf\xc3\xa9\n", b"\t"], [25, 25], [0, 0], 0), ok)
    expect(conn.exec_params(b"select 1 where false", [], None, None, 0), ok)
    expect(conn.exec_params(b"", [], None, None, 0), ExecStatus.EMPTY_QUERY)
    expect(conn.exec_params(b"select $1::int4", [b"x"], None, None, 0), ExecStatus.FATAL_ERROR)
    expect(conn.prepare(b"add up", b"select $1 + $2 as sum", [23, 0]), ExecStatus.COMMAND_OK)
    expect(conn.describe_prepared(b"add up"), ExecStatus.COMMAND_OK)
    expect(conn.exec_prepared(b"add up", [b"1", b"2"], None, 1), ok)
    expect(conn.prepare(b"set", b"set search_path = ''", []), ExecStatus.COMMAND_OK)
    expect(conn.describe_prepared(b"set"), ExecStatus.COMMAND_OK)
    expect(conn.close_prepared(b"add up"), ExecStatus.COMMAND_OK)
    expect(conn.describe_prepared(b"add up"), ExecStatus.FATAL_ERROR)
    run(conn, b"begin; declare c cursor for select g from generate_series(1, 3) g")
    expect(conn.describe_portal(b"c"), ExecStatus.COMMAND_OK)
    run(conn, b"fetch 2 from c")
    expect(conn.close_portal(b"c"), ExecStatus.COMMAND_OK)
    run(conn, b"commit")
    conn.finish()


def nulls(conninfo):
    """Sends a NULL followed by another parameter."""
    conn = session(conninfo)
    expect(
        conn.exec_params(b"select $1::text, $2::text, $3::text", [b"a", None, b"b"], None, None, 0),
        ExecStatus.TUPLES_OK,
    )
    conn.finish()


def pipeline(conninfo):
    conn = session(conninfo)
    conn.enter_pipeline_mode()
    conn.send_query_params(b"select $1::int4", [b"1"], None, None, 0)
    conn.send_prepare(b"p", b"select $1::text || $2", [])
    conn.send_query_prepared(b"p", [b"a", b"b"], None, 0)
    conn.send_flush_request()
    for _ in range(3):
        assert all(r.status != ExecStatus.FATAL_ERROR for r in results(conn))
    # The results of the statements above have arrived before the next statements are sent. Otherwise the order of sent and received
    # messages in the trace would vary from run to run.
    conn.send_query_params(b"select 1/0", [], None, None, 0)
    conn.send_query_params(b"select 2", [], None, None, 0)
    conn.pipeline_sync()
    conn.send_query_params(b"select 3", [], None, None, 0)
    conn.pipeline_sync()
    expect(results(conn)[0], ExecStatus.FATAL_ERROR)
    expect(results(conn)[0], ExecStatus.PIPELINE_ABORTED)
    expect(conn.get_result(), ExecStatus.PIPELINE_SYNC)
    expect(results(conn)[0], ExecStatus.TUPLES_OK)
    expect(conn.get_result(), ExecStatus.PIPELINE_SYNC)
    conn.exit_pipeline_mode()
    conn.finish()


def copy(conninfo):
    conn = session(conninfo)
    run(conn, b"create temp table t (a int4, b bytea)")

    def put(sql, pieces, error=None):
        expect(conn.exec_(sql), ExecStatus.COPY_IN)
        for piece in pieces:
            assert conn.put_copy_data(piece) == 1
        assert conn.put_copy_end(error) == 1
        return results(conn)

    def get(sql):
        expect(conn.exec_(sql), ExecStatus.COPY_OUT)
        while (data := conn.get_copy_data(0))[0] > 0:
            pass
        return results(conn)

    put(b"copy t from stdin", [b"1\t\\\\x00ff\n2", b"\t\\N\n", b"3\t\n"])
    binary = b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\0\2\0\0\0\4\0\0\0\7\0\0\1\0" + ALL_BYTES + b"\xff\xff"
    put(b"copy t from stdin (format binary)", [binary])
    get(b"copy t to stdout")
    get(b"copy (select * from t) to stdout (format binary)")
    get(b"copy (select 1 where false) to stdout")
    get(b"copy (select) to stdout")
    (failed,) = put(b"copy t from stdin", [b"4\t\n"], b"caf\xc3\xa9 is \"closed\"")
    expect(failed, ExecStatus.FATAL_ERROR)
    (failed,) = put(b"copy t from stdin", [])
    expect(failed, ExecStatus.COMMAND_OK)
    # COPY by the extended protocol.
    expect(conn.exec_params(b"copy t to stdout", [], None, None, 0), ExecStatus.COPY_OUT)
    while conn.get_copy_data(0)[0] > 0:
        pass
    results(conn)
    conn.finish()


def notify(conninfo):
    conn = session(conninfo)
    run(conn, b"listen \"ch\"")
    run(conn, b"notify \"ch\", 'caf\xc3\xa9\n'")
    run(conn, b"notify \"ch\"")
    run(conn, b"set timezone = 'UTC'")
    run(conn, b"set timezone = 'Europe/Vienna'")
    conn.finish()


def encoding(conninfo):
    """Sends and receives strings that are not UTF-8."""
    conn = session(conninfo)
    run(conn, b"set client_encoding = 'latin1'")
    run(conn, b"select 'caf\xe9' as \"\xe4\"")
    expect(conn.exec_(b"select \"\xe4\xf6\""), ExecStatus.FATAL_ERROR)
    expect(conn.exec_params(b"select $1 as \"\xff\"", [b"\xe9"], [25], None, 0), ExecStatus.TUPLES_OK)
    conn.finish()


def replication(conninfo):
    conn = session(conninfo)
    run(conn, b"IDENTIFY_SYSTEM")
    expect(conn.exec_(b"START_REPLICATION SLOT no_such_slot LOGICAL 0/0"), ExecStatus.FATAL_ERROR)
    run(conn, b"CREATE_REPLICATION_SLOT traced TEMPORARY LOGICAL test_decoding")
    run(conn, b"START_REPLICATION SLOT traced LOGICAL 0/0")
    # A status update that asks for a reply; the server replies with a keepalive.
    assert conn.put_copy_data(b"r" + bytes(32) + b"\1") == 1
    assert conn.flush() == 0
    assert conn.get_copy_data(0)[0] > 0
    assert conn.put_copy_end() == 1
    assert conn.flush() == 0
    # The server may send more keepalives before it reads the end of the copy.
    while conn.get_copy_data(0)[0] > 0:
        pass
    results(conn)
    conn.finish()


def function_call(conninfo):
    """Calls functions by PQfn, which psycopg does not wrap."""

    class Argument(ctypes.Structure):
        class Value(ctypes.Union):
            _fields_ = [("pointer", ctypes.c_char_p), ("integer", ctypes.c_int)]

        _fields_ = [("length", ctypes.c_int), ("is_integer", ctypes.c_int), ("value", Value)]

    packages = os.path.dirname(os.path.dirname(psycopg.__file__))
    (path,) = glob.glob(os.path.join(glob.escape(packages), "psycopg_binary.libs", "libpq-*.so*"))
    fn = ctypes.CDLL(path).PQfn
    fn.restype = ctypes.c_void_p

    conn = session(conninfo)

    def call(function, *arguments):
        given = (Argument * len(arguments))()
        for slot, value in zip(given, arguments):
            if value is None:
                slot.length = -1
            elif isinstance(value, int):
                slot.length, slot.is_integer, slot.value.integer = 4, 1, value
            else:
                slot.length, slot.value.pointer = len(value), value
        buffer, length = ctypes.create_string_buffer(1024), ctypes.c_int(0)
        fn(
            ctypes.c_void_p(conn.pgconn_ptr),
            ctypes.c_int(function),
            buffer,
            ctypes.byref(length),
            ctypes.c_int(0),
            given,
            ctypes.c_int(len(arguments)),
        )
        return buffer.raw[: max(length.value, 0)]

    # Functions by object id: int4pl, textcat, sqrt; textcat with a NULL argument; an object id without a function.
    assert call(177, 20, 22) == b"\0\0\0\x2a"
    assert call(1258, b"caf\xc3\xa9", b"") == b"caf\xc3\xa9"
    assert call(1344, b"\x40\x22" + bytes(6)) == b"\x40\x08" + bytes(6)
    call(1258, b"x", None)
    call(4_000_000_000 - (1 << 32))
    conn.finish()


if __name__ == "__main__":
    assert pq.version() >= 180000, pq.version()
    {
        function.__name__: function
        for function in [
            start_up,
            refused,
            simple,
            errors,
            extended,
            nulls,
            pipeline,
            copy,
            notify,
            encoding,
            replication,
            function_call,
        ]
    }[sys.argv[1]](sys.argv[2])
