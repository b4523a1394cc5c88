"""What does the main job cost beside the ffmpeg commands it cannot do without?

Forty variants of one real clip, each a few frames shorter than the last, so that their essences
differ. The bare commands are the standard encode's own, as many at a time as the run has workers.
"""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from _common import COPAL, ROOT, footage, number, parser, peak_gib, report, timed, timed_together


def variants(clip: Path, folder: Path, count: int) -> list[Path]:
    """Copies of a clip, the n-th n frames shorter: packets are left out at the end."""
    import imageio_ffmpeg

    made = []
    for index in range(count):
        path = folder / f"variant{index:02d}.webm"
        seconds = 70.4 - index / 24
        subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", str(clip),
             "-t", f"{seconds:.4f}", "-c", "copy", str(path)],
            check=True,
        )  # fmt: skip
        made.append(path)
    return made


def bare_commands(clips: list[Path], out: Path) -> list[list[str]]:
    """The standard encode's ffmpeg command for each clip."""
    import sys

    sys.path.insert(0, str(ROOT))
    from copal.media import command, probe, transcode
    from features.standard_encode import StandardEncode

    feature = StandardEncode()
    commands = []
    for clip in clips:
        plan = transcode.plan_transcode(
            probe.probe(clip, name=clip.name), clip.name, short_side=feature.short_side,
            long_side=feature.small_long_side, crf=feature.crf, threads=feature.threads,
        )  # fmt: skip
        names = (out / f"{clip.stem}{end}" for end in (".mp4", "-small.mp4", ".flac"))
        commands.append(command.compile_command(clip, plan, *names))
    return commands


def feature_costs(store: str) -> list[tuple[str, float, float]]:
    """Feature, CPU seconds per second of media, seconds of wall time in all."""
    import copal

    project = copal.open(ROOT, store=store).project
    found = []
    for name, recipe in project.recipes().items():
        attempts = project.store.table(recipe).attempts(["stored", "empty"])
        media = sum(each.media_seconds for each in attempts)
        cpu = sum(each.cpu_seconds for each in attempts)
        found.append((name, cpu / media if media else 0.0, sum(a.seconds for a in attempts)))
    return found


def decoding_costs(store: str) -> tuple[float, float]:
    """CPU seconds per second of media of decoding one encode alone, in both sizes."""
    import av

    import copal

    lake = copal.open(ROOT, store=store)
    encode = lake.encode(lake.assets()[0].id)
    costs = []
    for video in (encode.video, encode.small):
        before = time.process_time()
        with av.open(str(video.file.path())) as container:
            for _ in container.decode(video=0):
                pass
        costs.append((time.process_time() - before) / float(video.frame_count / video.frame_rate))
    return costs[0], costs[1]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "")
    options.add_argument("--variants", type=int, default=40)
    options.add_argument("--workers", type=int, default=2)
    given = options.parse_args()
    clip = footage("multishot/tos_battle.webm")
    if clip is None:
        report({"skipped": "no footage folder"}, given.json, [["skipped: no footage folder"]])
        return
    with tempfile.TemporaryDirectory(prefix="copal-bench-") as name:
        folder = Path(name)
        media, out, store = folder / "media", folder / "out", str(folder / "store")
        media.mkdir(), out.mkdir()
        clips = variants(clip, media, given.variants)
        bare = timed_together(bare_commands(clips, out), given.workers)
        copal = [*COPAL, "--project", str(ROOT), "--store", store]
        adding = timed([*copal, "add", str(media), "--json"])
        started = time.perf_counter()
        ran = subprocess.run(
            [*copal, "run", "--json", "--max-workers", str(given.workers)],
            check=True, stdout=subprocess.PIPE,
        )  # fmt: skip
        cold = time.perf_counter() - started
        outcome = json.loads(ran.stdout)
        noop = min(timed([*copal, "run", "--json"]) for _ in range(3))
        costs = feature_costs(store)
        full, small = decoding_costs(store)
    busy = sum(seconds for *_, seconds in costs)
    idle = given.workers * outcome["seconds"] - busy
    figures: dict[str, object] = {
        "ratio_to_ffmpeg": number(cold / bare),
        "noop_seconds": number(noop),
        "peak_gib": number(peak_gib()),
        "seconds_per_task": number(idle / outcome["tasks"]),
        "share_beside_cells": number(idle / (given.workers * outcome["seconds"])),
        "add_ratio_to_ffmpeg": number(adding / bare),
        "cpu_seconds_per_media_second": {n: number(c, 4) for n, c, _ in costs}
        | {"decoding 360p alone": number(full, 4), "decoding small alone": number(small, 4)},
        "variants": given.variants,
        "tasks": outcome["tasks"],
    }
    table: list[list[object]] = [
        ["bare ffmpeg commands", f"{bare:.1f} s", f"{given.workers} at a time"],
        ["cold run", f"{cold:.1f} s", f"{cold / bare:.2f} × the bare commands"],
        ["add (probe and essence)", f"{adding:.1f} s", f"{adding / bare:.2f} ×"],
        ["run with nothing to do", f"{noop:.2f} s"],
        ["largest process", f"{peak_gib():.2f} GiB"],
        ["beside the cells", f"{idle / outcome['tasks']:.2f} s a task",
         f"{idle / (given.workers * outcome['seconds']):.0%} of the run"],
        [],
        ["feature", "CPU s per s of media"],
        *([name, f"{cost:.4f}"] for name, cost, _ in costs),
        ["decoding 360p alone", f"{full:.4f}"],
        ["decoding small alone", f"{small:.4f}"],
    ]  # fmt: skip
    report(figures, given.json, table)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
