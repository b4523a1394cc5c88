"""What runs inside the sandbox: a server that forks a reader for every file it is asked about.

``python -m copal.media.sandboxed`` takes a request a line on stdin and gives a reply a line on
stdout. The server opens no media; a reader opens one file and ends.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from copal.errors import MediaError
from copal.media import jail, still
from copal.media.essence import inspect
from copal.media.probe import probe
from copal.media.sandbox import ERRORS, LARGEST_PICTURE, LARGEST_REPLY

CODE = (
    *(sys.prefix, sys.base_prefix, str(Path(__file__).parents[1])),
    *(each for each in sys.path if each.endswith(("site-packages", "dist-packages"))),
)
"""Where Python's and our own code lies, which a reader may still load."""


def _inspect(path: Path, name: str) -> object:
    found = inspect(path, name=name)
    essences = [asdict(each) for each in found.essences]
    return {
        "technical": found.technical.to_json(),
        "essences": essences,
        "asset": found.asset,
    }


def _probe(path: Path, name: str) -> object:
    return probe(path, name=name).to_json()


def _pixels(path: Path, name: str, size: list[int] | None, format: str) -> object:
    return still.decode(path, name, (size[0], size[1]) if size else None, format)


TASKS: dict[str, Callable[..., object]] = {
    "inspect": _inspect,
    "probe": _probe,
    "measure": still.measure,
    "pixels": _pixels,
}
"""What a reader does; an array that one of them gives follows the reply, byte for byte."""


def main() -> None:
    """Serve until stdin ends."""
    import av  # noqa: F401 — so that no reader has to import it
    import PIL.Image
    import PIL.ImageOps

    PIL.Image.init()  # its formats

    replies = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # what a library prints is no reply
    jail.leave_network()
    pending = b""
    while True:
        while b"\n" not in pending:
            block = os.read(0, 1 << 16)
            if not block:
                return
            pending += block
        line, _, pending = pending.partition(b"\n")
        _write(replies, _answer(json.loads(line), replies))


def _answer(request: dict[str, Any], replies: int) -> bytes:
    """The reply of a reader, or how it ended without one."""
    source, sink = os.pipe()
    server = os.getpid()
    reader = os.fork()
    if not reader:
        os.close(source)
        os.close(replies)  # a reader speaks to the server alone
        _be_reader(request, sink, server)
    os.close(sink)
    try:
        reply = _receive(source, reader, time.monotonic() + request["limits"]["seconds"])
    finally:
        os.close(source)
    if reply is None:
        return _ended("timeout")
    status = os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1])
    if status == -signal.SIGXCPU:
        return _ended("timeout")
    if status < 0:
        return _ended(signal.Signals(-status).name)
    if status or not _is_reply(reply):
        return _ended(f"exit code {status}" if status else "no reply")
    return reply


def _is_reply(said: bytes) -> bool:
    """Whether it is one reply; a reader that a file took over may say anything."""
    line, end, data = said.partition(b"\n")
    if not end or len(line) > LARGEST_REPLY:
        return False
    try:
        reply = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(reply, dict):
        return False
    if data or "bytes" in reply:
        return "done" in reply and reply.get("bytes") == len(data) <= LARGEST_PICTURE
    if "error" in reply:
        return reply["error"] in list(ERRORS) and isinstance(reply.get("message"), str)
    return "done" in reply or isinstance(reply.get("ended"), str)


def _receive(source: int, reader: int, deadline: float) -> bytes | None:
    """All that the reader writes; None when it was killed for taking too long."""
    reply = bytearray()
    while True:
        left = deadline - time.monotonic()
        ready = select.select([source, 0], [], [], max(0.0, left))[0]
        if source in ready:
            block = os.read(source, 1 << 16)
            if not block:
                return bytes(reply)
            if len(reply) <= LARGEST_REPLY + LARGEST_PICTURE:
                reply += block
        elif left <= 0 or 0 in ready:  # nobody speaks before the reply: whoever asked has gone
            os.kill(reader, signal.SIGKILL)
            os.waitpid(reader, 0)
            if left <= 0:
                return None
            sys.exit(1)


def _be_reader(request: dict[str, Any], sink: int, server: int) -> NoReturn:
    """In the fork: read one file, write the reply, end."""
    code = 1
    try:
        jail.die_with(server)
        limits = request["limits"]
        seconds = int(limits["seconds"]) + 1
        for kind, limit in (
            (resource.RLIMIT_AS, limits["memory_bytes"]),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            jail.limit(kind, limit)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        jail.confine([request["path"], *CODE])
        result = _result(request)
        data = result.pop("data", b"")
        _write(sink, json.dumps(result).encode() + b"\n")
        _write(sink, data)
        code = 0
    finally:
        os._exit(code)


def _result(request: dict[str, Any]) -> dict[str, Any]:
    name = request["name"]
    try:
        done = TASKS[request["task"]](Path(request["path"]), name, **request["wanted"])
        if isinstance(done, np.ndarray):
            data = np.ascontiguousarray(done).data.cast("B")
            return {"done": done.shape, "bytes": len(data), "data": data}
        return {"done": done}
    except MediaError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {"ended": "memory"}
    except Exception as error:  # what no reader of ours foresaw is the file's doing
        return {
            "error": "UnreadableMedia",
            "message": f"{name}: damaged in a way nobody foresaw ({type(error).__name__}: {error})."
            " Check that the file plays, and supply it again.",
        }


def _ended(how: str) -> bytes:
    return json.dumps({"ended": how}).encode() + b"\n"


def _write(sink: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


if __name__ == "__main__":
    main()
