"""Stretches of source media on either side of a cut, for editors' timelines.

Copal counts frames of the encode. An editor has the source, so its timing is what a timeline must
speak: a 59.94 source has two frames for each one of its 29.97 encode.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from copal.asset import Asset
from copal.errors import RequestError
from copal.fingerprint import AssetId
from copal.media.technical import Technical
from copal.objects.locator import parse_locator
from copal.project import Project
from copal.search.cuts import MatchAnswer, MatchCut, Side
from copal.timeline import FrameRange

REEL_LETTERS = 8
"""Longest name of a reel that CMX3600 holds."""


@dataclass(frozen=True, slots=True)
class Medium:
    """A source file as an editor sees it."""

    locator: str
    """``file:`` or ``s3:`` URL; empty where nobody knows a place any more."""
    name: str
    """File name."""
    reel: str
    """At most eight of A–Z, 0–9 and _, another for every source of one answer."""
    frame_rate: Fraction
    frames: int
    """Length in frames of that rate."""
    constant_rate: bool
    """Whether frames follow each other evenly; if not, the rate is the encode's."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a source."""

    medium: Medium
    side: Side
    range: FrameRange
    """In frames of the source."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.side.title} shot {self.side.shot_index}"


@dataclass(frozen=True, slots=True)
class Join:
    """A match cut as two stretches that meet at it."""

    cut: MatchCut
    outgoing: Stretch
    incoming: Stretch


def joins(project: Project, answer: MatchAnswer, seconds: float) -> list[Join]:
    """The cuts of an answer as stretches of their sources, so many seconds of either shot.

    Raises
    ------
    RequestError
        ``seconds`` is no positive number, or there are no cuts.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise RequestError(f"--handles {seconds}: need more than 0 seconds.")
    if not answer.cuts:
        raise RequestError("there are no match cuts, so there is no timeline to write.")
    sides = [side for cut in answer.cuts for side in (cut.outgoing, cut.incoming)]
    media = _media(project, {side.asset.id: side.frame_rate for side in sides})
    made = []
    for cut in answer.cuts:
        out, into = cut.outgoing, cut.incoming
        lengths = [max(1, round(Fraction(str(seconds)) * s.frame_rate)) for s in (out, into)]
        leaving = FrameRange(max(out.clear.start, out.clear.end - lengths[0]), out.clear.end)
        entering = FrameRange(into.clear.start, min(into.clear.end, into.clear.start + lengths[1]))
        made.append(Join(cut, _stretch(media[out.asset.id], out, leaving),
                         _stretch(media[into.asset.id], into, entering)))  # fmt: skip
    return made


def _stretch(medium: Medium, side: Side, frames: FrameRange) -> Stretch:
    """A range of the encode as one of the source."""
    ratio = medium.frame_rate / side.frame_rate
    start, end = round(frames.start * ratio), round(frames.end * ratio)
    return Stretch(medium, side, FrameRange(start, max(end, start + 1)))


def _media(project: Project, encode_rates: Mapping[AssetId, Fraction]) -> dict[str, Medium]:
    """The sources of assets, given with the rates of their encodes."""
    places: dict[str, str] = {}
    for place in project.catalog.places():
        if place.asset in encode_rates and place.error is None:
            places.setdefault(str(place.asset), place.locator)
    assets = [a for a in project.catalog.assets(technical=True) if a.id in encode_rates]
    found: dict[str, Medium] = {}
    reels: set[str] = set()
    for asset in assets:
        rate, constant, seconds = _timing(asset, encode_rates[asset.id])
        reel = reel_name(asset.name, reels)
        reels.add(reel)
        locator = places.get(asset.id, "")
        name = parse_locator(locator).name if locator else asset.name
        found[asset.id] = Medium(locator, name, reel, rate, math.ceil(seconds * rate), constant)
    return found


def _timing(asset: Asset, encode_rate: Fraction) -> tuple[Fraction, bool, Fraction]:
    """Rate of a source's pictures, whether it is constant, and its length in seconds."""
    video = Technical.from_json(asset.technical).video if asset.technical else None
    if video is None:
        return encode_rate, True, Fraction(asset.duration_seconds)
    end = video.start_seconds + video.duration_seconds
    return (video.frame_rate if video.constant_rate else encode_rate), video.constant_rate, end


def reel_name(file: str, taken: set[str]) -> str:
    """A reel's name from a file's: eight letters, unlike those taken."""
    stem = re.sub(r"[^A-Z0-9_]", "", file.rpartition(".")[0].upper() or file.upper())
    name = stem[:REEL_LETTERS] or "REEL"
    number = 1
    while name in taken or name in ("AX", "BL"):  # these mean 'no reel' and 'black' to editors
        number += 1
        name = f"{(stem or 'REEL')[: REEL_LETTERS - len(str(number))]}{number}"
    return name


def plain(text: str) -> str:
    """A name on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
