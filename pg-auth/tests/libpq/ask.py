"""Prints how libpq reads connection strings: python3 ask.py LIBRARY < strings > answers

Each line of the input is a connection string in hexadecimal. Each line of the output is one of these answers:
    malformed                   libpq cannot parse the string
    refused  name=value …       libpq parses the string, but returns an error before it looks up or connects to a host
    accepted name=value …       libpq tries to connect
The parts of an answer are separated by tabs, and values are in hexadecimal. No network is used: each host is replaced by the path of a
Unix-domain socket that does not exist.

With a second argument "surroundings", each line of the input also has environment variables: name=value, separated by spaces. In this
mode the string itself must have the path of such a socket as its host, and must not be malformed. The values of an answer come from all
sources: the string, the environment and files.
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
    """Parses a connection string. Returns its values, or None if the string is malformed."""
    error = ctypes.c_void_p()
    options = libpq.PQconninfoParse(string, ctypes.byref(error))
    if not options:
        libpq.PQfreemem(error)
        return None
    return read(options, lambda option: option.value is not None)


def read(options, counts):
    """Reads the values of the options for which counts(option) is true, and frees the options."""
    values, at = {}, 0
    while options[at].keyword is not None:
        if counts(options[at]):
            values[options[at].keyword] = options[at].value
        at += 1
    libpq.PQconninfoFree(options)
    return values


def accepts(values):
    """Whether libpq tries to connect with these values."""
    hosts, addresses = (values[name].split(b",") if values.get(name) else [] for name in (b"host", b"hostaddr"))
    values = {**values, b"passfile": b"/nonexistent"}
    # Remove the service: libpq would look for this service in files.
    values.pop(b"service", None)
    if not hosts or not addresses or len(hosts) == len(addresses):
        values[b"host"] = b",".join([b"/nonexistent"] * max(1, len(hosts), len(addresses)))
        values.pop(b"hostaddr", None)
    escaped = {name: value.replace(b"\\", b"\\\\").replace(b"'", b"\\'") for name, value in values.items()}
    accepted, _ = connect(b" ".join(name + b"='" + value + b"'" for name, value in escaped.items()))
    return accepted


def connect(string):
    """Starts a connection. Returns whether libpq tries to connect, and the values that libpq uses."""
    connection = libpq.PQconnectStart(string)
    message = libpq.PQerrorMessage(connection)
    # Compiled-in defaults are left out: they differ between builds of libpq.
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
