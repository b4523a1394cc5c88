"""Whether a file is whole: nobody writes to it, it rests, and it holds what its head promises."""

from __future__ import annotations

import errno
import os
import signal
import stat
import struct
import threading
from pathlib import Path

_BOXED = {".mp4", ".mov", ".m4v", ".m4a", ".3gp", ".3g2", ".mj2"}
_HEAD = 16
_SHORTER = "it is shorter than its head promises"


def what_else_it_is(path: Path) -> str:
    """What stands at a path in place of a file, such as a pipe; empty for a file or folder.

    Nothing but a file may be opened: a pipe makes one wait for whoever writes to it, and opening a
    device may do anything.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, RuntimeError):
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def is_open_for_writing(path: Path) -> bool | None:
    """Whether some process has a file open to write to it; None where the system cannot tell.

    Linux grants a read lease on a file only while nobody has it open for writing. Files of other
    users and network file systems have no leases.
    """
    if what_else_it_is(path):
        return None
    try:
        import fcntl

        lease, read, none = fcntl.F_SETLEASE, fcntl.F_RDLCK, fcntl.F_UNLCK
    except (ImportError, AttributeError):
        return None
    if threading.current_thread() is threading.main_thread():
        # Sent to whoever holds a lease that another wants to break; it would end the process.
        signal.signal(signal.SIGIO, signal.SIG_IGN)
    elif signal.getsignal(signal.SIGIO) != signal.SIG_IGN:
        return None
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.fcntl(file, lease, read)
        fcntl.fcntl(file, lease, none)
    except OSError as exc:
        return True if exc.errno == errno.EAGAIN else None
    finally:
        os.close(file)
    return False


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; were it a pipe by now, that would not wait for whoever writes to it."""
    return os.open(path, flags | os.O_NONBLOCK)


def holds_what_it_promises(path: Path) -> bool:
    """Whether a file of boxes (MP4, QuickTime) has all of the last one, and an index of samples.

    True for files of other kinds, of which only a decoder could tell.
    """
    return not what_it_lacks(path)


def what_it_lacks(path: Path) -> str:
    """What a file of boxes promises and does not hold, in words; empty when it holds it all.

    Empty for files of other kinds, of which only a decoder could tell.
    """
    if path.suffix.lower() not in _BOXED:
        return ""
    if other := what_else_it_is(path):
        return f"it is {other}"
    try:
        with open(path, "rb", opener=_open_at_once) as stream:
            end = os.fstat(stream.fileno()).st_size
            at, kinds = 0, set()
            while at < end:
                stream.seek(at)
                head = stream.read(_HEAD)
                if len(head) < 8:
                    return _SHORTER
                size, kind = struct.unpack(">I4s", head[:8])
                if size == 1 and len(head) == _HEAD:
                    size = struct.unpack(">Q", head[8:])[0]
                elif size == 0:  # to the end of the file
                    size = end - at
                if size < 8:
                    return ""  # no file of boxes, whatever it is called
                kinds.add(kind)
                at += size
    except OSError as exc:
        return f"it cannot be read: {exc.strerror}"
    if end == 0:
        return "it is empty"
    if at > end:
        return _SHORTER
    return "" if kinds & {b"moov", b"moof"} else "it has no index of samples"
