"""Asks libpq how it reads connection strings: python3 ask.py LIBRARY < strings > answers

Each input line is a string in hexadecimal. Each answer is a line, too:
    malformed                   libpq cannot parse the string
    refused  name=value …       libpq parses the string, but refuses to connect, before any lookup or network access
    accepted name=value …       libpq would connect
The fields are separated by tabs; values are in hexadecimal. Nothing is sent over a network: each host is replaced by a socket that does
not exist.

With the word "surroundings" after LIBRARY, each input line has environment variables after the string: name=value, separated by spaces.
The host in the string must be a socket that does not exist. The values of an answer then come from all sources, and no answer is
"malformed".
"""

import ctypes
import os
import sys


class Option(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p) for name in ("keyword", "variable", "compiled", "value", "label", "display")] + [
        ("size", ctypes.c_int)
    ]


Options = ctypes.POINTER(Option)
libpq = ctypes.CDLL(sys.argv[1])
libpq.PQconninfoParse.restype = Options
libpq.PQconninfoParse.argtypes = [ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)]
libpq.PQconninfoFree.argtypes = [Options]
libpq.PQfreemem.argtypes = [ctypes.c_void_p]
libpq.PQconnectStart.restype = ctypes.c_void_p
libpq.PQconnectStart.argtypes = [ctypes.c_char_p]
libpq.PQerrorMessage.restype = ctypes.c_char_p
libpq.PQerrorMessage.argtypes = [ctypes.c_void_p]
libpq.PQconninfo.restype = Options
libpq.PQconninfo.argtypes = [ctypes.c_void_p]
libpq.PQpass.restype = ctypes.c_char_p
libpq.PQpass.argtypes = [ctypes.c_void_p]
libpq.PQfinish.argtypes = [ctypes.c_void_p]


def parse(string):
    """Returns the values in the string, or None if libpq cannot parse it."""
    error = ctypes.c_void_p()
    options = libpq.PQconninfoParse(string, ctypes.byref(error))
    if not options:
        libpq.PQfreemem(error)
        return None
    return read(options, lambda option: option.value is not None)


def read(options, counts):
    """Returns the values of the options for which counts(option) is true."""
    values, at = {}, 0
    while options[at].keyword is not None:
        if counts(options[at]):
            values[options[at].keyword] = options[at].value
        at += 1
    libpq.PQconninfoFree(options)
    return values


def accepts(values):
    """Returns whether libpq would try to connect to the server."""
    hosts, addresses = (values[name].split(b",") if values.get(name) else [] for name in (b"host", b"hostaddr"))
    values = {**values, b"passfile": b"/nonexistent"}
    # libpq would look for the service in files.
    values.pop(b"service", None)
    if not hosts or not addresses or len(hosts) == len(addresses):
        values[b"host"] = b",".join([b"/nonexistent"] * max(1, len(hosts), len(addresses)))
        values.pop(b"hostaddr", None)
    escaped = {name: value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") for name, value in values.items()}
    accepted, _ = connect(b" ".join(name + b"='" + value + b"'" for name, value in escaped.items()))
    return accepted


def connect(string):
    """Returns whether libpq tries to connect to the server, and the values that it uses."""
    connection = libpq.PQconnectStart(string)
    message = libpq.PQerrorMessage(connection)
    # Compiled-in defaults are left out: they depend on the build of the library.
    values = read(libpq.PQconninfo(connection), lambda option: option.value not in (None, option.compiled))
    values[b"password"] = libpq.PQpass(connection)
    libpq.PQfinish(connection)
    lines = [line for line in message.split(b"\n") if line and not line.startswith(b"\t")]
    return all(line.startswith(b"connection to server on socket") for line in lines), values


def show(accepted, values):
    shown = [f"{name.decode()}={value.hex()}" for name, value in values.items()]
    print("\t".join(["accepted" if accepted else "refused", *shown]))


for line in sys.stdin:
    string, *variables = line.removesuffix("\n").split(" ")
    string = bytes.fromhex(string)
    if sys.argv[2:] == ["surroundings"]:
        for name in [name for name in os.environ if name.startswith("PG")]:
            del os.environ[name]
        for name, value in (variable.split("=") for variable in variables):
            os.environb[name.encode()] = bytes.fromhex(value)
        show(*connect(string))
    elif (values := parse(string)) is None:
        print("malformed")
    else:
        show(accepts(values), values)
