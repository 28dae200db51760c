#!/usr/bin/env python3
"""Chromium ($CHROMIUM) that does not see networks come and go.

Docker makes interfaces and addresses while tests run. Chromium hears of each by netlink(7) and ends
every request that is under way (ERR_NETWORK_CHANGED), those to this machine itself, too; no switch
of its own keeps it from that. So its netlink sockets are refused by seccomp(2); without them it
takes the network for steady.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER_MODE = 22, 38, 2
SOCKET = {"x86_64": 41, "aarch64": 198}
"""The number of socket(2); elsewhere Chromium runs as it is."""
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
"""BPF_LD+BPF_W+BPF_ABS, BPF_JMP+BPF_JEQ+BPF_K, BPF_RET+BPF_K of linux/bpf_common.h."""
SYSCALL, FIRST_ARGUMENT = 0, 16
"""Offsets in struct seccomp_data."""
AF_NETLINK, EAFNOSUPPORT = 16, 97
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


class Instruction(ctypes.Structure):
    """One `struct sock_filter` of linux/filter.h."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    )


class Program(ctypes.Structure):
    """Struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(Instruction)))


def refuse_netlink(socket: int) -> None:
    """From now on, and in every child, socket(AF_NETLINK, …) fails. OSError when that fails."""
    instructions = (Instruction * 6)(
        Instruction(LOAD, 0, 0, SYSCALL),
        Instruction(IF_EQUAL, 0, 3, socket),
        Instruction(LOAD, 0, 0, FIRST_ARGUMENT),
        Instruction(IF_EQUAL, 0, 1, AF_NETLINK),
        Instruction(RETURN, 0, 0, ERRNO | EAFNOSUPPORT),
        Instruction(RETURN, 0, 0, ALLOW),
    )
    program = Program(len(instructions), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, FILTER_MODE, ctypes.byref(program)
    ):
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    if platform.system() == "Linux" and platform.machine() in SOCKET:
        refuse_netlink(SOCKET[platform.machine()])
    program = os.environ["CHROMIUM"]
    os.execv(program, [program, *sys.argv[1:]])
