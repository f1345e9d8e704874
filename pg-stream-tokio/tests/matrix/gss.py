"""Runs the steps of a client's GSSAPI context with the system's GSSAPI library.

gss.py SERVICE@HOST

Each line of standard input is a token of the server, in hexadecimal; the first line is empty. Each line of standard output is the
result of one step: `continue TOKEN`, `done TOKEN`, or `error TEXT`.
"""

import ctypes
import sys


class Buffer(ctypes.Structure):
    """The C struct gss_buffer_desc."""

    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]

    def bytes(self):
        return ctypes.string_at(self.value, self.length) if self.length else b""


def buffer(data):
    """Returns a Buffer that points to a copy of the data, and the copy, which must live as long as the Buffer."""
    memory = ctypes.create_string_buffer(data, len(data))
    return Buffer(len(data), ctypes.cast(memory, ctypes.c_void_p)), memory


library = ctypes.CDLL("libgssapi_krb5.so.2")
by_reference = ctypes.byref
minor = ctypes.c_uint32()

CONTINUE_NEEDED = 1
MUTUAL = 2
CODES = [1, 2]  # GSS_C_GSS_CODE, GSS_C_MECH_CODE


def reason(major):
    texts = []
    for kind, code in zip(CODES, [major, minor.value]):
        more, text, unused = ctypes.c_uint32(0), Buffer(), ctypes.c_uint32()
        library.gss_display_status(
            by_reference(unused), ctypes.c_uint32(code), kind, None, by_reference(more), by_reference(text)
        )
        texts.append(text.bytes().decode())
    return ": ".join(texts)


def say(word, rest):
    print(word, rest, flush=True)


name = ctypes.c_void_p()
service, _memory = buffer(sys.argv[1].encode())
host_based = ctypes.c_void_p.in_dll(library, "GSS_C_NT_HOSTBASED_SERVICE")
major = library.gss_import_name(by_reference(minor), by_reference(service), host_based, by_reference(name))
if major & 0xFFFF0000:
    sys.exit(reason(major))

context = ctypes.c_void_p()
for line in sys.stdin:
    token, _held = buffer(bytes.fromhex(line))
    output = Buffer()
    major = ctypes.c_uint32(
        library.gss_init_sec_context(
            by_reference(minor),
            None,
            by_reference(context),
            name,
            None,
            ctypes.c_uint32(MUTUAL),
            ctypes.c_uint32(0),
            None,
            by_reference(token) if token.length else None,
            None,
            by_reference(output),
            None,
            None,
        )
    ).value
    if major & 0xFFFF0000:
        say("error", reason(major))
        break
    say("continue" if major & CONTINUE_NEEDED else "done", output.bytes().hex())
