"""The pinned ffmpeg: which binary it is, and how it is run on files nobody trusts."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from blake3 import blake3

from copal.errors import StoreError, UnreadableMedia
from copal.media import jail

MOST_PIXELS = 100_000_000
"""Of one picture; 8K has 33 million."""
MOST_STREAMS = 64

INPUT_OPTIONS = {
    # A playlist that calls itself film.mp4 opens other files unless its format is not listed;
    # the protocol list alone does not stop it.
    "protocol_whitelist": "file",
    "format_whitelist": (
        "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpegtsraw,mpeg,mpegvideo,avi,mxf,flv,asf,ogg,"
        "wav,aiff,flac,mp3,aac,ac3,eac3,dv,gxf,h264,hevc,obu,ivf,nut,y4m,yuv4mpegpipe,"
        "png_pipe,jpeg_pipe,webp_pipe,tiff_pipe,bmp_pipe,gif"
    ),
    "max_pixels": str(MOST_PIXELS),
    "max_streams": str(MOST_STREAMS + 1),  # the rest would be left out without a word
}
"""Options that every reader of a source gives to libavformat, PyAV's and the binary's alike."""

MEASURES = frozenset(
    f"lavfi.{key}".encode()
    for key in (
        "r128.I", "r128.LRA", "r128.true_peak",
        "idet.multiple.tff", "idet.multiple.bff", "idet.multiple.progressive",
        "idet.repeated.neither", "idet.repeated.top", "idet.repeated.bottom",
    )
)  # fmt: skip
"""What is kept of the metadata that filters print."""

GIB = 1 << 30
STDERR_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may use at most."""

    seconds: float = 2 * 3600
    memory_bytes: int = 8 * GIB
    """Address space. A 4K HEVC source with two threads maps under 3 GiB."""
    file_bytes: int = 64 * GIB
    """Size of any one file it writes."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended."""

    complaints: tuple[str, ...]
    """Distinct lines of stderr at level error, sorted: threads write them in any order."""
    measures: Mapping[str, float]
    """What its measuring filters said last on stdout, by their keys: ``lavfi.r128.I``."""
    seconds: float


@lru_cache(maxsize=1)
def binary() -> Path:
    """The ffmpeg in use: ``$COPAL_FFMPEG``, or the one that imageio-ffmpeg carries.

    Raises
    ------
    StoreError
        There is none; the operator has to install one.
    """
    named = os.environ.get("COPAL_FFMPEG")
    if named:
        path = Path(named).absolute()
        if not os.access(path, os.X_OK):
            raise StoreError(f"$COPAL_FFMPEG: '{named}' is no program that can be run. Correct it.")
        return path
    import imageio_ffmpeg

    return Path(imageio_ffmpeg.get_ffmpeg_exe()).absolute()


