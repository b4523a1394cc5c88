"""The sandbox: processes without credentials or network in which files that nobody trusts are read.

One server process imports the libraries and then forks once per file, in 3 ms, so a file's decoder
dies with the file: nothing that it broke, and no memory that it took, reaches the next.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from copal.errors import MediaError, StoreUnavailable, UnreadableMedia, UnsupportedMedia
from copal.fingerprint import AssetId
from copal.media import jail
from copal.media.ffmpeg import MOST_PIXELS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from copal.media.essence import Inspection
    from copal.media.technical import Technical

log = structlog.get_logger("copal.media")

GIB = 1 << 30
LARGEST_REPLY = 4 << 20
"""Bytes; the record of a file with 64 streams takes 50 KB."""
LARGEST_PICTURE = 3 * MOST_PIXELS
"""Bytes that may follow a reply: one picture in RGB."""
GRACE_SECONDS = 10.0
"""How long after a file's time the server may take to say that it is over."""
ERRORS: dict[str, type[MediaError]] = {
    each.__name__: each for each in (MediaError, UnreadableMedia, UnsupportedMedia)
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may use at most."""

    seconds: float
    """Of wall time, and of processor time."""
    memory_bytes: int = 4 * GIB
    """Address space. 8K HEVC in 10 bits maps 2 GiB, the libraries 0.3."""

    @staticmethod
    def of(path: Path) -> Limits:
        """A minute, and as long as reading the file at 5 MB/s takes."""
        try:
            size = path.stat().st_size
        except OSError:
            size = 0
        return Limits(60 + size / 5e6)


def inspect(path: Path, *, name: str | None = None, limits: Limits | None = None) -> Inspection:
    """As ``essence.inspect``, in the sandbox.

    Raises
    ------
    UnreadableMedia
        No such file, empty, damaged, no media, or one that takes down its reader.
    UnsupportedMedia
        Media of a format that Copal does not read.
    StoreUnavailable
        No sandbox can be started.
    """
    from copal.media.essence import Inspection, StreamEssence
    from copal.media.technical import Technical

    found = _read("inspect", path, name, limits)
    return Inspection(
        Technical.from_json(found["technical"]),
        tuple(StreamEssence(**each) for each in found["essences"]),
        AssetId(found["asset"]),
    )


def probe(path: Path, *, name: str | None = None, limits: Limits | None = None) -> Technical:
    """As ``probe.probe``, in the sandbox; raises what ``inspect`` does."""
    from copal.media.technical import Technical

    return Technical.from_json(_read("probe", path, name, limits))


def measure(path: Path, *, name: str) -> tuple[int, int]:
    """As ``still.measure``, in the sandbox; raises what ``inspect`` does."""
    width, height = _read("measure", path, name, None)
    return int(width), int(height)


def pixels(
    path: Path, *, name: str, size: tuple[int, int] | None, format: str
) -> npt.NDArray[np.uint8]:
    """As ``still.decode``, in the sandbox; raises what ``inspect`` does."""
    import numpy as np

    shape, data = _read("pixels", path, name, None, size=size, format=format)
    return np.frombuffer(data, np.uint8).reshape(shape)


def start() -> None:
    """Start the server ahead of the first file; it takes as long as its imports do."""
    with _lock:
        _started()


def close() -> None:
    """End the server, if there is one; the next file starts another."""
    global _server
    with _lock:
        if _server is not None:
            _server.end()
            _server = None


def _read(task: str, path: Path, name: str | None, limits: Limits | None, **wanted: object) -> Any:
    name = name or path.name
    limits = limits or Limits.of(path)
    request = {"task": task, "path": str(path.absolute()), "name": name, "limits": asdict(limits),
               "wanted": wanted}  # fmt: skip
    with _lock:
        # The server touches no media. When it has gone, that was not this file's doing.
        reply = _started().ask(request, limits.seconds) or _started().ask(request, limits.seconds)
    if reply is None:
        raise StoreUnavailable(f"{name}: the process that reads media ended twice. Memory short?")
    if "data" in reply:
        return reply["done"], reply["data"]
    if "done" in reply:
        return reply["done"]
    if "error" in reply:
        raise ERRORS[reply["error"]](reply["message"])
    raise _refusal(name, reply["ended"], limits)


def _refusal(name: str, ended: str, limits: Limits) -> UnreadableMedia:
    what = {
        "timeout": f"reading it took longer than {limits.seconds:g} seconds",
        "memory": f"reading it takes more than {limits.memory_bytes / GIB:g} GiB of memory",
    }.get(ended, f"reading it took its reader down ({ended})")
    return UnreadableMedia(f"{name}: {what}. Check that the file plays, and supply it again.")


class _Server:
    """The server process, seen from here."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.pending = b""
        environment = {
            "LC_ALL": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(each for each in sys.path if each),
            "OPENBLAS_NUM_THREADS": "1",  # a fork carries one thread over
        }
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "copal.media.sandboxed"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=environment, start_new_session=True, cwd="/",
            )  # fmt: skip
        except OSError as error:
            raise StoreUnavailable(
                f"no process can be started to read media ({error.strerror}). Memory short?"
            ) from error

    def alive(self) -> bool:
        """Whether it runs, and is ours: a fork of this process must start its own."""
        return self.owner == os.getpid() and self.process.poll() is None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any] | None:
        """Its reply; None when it has gone."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
            deadline = time.monotonic() + seconds + GRACE_SECONDS
            line = self.line(deadline)
            reply: dict[str, Any] = json.loads(line) if line else {}
            if "bytes" in reply:
                reply["data"] = self.block(reply["bytes"], deadline)
        except OSError:
            line = b""
        except BaseException:  # interrupted: its reply must not be taken for the next file's
            self.end()
            raise
        if line is None or ("data" in reply and reply["data"] is None):
            self.end()
            return {"ended": "timeout"}
        if not line or ("data" in reply and not reply["data"]):
            self.end()
            return None
        return reply

    def line(self, deadline: float) -> bytes | None:
        """The next line; empty at the end, None past the deadline."""
        while b"\n" not in self.pending:
            block = self.some(deadline)
            if not block:
                return block
            self.pending += block
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def block(self, size: int, deadline: float) -> bytearray | bytes | None:
        """So many bytes; empty at the end, None past the deadline."""
        found = bytearray(self.pending[:size])
        self.pending = self.pending[size:]
        while len(found) < size:
            block = self.some(deadline)
            if not block:
                return block
            found += block
        return found

    def some(self, deadline: float) -> bytes | None:
        """What it says next; empty at the end, None past the deadline."""
        assert self.process.stdout is not None
        source = self.process.stdout.fileno()
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([source], [], [], left)[0]:
            return None
        return os.read(source, 1 << 16)

    def end(self) -> None:
        """Kill it and what it forked."""
        if self.owner == os.getpid():
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


_server: _Server | None = None
_lock = threading.Lock()


def _started() -> _Server:
    global _server
    if _server is None or not _server.alive():
        if _server is not None:
            _server.end()
        _server = _Server()
        if not jail.version():
            log.warning("sandbox.started_without_jail", reason="this kernel has no Landlock")
    return _server


def _forget_lock() -> None:
    """A fork made while another thread read a file would wait for ever."""
    global _lock
    _lock = threading.Lock()


atexit.register(close)
os.register_at_fork(after_in_child=_forget_lock)
