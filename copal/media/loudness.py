"""Loudness: how loud a source's own sound is, as EBU R 128 measures it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from copal.media.ffmpeg import INPUT_OPTIONS, binary, run

if TYPE_CHECKING:
    import numpy.typing as npt

    from copal.media.transcode import Transcode

GATE_LUFS = -70.0
"""Quieter blocks are silence."""
RELATIVE_GATE_LU = 10.0
"""Blocks that much quieter than the rest are no part of it."""
BLOCK_SECONDS, STEP_SECONDS = 0.4, 0.1
_MOMENTARY, _INTEGRATED = "lavfi.r128.M", "lavfi.r128.I"
_RANGE, _PEAK = "lavfi.r128.LRA", "lavfi.r128.true_peak"


@dataclass(frozen=True, slots=True)
class Loudness:
    """One sound, measured. What silence has none of is None."""

    integrated_lufs: float | None
    range_lu: float | None
    true_peak_dbtp: float | None
    """Of all channels, sampled four times as finely; None below -66. ffmpeg tells it in thousandths
    of full scale: exact to 0.01 dB at 0 dBTP, to 0.5 dB at -40."""
    block_ends: npt.NDArray[np.float64]
    """(blocks,) seconds at which each block of 400 ms ends."""
    block_lufs: npt.NDArray[np.float64]
    """(blocks,) loudness of each."""

    def between(self, start_seconds: float, end_seconds: float) -> float | None:
        """Loudness of a stretch by its blocks, gated like the whole; None when it is silent.

        A stretch shorter than a block is as loud as the block around its middle.
        """
        slack = STEP_SECONDS / 100
        within = (self.block_ends - BLOCK_SECONDS >= start_seconds - slack) & (
            self.block_ends <= end_seconds + slack
        )
        if not within.any() and self.block_ends.size:
            middle = (start_seconds + end_seconds) / 2
            off = np.abs(self.block_ends - BLOCK_SECONDS / 2 - middle)
            nearest = int(np.argmin(off))
            if off[nearest] <= BLOCK_SECONDS / 2:
                within[nearest] = True
        energy = 10 ** (self.block_lufs[within & (self.block_lufs > GATE_LUFS)] / 10)
        if not energy.size:
            return None
        gated = energy[energy > energy.mean() * 10 ** (-RELATIVE_GATE_LU / 10)]
        return 10 * math.log10(float(gated.mean()))


def measure(path: Path, plan: Transcode, workspace: Path, name: str) -> Loudness | None:
    """Measure the sound that the encode is made of, as it is: every channel, at its own rate.

    Parameters
    ----------
    plan
        Of the encode: which sound, and when frame 0 shows; times count from it.

    Returns
    -------
    None for a source without sound.

    Raises
    ------
    UnreadableMedia
        It cannot be decoded.

    Notes
    -----
    Source: ffmpeg's ``ebur128`` (EBU R 128, Tech 3341 and 3342; ITU-R BS.1770-4 true peak).
    """
    import ffmpeg

    if plan.audio is None:
        return None
    told = workspace / "loudness.txt"
    given = ffmpeg.input(f"file:{path.absolute()}", threads=1, **INPUT_OPTIONS)
    heard = given[str(plan.audio.index)]
    # the clock of the encode's sound: what starts late is preceded by silence
    heard = heard.filter("asetpts", f"floor(PTS-{float(plan.lead_seconds):.9f}/TB+0.5)")
    heard = heard.filter("aresample", **{"async": 1, "first_pts": 0})
    heard = heard.filter("ebur128", metadata=1, peak="true", framelog="quiet")
    heard = heard.filter("ametadata", mode="print", file=str(told))
    longest = f"{float(plan.longest_seconds):.3f}"
    command: list[str] = (
        ffmpeg.output(heard, "-", format="null", t=longest)
        .global_args("-hide_banner", "-nostdin", "-v", "repeat+error")
        .compile(cmd=str(binary()))
    )
    limits = replace(plan.limits, file_bytes=1 << 30)
    run(command, name=name, limits=limits, jailed=(path, workspace))
    found = _read(told) if told.exists() else {}
    last = {key: values[-1] for key, values in found.items() if values}
    loud = last.get(_INTEGRATED, GATE_LUFS)
    peak = last.get(_PEAK, 0.0)
    heard = loud > GATE_LUFS
    return Loudness(
        integrated_lufs=loud if heard else None,
        range_lu=last.get(_RANGE) if heard else None,
        true_peak_dbtp=20 * math.log10(peak) if peak > 0 else None,
        block_ends=np.array(found.get("pts_time", ())) + STEP_SECONDS,
        block_lufs=np.nan_to_num(np.array(found.get(_MOMENTARY, ())), nan=-120.0, neginf=-120.0),
    )


def _read(path: Path) -> dict[str, list[float]]:
    """Each measure, in order; ``pts_time`` is when a step of 100 ms began."""
    found: dict[str, list[float]] = {key: [] for key in ("pts_time", _MOMENTARY)}
    with path.open() as lines:
        for line in lines:
            if line.startswith("frame:"):
                found["pts_time"].append(float(line.rpartition(":")[2]))
                continue
            key, _, value = line.partition("=")
            if key == _MOMENTARY:
                found[key].append(float(value))
            elif key in (_INTEGRATED, _RANGE, _PEAK):
                found[key] = [float(value)]
    return found
