"""Damaged media, thousands of times: every case is stored or refused, and nothing stays behind.

``python tests/fuzz/media.py --cases 2000`` flips bits, cuts, splices and overwrites small files of
many codecs and containers, and brings each to Copal as ``copal add`` and ``standard_encode`` would.
A case is its number: ``--first 1234 --cases 1`` runs that one again, ``--keep FOLDER`` keeps its
file.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from copal.errors import MediaError  # noqa: E402 — the path comes first
from copal.feature import LocalFile, Value  # noqa: E402
from copal.fingerprint import AssetId  # noqa: E402
from copal.media import Encode, Source, sandbox  # noqa: E402
from features.standard_encode import StandardEncode  # noqa: E402
from tests.media import ffmpeg  # noqa: E402

SLOWEST_SECONDS = 120.0
"""A case that takes longer hangs."""
LARGEST_SEED = 130_000
"""Bytes of a real clip that is damaged too."""

_PICTURES = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=0.8")
_SOUND = ("-f", "lavfi", "-i", "sine=r=48000:d=0.8")
_X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "8", "-bf", "2", "-pix_fmt", "yuv420p")
_VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
SEEDS: dict[str, tuple[str, ...]] = {
    "h264.mp4": (*_X264, "-c:a", "aac"),
    "faststart.mp4": (*_X264, "-c:a", "aac", "-movflags", "+faststart"),
    "fragments.mp4": (*_X264, "-c:a", "aac", "-movflags", "+frag_keyframe+empty_moov"),
    "h264.mkv": (*_X264, "-c:a", "libvorbis"),
    "h264.ts": (*_X264, "-c:a", "mp2"),
    "h264.m2ts": (*_X264, "-c:a", "ac3"),
    "h264.flv": (*_X264, "-c:a", "aac"),
    "hevc.mp4": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
    "vp8.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
    "vp9.webm": (*_VP9, "-c:a", "libopus"),
    "av1.mp4": ("-c:v", "libaom-av1", "-cpu-used", "8", "-an"),
    "vvc.mp4": ("-c:v", "libvvenc", "-preset", "faster", "-t", "0.3", "-an"),
    "mpeg2.ts": ("-c:v", "mpeg2video", "-flags", "+ilme+ildct", "-c:a", "mp2"),
    "mpeg2.mpg": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "mpeg2.mxf": ("-c:v", "mpeg2video", "-c:a", "pcm_s16le"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-bf", "2", "-c:a", "libmp3lame"),
    "motion.avi": ("-c:v", "mjpeg", "-c:a", "pcm_s16le"),
    "prores.mov": ("-c:v", "prores_ks", "-c:a", "pcm_s16le"),
    "ffv1.mkv": ("-c:v", "ffv1", "-c:a", "flac"),
    "theora.ogv": ("-c:v", "libtheora", "-c:a", "libvorbis"),
    "windows.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "moving.gif": ("-an",),
    "still.png": ("-frames:v", "1", "-an", "-update", "1"),
    "song.mp3": ("-vn", "-c:a", "libmp3lame"),
    "song.flac": ("-vn", "-c:a", "flac"),
    "song.m4a": ("-vn", "-c:a", "alac"),
}
TEXT = "1\n00:00:00,100 --> 00:00:01,500\nHello\n\n2\n00:00:02,000 --> 00:00:03,000\n<i>Bye</i>\n"

Damage = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def flip(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """Some bits, from one to one in a thousand bytes."""
    for _ in range(rng.choice((1, 2, 8, max(1, len(data) // 1000)))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """The end away."""
    del data[rng.randrange(len(data)) :]


def drop(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """A piece out of the middle."""
    at = rng.randrange(len(data))
    del data[at : at + rng.choice((1, 4, 188, 1000, 5000))]


def splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """A piece of another file in, or over what was there."""
    other = rng.choice(others)
    start = rng.randrange(len(other))
    piece = other[start : start + rng.choice((16, 188, 700, 4000))]
    at = rng.randrange(len(data))
    data[at : at + (len(piece) if rng.random() < 0.5 else 0)] = piece


def repeat(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """A piece of its own again, somewhere else."""
    start = rng.randrange(len(data))
    piece = bytes(data[start : start + rng.choice((64, 376, 3000))])
    at = rng.randrange(len(data))
    data[at:at] = piece


def lie(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """A number that some length or count may be."""
    value = rng.choice((0, 1, 0x7F, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000))
    head = min(len(data), 2000)  # headers stand at the beginning, or in mp4 at the end
    at = rng.choice((rng.randrange(head), len(data) - 1 - rng.randrange(head)))
    data[at : at + 4] = value.to_bytes(4, rng.choice(("big", "little")))


def blank(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    """Zeros over a piece."""
    at = rng.randrange(len(data))
    size = min(rng.choice((4, 512, 4096)), len(data) - at)
    data[at : at + size] = bytes(size)


DAMAGES: tuple[Damage, ...] = (flip, flip, cut, drop, splice, repeat, lie, lie, blank)


@dataclass(slots=True)
class Tally:
    """How the cases went."""

    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """What must not be: an error that is no refusal, a hang, something left behind."""
    slowest: tuple[float, int] = (0.0, -1)


def make_seeds(folder: Path) -> list[Path]:
    """The files that are damaged: made ones, a subtitle file, and small real clips."""
    made = []
    for name, options in SEEDS.items():
        path = folder / name
        ffmpeg(*_PICTURES, *_SOUND, *options, "-threads", "1", path)
        made.append(path)
    (folder / "words.srt").write_text(TEXT)
    made.append(folder / "words.srt")
    clips = Path(os.environ.get("COPAL_FOOTAGE") or ROOT.parent / "shared" / "footage")
    small = (p for p in sorted(clips.glob("robust/*")) if p.stat().st_size < LARGEST_SEED)
    return made + list(small)


def damaged(number: int, seeds: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Name and bytes of one case; the same for the same number and seeds."""
    rng = random.Random(number)
    name, content = seeds[number % len(seeds)]
    data = bytearray(content)
    others = [each for _, each in seeds]
    for _ in range(rng.choice((1, 1, 2, 4))):
        if data:
            rng.choice(DAMAGES)(data, rng, others)
    return f"case{number}-{name}", bytes(data)