@lru_cache(maxsize=1)
def version() -> str:
    """The version that ffmpeg gives itself and a digest of its build: ``9.0.2-static-1f0c8a55``.

    Two builds of one version may hold different coders, and then they make other bytes: so the
    libraries and options that it names count too, and its size. Asked once per process.

    Raises
    ------
    StoreError
        It cannot be run in the jail in which it will have to encode.
    """
    launch = _launch(Limits(), (binary(), Path("/nowhere")))
    done = subprocess.run(
        [*launch, str(binary()), "-hide_banner", "-version"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
        env=_environment(),
    )  # fmt: skip
    if done.returncode:
        raise StoreError(
            f"'{binary()}' cannot be run ({_last_line(done.stderr)}). Install an ffmpeg whose "
            "libraries lie in /usr or /opt, or beside it in 'lib'."
        )
    build = blake3(f"{binary().stat().st_size}\n{done.stdout}".encode()).hexdigest(length=4)
    return f"{done.stdout.split(maxsplit=3)[2]}-{build}"


def run(
    command: Sequence[str],
    *,
    name: str,
    limits: Limits | None = None,
    jailed: tuple[Path, Path] | None = None,
) -> Outcome:
    """Run ffmpeg on a source, within limits, without input and without our environment.

    Parameters
    ----------
    command
        Arguments, the binary first.
    name
        What messages call the source.
    jailed
        The source and the folder of what is made of it: where the kernel has Landlock, ffmpeg
        reads and writes nothing else.

    Raises
    ------
    UnreadableMedia
        ffmpeg gave up, or took longer than it may. Nothing of it is left running.
    """
    limits = limits or Limits()
    started = time.monotonic()
    process = subprocess.Popen(
        [*_launch(limits, jailed), *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=_environment(), start_new_session=True,
    )  # fmt: skip
    measures: dict[str, float] = {}
    try:
        text = _listen(process, started + limits.seconds, measures)
    except BaseException:
        _end(process)
        raise
    if text is None:
        _end(process)
        raise UnreadableMedia(
            f"{name}: ffmpeg was stopped after {limits.seconds:g} seconds. "
            "Raise the feature's timeout if the file is that long; otherwise supply it again."
        )
    complaints = _lines(text)
    if process.returncode:
        last = _last_line(text) or f"exit code {process.returncode}"
        raise UnreadableMedia(
            f"{name}: ffmpeg could not decode it ({last}). "
            "Check that the file plays, and supply it again."
        )
    return Outcome(complaints, measures, time.monotonic() - started)


def _launch(limits: Limits, jailed: tuple[Path, Path] | None) -> list[str]:
    """A Python that limits itself and becomes ffmpeg.

    ``preexec_fn`` may deadlock in a process with threads.
    """
    return [
        sys.executable, "-I", "-S", jail.__file__,
        str(limits.memory_bytes), str(limits.file_bytes), str(os.getpid()),
        *(str(path.absolute()) for path in jailed or ()), *(() if jailed else ("", "")),
    ]  # fmt: skip


def _environment() -> dict[str, str]:
    """Nothing of ours: a decoder that is taken over finds no credentials."""
    return {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "AV_LOG_FORCE_NOCOLOR": "1"}


def _listen(
    process: subprocess.Popen[bytes], deadline: float, measures: dict[str, float]
) -> str | None:
    """All that the process wrote to stderr, up to a limit; None when the deadline passed.

    What it wrote to stdout is read into ``measures`` and forgotten.
    """
    assert process.stderr is not None and process.stdout is not None
    kept, rest = bytearray(), b""
    with process.stderr as stderr, process.stdout as stdout:
        waiting = [stderr, stdout]
        while waiting:
            left = deadline - time.monotonic()
            ready = select.select(waiting, [], [], max(0.0, left))[0]
            if left <= 0 or not ready:
                return None
            for pipe in ready:
                block = os.read(pipe.fileno(), 1 << 16)
                if not block:
                    waiting.remove(pipe)
                elif pipe is stderr:
                    kept += block[: STDERR_LIMIT - len(kept)]
                else:
                    rest = _measure(rest + block, measures)
    try:
        process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return None
    if len(kept) == STDERR_LIMIT:  # the last line is cut
        del kept[kept.rfind(b"\n") + 1 :]
    return kept.decode("utf-8", "replace")


def _measure(text: bytes, measures: dict[str, float]) -> bytes:
    """Take the values from whole lines ``key=value``; what is left of a line."""
    *lines, rest = text.split(b"\n")
    for line in lines:
        key, _, value = line.partition(b"=")
        if key in MEASURES:
            with suppress(ValueError):
                measures[key.decode()] = float(value)
    return rest[-256:]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _lines(text: str) -> tuple[str, ...]:
    plain = re.sub(r" @ 0x[0-9a-f]+", "", text)  # addresses differ from run to run
    return tuple(sorted({line.strip() for line in plain.splitlines() if line.strip()}))


_CONSEQUENCE = re.compile(
    r"Nothing was written|Task finished|Terminating thread|Could not open encoder before EOF"
    r"|Error sending frames"
)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in re.sub(r" @ 0x[0-9a-f]+", "", text).splitlines()]
    said = [line for line in lines if line]
    causes = [line for line in said if not _CONSEQUENCE.search(line)]
    return (causes or said or [""])[-1]
