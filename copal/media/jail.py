"""A jail: what a process that reads a file nobody trusts may still open, write and signal.

Linux's Landlock needs no privileges, and no rule can be taken back. A process in a jail sees the
file that it reads, the libraries, and the one folder that it writes to; it sends no signal to, and
looks into, no process outside. This module is also run as a script that limits itself and then
becomes ffmpeg, so it imports nothing of ours.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""Landlock's system calls, numbered alike on every kind of machine."""

EXECUTE, WRITE_FILE, READ_FILE, READ_FOLDER, TRUNCATE, DEVICE = (
    1 << bit for bit in (0, 1, 2, 3, 14, 15)
)
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE
HANDLED = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
"""Version of Landlock → the rights it governs; from 5 on these are 0xFFFF."""
SCOPES = 0b11
"""From version 6: no signal to, and no abstract socket of, a process outside."""

LIBRARIES = (
    *("/usr", "/opt", "/nix/store", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
    *("/dev/null", "/dev/zero", "/dev/urandom"),
)
"""What any program reads: code, and what the machine is."""


def version() -> int:
    """Of the kernel's Landlock; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, 1)))


def confine(reads: Iterable[str], *, writes: Iterable[str] = (), runs: Iterable[str] = ()) -> bool:
    """Leave this process, and all that it starts, these files and folders; False if it cannot be.

    Parameters
    ----------
    reads, writes, runs
        What may be read; what may be written too, and in folders made and removed; what may be
        run. ``LIBRARIES`` may be read and run. What does not exist is passed over.
    """
    known = version()
    if not known:
        return False
    libc = ctypes.CDLL(None)
    handled = HANDLED.get(known, 0xFFFF)
    shape = struct.pack("=QQQ", handled, 0, SCOPES)[: 24 if known >= 6 else 8]
    rules = libc.syscall(CREATE_RULESET, shape, len(shape), 0)
    if rules < 0:
        return False
    try:
        for path in reads:
            _allow(libc, rules, path, handled & (READ_FILE | READ_FOLDER))
        for path in (*LIBRARIES, *runs):
            _allow(libc, rules, path, handled & (EXECUTE | READ_FILE | READ_FOLDER))
        for path in ("/dev/null", *writes):
            _allow(libc, rules, path, handled & ~EXECUTE)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_A_FILE
        libc.syscall(ADD_RULE, rules, 1, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def leave_network() -> None:
    """Into a network of our own with nobody in it, where the kernel lets us."""
    if sys.platform == "linux":
        unshare = ctypes.CDLL(None).unshare
        if unshare(CLONE_NEWNET):
            unshare(CLONE_NEWUSER | CLONE_NEWNET)


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def limit(kind: int, most: int) -> None:
    """Use no more of a resource; a lower limit that is set already stays."""
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (most, most))


def _is_script(program: Path) -> bool:
    """Whether it starts another program, of which nobody knows where it lies and what it needs."""
    with program.open("rb") as file:
        return file.read(2) == b"#!"


def main() -> None:
    """``jail.py ADDRESS FILE PARENT SOURCE FOLDER COMMAND…``: become a command, in a jail.

    Bytes of address space, bytes of any one file, who started this, what is read, and the folder
    that is written to. For a script, or without a source, there is no jail; the limits hold all
    the same.
    """
    address, file, parent = map(int, sys.argv[1:4])
    source, folder, *command = sys.argv[4:]
    limit(resource.RLIMIT_AS, address)
    limit(resource.RLIMIT_FSIZE, file)
    limit(resource.RLIMIT_CORE, 0)
    die_with(parent)
    leave_network()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    program = Path(command[0]).resolve()
    if source and not _is_script(program):
        libraries = program.parent.parent / "lib"
        confine([source], writes=[folder], runs=[str(program), str(libraries)])
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