def bring(path: Path, workspace: Path) -> tuple[str, str]:
    """Add and encode one file, and read the encode whole: how it went, and why."""
    try:
        found = sandbox.inspect(path)
        source = Source(AssetId(found.asset), path, path.name)
        feature = StandardEncode(short_side=72, small_long_side=64, threads=1)
        output = feature.compute(source=source, workspace=workspace)
    except MediaError as error:
        reason = str(error).partition(": ")[2].partition("(")[0].partition(".")[0]
        return "refused", reason
    files = {name: LocalFile(made) for name, made in output.files.items()}
    encode = Encode.from_value(Value(output.rows, files))
    for video in (encode.video, encode.small):
        seen = sum(1 for _ in video.frames(format="gray"))
        assert seen == encode.frame_count, f"{seen} of {encode.frame_count} frames"
    if encode.audio is not None and encode.audio.sample_count:
        assert encode.audio.samples().size == encode.audio.sample_count
    codes = {f["code"] for f in output.rows.to_pylist()[0]["findings"]}
    return "stored", "with decode errors" if "decode_errors" in codes else "whole"


def processes() -> set[str]:
    """Names of this process's children and theirs, the sandbox's server left out."""
    if not Path("/proc/self/task").exists():
        return set()
    found, waiting = set(), [os.getpid()]
    server = sandbox._server.process.pid if sandbox._server is not None else -1
    while waiting:
        pid = waiting.pop()
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                waiting.append(child)
                if child != server:
                    found.add(Path(f"/proc/{child}/cmdline").read_text().replace("\0", " "))
    return found


def run(cases: int, *, first: int = 0, workers: int = 2, keep: Path | None = None) -> Tally:
    """Run cases ``first`` to ``first + cases``."""
    tally, before = Tally(), processes()
    with tempfile.TemporaryDirectory(prefix="copal-fuzz-") as name:
        folder = Path(name)
        (folder / "seeds").mkdir()
        (folder / "work").mkdir()
        (folder / "temporary").mkdir()
        seeds = [(path.name, path.read_bytes()) for path in make_seeds(folder / "seeds")]

        def one(number: int) -> None:
            label, data = damaged(number, seeds)
            path = folder / label
            path.write_bytes(data)
            started = time.monotonic()
            with tempfile.TemporaryDirectory(dir=folder / "work") as workspace:
                try:
                    outcome, reason = bring(path, Path(workspace))
                except Exception as error:
                    outcome, reason = "fault", type(error).__name__
                    tally.faults.append(f"{label}: {type(error).__name__}: {error}")
            seconds = time.monotonic() - started
            tally.outcomes[outcome] += 1
            tally.reasons[f"{outcome}: {reason}"] += 1
            tally.slowest = max(tally.slowest, (seconds, number))
            if seconds > SLOWEST_SECONDS:
                tally.faults.append(f"{label}: took {seconds:.0f} seconds")
            if keep is not None:
                (keep / label).write_bytes(data)
            path.unlink()

        usual, tempfile.tempdir = tempfile.tempdir, str(folder / "temporary")
        try:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(one, range(first, first + cases)))
        finally:
            tempfile.tempdir = usual
        tally.faults += [f"left running: {each}" for each in processes() - before]
        left = [each for part in ("work", "temporary") for each in (folder / part).iterdir()]
        tally.faults += [f"left behind: {each}" for each in left]
    return tally


def main() -> int:
    """Run the cases and print how they went; 1 when something must not be."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--cases", type=int, default=2000)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options.add_argument("--keep", type=Path, help="folder for the damaged files")
    given = options.parse_args()
    started = time.monotonic()
    tally = run(given.cases, first=given.first, workers=given.workers, keep=given.keep)
    for reason, count in tally.reasons.most_common():
        print(f"{count:6}  {reason}")
    seconds, number = tally.slowest
    print(
        f"{given.cases} cases in {time.monotonic() - started:.0f} s; "
        f"the slowest, {number}, took {seconds:.1f} s"
    )
    for fault in tally.faults:
        print(f"FAULT {fault}")
    return bool(tally.faults)


if __name__ == "__main__":
    sys.exit(main())
