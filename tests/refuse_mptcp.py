"""Runs a command that the kernel gives no MPTCP sockets: a seccomp filter, as containers have one.

    refuse_mptcp.py COMMAND...

`socket` with protocol 262 fails with EPERM; all else is allowed.
"""

import ctypes
import os
import struct
import sys

SOCKET = 198 if os.uname().machine == "aarch64" else 41
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
ALLOW, EPERM = 0x7FFF0000, 0x00050000 | 1  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO
NUMBER, PROTOCOL = 0, 16 + 2 * 8  # struct seccomp_data: nr, args[2]

program = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in [
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 3, SOCKET),
        (LOAD, 0, 0, PROTOCOL),
        (EQUAL, 0, 1, 262),
        (RETURN, 0, 0, EPERM),
        (RETURN, 0, 0, ALLOW),
    ]
)


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


libc = ctypes.CDLL(None, use_errno=True)
for arguments in [(38, 1, 0, 0, 0), (22, 2, ctypes.byref(Program(6, program)), 0, 0)]:
    # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP with SECCOMP_MODE_FILTER
    if libc.prctl(*arguments) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
os.execvp(sys.argv[1], sys.argv[1:])
