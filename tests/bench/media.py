"""What do the standard encode, reading it and recognising a file cost beside the bare tools?

The bare encode is the standard encode's own ffmpeg command without its measuring filters; the bare
loops are the shortest ones that PyAV allows for the same pictures and packets. Every figure is the
best of some turns, taken in alternation, so that a busy machine disturbs both sides alike.
"""

from __future__ import annotations

import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _common import ROOT, footage, number, parser, report

sys.path.insert(0, str(ROOT))

TURNS = 3
RANDOM_READS = 100


def best(turns: int, *ways: Callable[[], object]) -> list[float]:
    """Best wall seconds of each way, taken in alternation."""
    found = [float("inf")] * len(ways)
    for _ in range(turns):
        for index, way in enumerate(ways):
            started = time.perf_counter()
            way()
            found[index] = min(found[index], time.perf_counter() - started)
    return found


def processor_seconds(way: Callable[[], object]) -> float:
    """Of a way, all of its processes and the sandbox's included."""
    from copal.media import sandbox

    def used() -> float:
        sandbox.close()  # what it used counts when it has ended
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)

    before = used()
    way()
    return used() - before


def encodes(clip: Path, folder: Path, turns: int) -> tuple[list[float], list[float], Any]:
    """Seconds of the bare command, of the encode, and with essence and QC; and the encode.

    Seconds twice: on the wall, and of the processors, which other work disturbs less.
    """
    from copal.feature import LocalFile, Value
    from copal.fingerprint import AssetId
    from copal.media import Encode, Source, command, ffmpeg, sandbox, transcode
    from features.standard_encode import StandardEncode

    feature = StandardEncode()
    paths = tuple(folder / name for name in ("video.mp4", "small.mp4", "audio.flac"))

    def planned() -> Any:
        return transcode.plan_transcode(
            sandbox.probe(clip), clip.name, short_side=feature.short_side,
            long_side=feature.small_long_side, crf=feature.crf, threads=feature.threads,
        )  # fmt: skip

    def encode() -> None:
        plan = planned()
        plain = command.compile_command(clip, plan, *paths)
        ffmpeg.run(plain, name=clip.name, limits=plan.limits)

    def everything() -> Any:
        sandbox.inspect(clip)
        source = Source(AssetId("0" * 32), clip, clip.name)
        return feature.compute(source=source, workspace=folder)

    bare = command.compile_command(clip, planned(), *paths)
    ways = (lambda: subprocess.run(bare, check=True), encode, everything)
    seconds = best(turns, *ways)
    used = [processor_seconds(way) for way in ways]
    output = everything()
    files = {name: LocalFile(path) for name, path in output.files.items()}
    return seconds, used, Encode.from_value(Value(output.rows, files))


def reads(video: Any, turns: int) -> dict[str, tuple[float, float]]:
    """Frames per second of a bare loop and of ``Video.frames``, by format."""
    import av
    import numpy as np

    path = str(video.file.path())

    def bare_gray() -> None:
        with av.open(path) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                plane = frame.planes[0]
                rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
                rows[:, : frame.width].copy()

    def bare_rgb() -> None:
        with av.open(path) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                frame.to_ndarray(format="rgb24")

    def ours(format: str) -> None:
        for _ in video.frames(format=format):
            pass

    found = {}
    for format, bare in (("gray", bare_gray), ("rgb24", bare_rgb)):
        loop, mine = best(turns, bare, lambda format=format: ours(format))
        found[format] = (video.frame_count / loop, video.frame_count / mine)
    return found


def random_reads(video: Any) -> float:
    """Median milliseconds of one picture at a random place."""
    places = random.Random(1).sample(range(video.frame_count), RANDOM_READS)
    return statistics.median(best(1, lambda i=i: video.frame(i))[0] for i in places) * 1000


def essences(clip: Path, folder: Path, turns: int, gigabytes: float) -> tuple[float, float, float]:
    """Gigabytes of a long file, seconds of a bare demux of it and of its essence."""
    import av

    from copal.media import ffmpeg, sandbox

    run = [str(ffmpeg.binary()), "-v", "error", "-nostdin", "-y"]
    once, long = folder / "once.mp4", folder / "long.mp4"
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "4", "-c:a", "aac")
    subprocess.run([*run, "-t", "20", "-i", str(clip), *coded, str(once)], check=True)
    loops = int(gigabytes * 1e9 / once.stat().st_size)
    again = ("-stream_loop", str(loops), "-i", str(once), "-c", "copy")
    subprocess.run([*run, *again, str(long)], check=True)

    def bare() -> None:
        with av.open(str(long)) as container:
            for _ in container.demux():
                pass

    sandbox.probe(clip)  # the server is up
    loop, mine = best(turns, bare, lambda: sandbox.inspect(long))
    return long.stat().st_size / 1e9, loop, mine


def server_start() -> float:
    """Milliseconds until a fresh sandbox has read its first file."""
    from copal.media import sandbox

    clip = footage("robust/sample_audio_only.mp4")
    assert clip is not None
    sandbox.close()
    first = best(1, lambda: sandbox.probe(clip))[0]
    return (first - best(3, lambda: sandbox.probe(clip))[0]) * 1000


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "")
    options.add_argument("--turns", type=int, default=TURNS)
    options.add_argument("--gigabytes", type=float, default=1.0, help="size of the long file")
    given = options.parse_args()
    clip = footage("multishot/tos_battle.webm")
    if clip is None:
        report({"skipped": "no footage folder"}, given.json, [["skipped: no footage folder"]])
        return
    with tempfile.TemporaryDirectory(prefix="copal-bench-") as name:
        folder = Path(name)
        start = server_start()
        (bare, encode, everything), used, made = encodes(clip, folder, given.turns)
        speeds = reads(made.video, given.turns)
        random_ms = random_reads(made.video)
        size, demux, essence = essences(clip, folder, given.turns, given.gigabytes)
    read_ratio = min(mine / loop for loop, mine in speeds.values())
    figures: dict[str, object] = {
        "encode_ratio": number(encode / bare, 3),
        "encode_ratio_with_qc": number(everything / bare, 3),
        "encode_cpu_ratio": number(used[1] / used[0], 3),
        "encode_cpu_ratio_with_qc": number(used[2] / used[0], 3),
        "read_ratio": number(read_ratio, 3),
        "random_read_ms": number(random_ms),
        "essence_ratio": number(essence / demux),
        "sandbox_start_ms": number(start, 0),
    }
    table: list[list[object]] = [
        ["", "wall", "× bare", "processors", "× bare"],
        *(
            [label, f"{wall:.2f} s", f"{wall / bare:.3f}", f"{cpu:.2f} s", f"{cpu / used[0]:.3f}"]
            for label, wall, cpu in (
                (f"bare ffmpeg, {clip.name}", bare, used[0]),
                ("probe and encode", encode, used[1]),
                ("with essence and QC", everything, used[2]),
            )
        ),
        [],
        *(
            [f"frames, {format}", f"{mine:.0f} a second", f"{mine / loop:.3f} of a bare loop"]
            for format, (loop, mine) in speeds.items()
        ),
        ["one frame at random", f"{random_ms:.1f} ms", f"median of {RANDOM_READS}"],
        [f"essence of {size:.2f} GB", f"{essence:.2f} s", f"{essence / demux:.2f} × a bare demux"],
        ["first file of a process", f"{start:.0f} ms", "to start the sandbox"],
    ]
    report(figures, given.json, table)


if __name__ == "__main__":
    main()
