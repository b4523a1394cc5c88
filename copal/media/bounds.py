"""Bounds: how much a source may make of itself, so that a small file cannot fill a disk."""

from __future__ import annotations

from fractions import Fraction

from copal.media.finding import Finding, refuse
from copal.media.technical import Technical, VideoStream

LONGEST_SECONDS = 24 * 3600
"""Of an encode."""
LONGEST_HOLE_SECONDS = 3600
"""Without a picture: before the first, or between two. The one before is repeated throughout."""
MOST_REPEATED = 20
"""Pictures of an encode for each one of its source, beyond ``FREE_FRAMES``."""
FREE_FRAMES = 3600 * 30
"""Pictures that any encode may have: a slide may stand for an hour."""
WIDEST = 20
"""Longer side over shorter. The widest film, Napoléon on three screens, has 4."""
LEEWAY_SECONDS = 10
"""How much longer than measured an encode may come out before it is cut off."""


def excess(video: VideoStream, shown: tuple[Fraction, Fraction], rate: Fraction) -> Finding | None:
    """Why a stream is not encoded; None when it may be.

    Parameters
    ----------
    shown
        Width and height as shown.
    rate
        Frames per second of the encode.
    """
    wide = max(shown) / min(shown) if min(shown) > 0 else Fraction(0)
    if not 1 <= wide <= WIDEST:
        size = f"{float(shown[0]):.0f} × {float(shown[1]):.0f}"
        message = f"its pictures show as {size}: one side is over {WIDEST} times the other"
        return refuse("shape", message, float(wide))
    lasts = video.start_seconds + video.duration_seconds
    if lasts > LONGEST_SECONDS:
        message = f"its pictures last {_hours(lasts)}, over {_hours(LONGEST_SECONDS)}"
        return refuse("too_long", message, float(lasts))
    hole = max(video.longest_gap_seconds, video.start_seconds)
    if hole > LONGEST_HOLE_SECONDS:
        message = f"{_hours(hole)} go by without a picture, over {_hours(LONGEST_HOLE_SECONDS)}"
        return refuse("hole", message, float(hole))
    frames = lasts * rate
    if frames > max(FREE_FRAMES, MOST_REPEATED * video.frame_count):
        message = (
            f"its encode would repeat {video.frame_count} pictures over {int(frames)} frames, "
            f"each over {MOST_REPEATED} times"
        )
        return refuse("repeated", message, float(frames / video.frame_count))
    return None


def longest_encode(source: Technical, video: VideoStream) -> Fraction:
    """Seconds at which an encode is cut off, whatever its source claims while it is decoded."""
    pictures = video.start_seconds + video.duration_seconds
    sound = max((a.start_seconds + a.duration_seconds for a in source.audios), default=Fraction(0))
    lasts = max(pictures, min(sound, pictures + LONGEST_HOLE_SECONDS))
    return lasts * Fraction(101, 100) + LEEWAY_SECONDS


def _hours(seconds: Fraction | int) -> str:
    return f"{float(seconds) / 3600:.1f} hours"
