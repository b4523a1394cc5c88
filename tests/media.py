"""The small videos that tests need, made with the pinned ffmpeg, and where the real clips lie.

Every picture of a *counted* video carries its own number, as ten black or white blocks in its top
third, so that a test can say which picture it was given: ``number_in(picture)``.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from copal.feature import LocalFile, Value
from copal.fingerprint import AssetId
from copal.media import Encode, Source
from copal.media.ffmpeg import binary

BITS = 10
X264 = (
    *("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-g", "24", "-bf", "2"),
    *("-pix_fmt", "yuv420p", "-threads", "1"),
)
X265 = (
    *("-c:v", "libx265", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p10le"),
    *("-x265-params", "log-level=none:pools=1:frame-threads=1:keyint=24:open-gop=1"),
)


def footage(name: str) -> Path:
    """A real clip, by its path inside the footage folder; skips the test where there is none."""
    default = Path(__file__).parents[1] / ".." / "shared" / "footage"
    folder = Path(os.environ.get("COPAL_FOOTAGE", default)).resolve()
    path = folder / name
    if not path.exists():
        pytest.skip(f"no footage '{name}' in {folder}; set $COPAL_FOOTAGE")
    return path


@cache
def folder() -> Path:
    """Where the videos of this process are; removed when it ends."""
    made = Path(tempfile.mkdtemp(prefix="copal-media-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def ffmpeg(*arguments: str | Path, stdin: bytes | None = None) -> None:
    """``ffmpeg -v error -y …`` with the pinned binary."""
    command = [str(binary()), "-hide_banner", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, input=stdin, check=True, timeout=120)


def numbered(index: int, width: int = 320, height: int = 240) -> npt.NDArray[np.uint8]:
    """Picture with its number in blocks and a texture that moves; (height, width, 3) RGB."""
    picture = np.full((height, width, 3), 110, np.uint8)
    block, third = width // BITS, height // 3
    for bit in range(BITS):
        on = index >> bit & 1
        picture[4 : third - 4, bit * block + 2 : (bit + 1) * block - 2] = 235 if on else 20
    rows, columns = np.mgrid[0 : height - third, 0:width]
    picture[third:, :, 0] = (columns + 3 * index) % 256
    picture[third:, :, 1] = (rows * 2) % 256
    return picture


def number_in(picture: npt.NDArray[np.uint8]) -> int:
    """The number that ``numbered`` painted, from a picture of any size."""
    gray = picture if picture.ndim == 2 else picture.mean(axis=2)
    height, width = gray.shape
    row = gray[height // 6]
    centres = [int((bit + 0.5) * width / BITS) for bit in range(BITS)]
    return sum(1 << bit for bit, x in enumerate(centres) if row[x] > 120)


@cache
def counted(
    name: str = "counted.mp4",
    *,
    rate: str = "30",
    frames: int = 90,
    options: tuple[str, ...] = X264,
    sound: bool = False,
    size: tuple[int, int] = (320, 240),
) -> Path:
    """Numbered pictures at a rate.

    ``ffmpeg -f rawvideo -pix_fmt rgb24 -s WxH -r RATE -i - [-f lavfi -i sine] OPTIONS NAME``
    """
    width, height = size
    data = b"".join(numbered(i, width, height).tobytes() for i in range(frames))
    heard = ("-f", "lavfi", "-i", "sine=f=440:r=48000") if sound else ()
    coded = ("-c:a", "aac", "-shortest") if sound else ()
    path = folder() / name
    ffmpeg(
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", rate),
        *("-i", "-", *heard, *options, *coded, path),
        stdin=data,
    )
    return path


@cache
def colours(name: str = "colours.mp4", shots: int = 6, frames_per_shot: int = 20) -> Path:
    """A colour that changes every 20 pictures, with sound: cuts that nobody can argue about.

    ``ffmpeg -f lavfi -i "color=…:d=…[a];…concat=n=6" -f lavfi -i sine -c:v libx264 -c:a aac``
    """
    names = ("red", "navy", "yellow", "green", "magenta", "white", "teal", "orange")
    seconds = frames_per_shot / 25
    parts = [f"color={names[i % 8]}:s=320x240:r=25:d={seconds}[c{i}]" for i in range(shots)]
    joined = "".join(f"[c{i}]" for i in range(shots)) + f"concat=n={shots}"
    path = folder() / name
    ffmpeg(
        *("-f", "lavfi", "-i", ";".join([*parts, joined]), "-f", "lavfi", "-i", "sine=r=48000"),
        *(*X264, "-c:a", "aac", "-shortest", path),
    )
    return path


@cache
def variable_rate() -> Path:
    """Counted at 30, but of the pictures 30 … 59 only every third.

    ``ffmpeg … -vf "select='lt(n,30)+gte(n,60)+not(mod(n,3))'" -fps_mode vfr``
    """
    select = "select='lt(n,30)+gte(n,60)+not(mod(n,3))'"
    return counted("variable.mp4", options=("-vf", select, "-fps_mode", "vfr", *X264))


@cache
def copied(name: str, source: Path, before: str = "", after: str = "") -> Path:
    """A file's streams in another container, untouched: ``ffmpeg BEFORE -i … -c copy AFTER``."""
    path = folder() / name
    ffmpeg(*before.split(), "-i", source, "-map", "0", "-c", "copy", *after.split(), path)
    return path


@cache
def encoded(source: Path) -> Encode:
    """The standard encode of a video."""
    from features.standard_encode import StandardEncode

    workspace = Path(tempfile.mkdtemp(dir=folder()))
    given = Source(AssetId("0" * 32), source, source.name)
    output = StandardEncode(threads=1).compute(source=given, workspace=workspace)
    files = {name: LocalFile(path) for name, path in output.files.items()}
    return Encode.from_value(Value(output.rows, files))
