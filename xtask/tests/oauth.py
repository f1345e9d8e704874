"""Logs in with a bearer token by libpq 18, runs a query, and prints the first value of the result.

The default query returns the current user.

oauth.py LIBPQ CONNINFO TOKEN [QUERY]
"""

import ctypes
import sys

BEARER_TOKEN = 1  # PQAUTHDATA_OAUTH_BEARER_TOKEN
CONNECTION_OK = 0


class Request(ctypes.Structure):
    """The C struct PGoauthBearerRequest."""

    _fields_ = [
        ("openid_configuration", ctypes.c_char_p),
        ("scope", ctypes.c_char_p),
        ("asynchronous", ctypes.c_void_p),
        ("cleanup", ctypes.c_void_p),
        ("token", ctypes.c_char_p),
        ("user", ctypes.c_void_p),
    ]


path, conninfo, token = sys.argv[1], sys.argv[2].encode(), sys.argv[3].encode()
query = sys.argv[4] if len(sys.argv) > 4 else "select current_user"
libpq = ctypes.CDLL(path)
for name in ["PQconnectdb", "PQexec"]:
    getattr(libpq, name).restype = ctypes.c_void_p
for name in ["PQerrorMessage", "PQgetvalue"]:
    getattr(libpq, name).restype = ctypes.c_char_p


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def hook(kind, _connection, data):
    """Supplies the token when libpq asks for a bearer token. The token is a global variable, so the token outlives the connection."""
    if kind != BEARER_TOKEN:
        return 0
    ctypes.cast(data, ctypes.POINTER(Request)).contents.token = token
    return 1


libpq.PQsetAuthDataHook(hook)
connection = ctypes.c_void_p(libpq.PQconnectdb(conninfo))
if libpq.PQstatus(connection) != CONNECTION_OK:
    sys.exit(libpq.PQerrorMessage(connection).decode())
result = ctypes.c_void_p(libpq.PQexec(connection, query.encode()))
print(libpq.PQgetvalue(result, 0, 0).decode())
libpq.PQfinish(connection)
