"""A timeline in OpenTimelineIO, for editing programs and for people's own scripts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from copal.project import Project
from copal.search.cuts import MatchAnswer
from copal.search.stretches import Join, Medium, Stretch, joins, plain
from copal.timeline import FrameRange


def timeline(project: Project, answer: MatchAnswer, seconds: float = 1.0) -> str:
    """The cuts of an answer, one after the other on one video track, as the text of an .otio file.

    Each clip refers to its source with all of it available, so that an editor can lengthen it. A
    marker at each cut names its place and score. Scores, asset ids and shots are in the metadata
    under ``copal``.

    Parameters
    ----------
    seconds
        How much of the shots on either side of a cut is shown.

    Raises
    ------
    RequestError
        ``seconds`` is no positive number, or there are no cuts.
    """
    return written(joins(project, answer, seconds))


def written(found: list[Join], title: str = "Copal match cuts") -> str:
    """The timeline of some joins."""
    import opentimelineio as otio

    made = otio.schema.Timeline(name=title)
    track = otio.schema.Track(name="Match cuts", kind=otio.schema.TrackKind.Video)
    made.tracks.append(track)
    for place, join in enumerate(found, 1):
        track.append(_clip(otio, join.outgoing))
        entering = _clip(otio, join.incoming)
        entering.markers.append(
            otio.schema.Marker(
                name=f"Match {place}: {plain(join.cut.flavour)} {join.cut.score:.3f}",
                marked_range=_range(
                    otio, FrameRange(join.incoming.range.start, join.incoming.range.start + 1),
                    join.incoming.medium.frame_rate,
                ),
                color=otio.schema.MarkerColor.RED,
                metadata={"copal": {
                    "rank": place, "score": join.cut.score, "flavour": join.cut.flavour,
                    "scores": dict(join.cut.scores),
                }},
            )
        )  # fmt: skip
        track.append(entering)
    return str(otio.adapters.write_to_string(made, "otio_json"))


def _clip(otio: Any, stretch: Stretch) -> Any:
    medium, side = stretch.medium, stretch.side
    return otio.schema.Clip(
        name=plain(stretch.name),
        media_reference=_reference(otio, medium),
        source_range=_range(otio, stretch.range, medium.frame_rate),
        metadata={"copal": {
            "asset": side.asset.id, "title": side.title, "shot": side.shot_index,
            "frame_rate": str(medium.frame_rate), "constant_rate": medium.constant_rate,
            "encode": {"start_frame": side.range.start, "end_frame": side.range.end,
                       "frame_rate": str(side.frame_rate)},
        }},
    )  # fmt: skip


def _reference(otio: Any, medium: Medium) -> Any:
    if not medium.locator:
        return otio.schema.MissingReference(name=plain(medium.name))
    reference = otio.schema.ExternalReference(
        target_url=medium.locator,
        available_range=_range(otio, FrameRange(0, medium.frames), medium.frame_rate),
    )
    reference.name = plain(medium.name)
    return reference


def _range(otio: Any, frames: FrameRange, rate: Fraction) -> Any:
    """A range of frames; OpenTimelineIO keeps rates as floats, frames stay whole."""
    times = (otio.opentime.RationalTime(n, float(rate)) for n in (frames.start, len(frames)))
    return otio.opentime.TimeRange(*times)
