"""An edit decision list in CMX3600, which every editing program reads."""

from __future__ import annotations

from fractions import Fraction

from copal.errors import RequestError
from copal.project import Project
from copal.search.cuts import MatchAnswer
from copal.search.stretches import Join, Stretch, joins, plain
from copal.timeline import timecode

MOST_EVENTS = 999
LONGEST_NAME = 60
RATES = tuple(Fraction(n) for n in (24, 25, 30, 48, 50, 60)) + tuple(
    Fraction(n * 1000, 1001) for n in (24, 30, 48, 60)
)


def edit_list(project: Project, answer: MatchAnswer, seconds: float = 1.0) -> str:
    """The cuts of an answer, one after the other, as an edit decision list.

    Its record side begins at 01:00:00:00. Rates of 29.97 and 59.94 have drop-frame labels. The
    source side counts from 00:00:00:00, the source's first frame.

    Parameters
    ----------
    seconds
        How much of the shots on either side of a cut is shown.

    Raises
    ------
    RequestError
        The sources have several frame rates, or one that the format does not know, or there are
        more than 499 cuts: a list has 999 events and one rate.
    """
    found = joins(project, answer, seconds)
    return written(found)


def written(found: list[Join], title: str = "Copal match cuts") -> str:
    """The list of some joins."""
    stretches = [stretch for join in found for stretch in (join.outgoing, join.incoming)]
    rate = _one_rate(stretches)
    if len(stretches) > MOST_EVENTS:
        raise RequestError(
            f"{len(stretches):,} events; an edit decision list holds {MOST_EVENTS}. "
            f"Ask for --top {MOST_EVENTS // 2} or fewer, or write --otio."
        )
    drop = ";" in timecode(0, rate)
    at = hour(rate)
    lines = [f"TITLE: {_name(title)}", f"FCM: {'' if drop else 'NON-'}DROP FRAME"]
    for number, stretch in enumerate(stretches, 1):
        length = len(stretch.range)
        labels = [timecode(frame, rate) for frame in (stretch.range.start, stretch.range.end,
                                                      at, at + length)]  # fmt: skip
        lines += [
            "",
            f"{number:03d}  {stretch.medium.reel:<8} V     C        {' '.join(labels)}",
            f"* FROM CLIP NAME: {_name(stretch.name)}",
            f"* SOURCE FILE: {_name(stretch.medium.name)}",
        ]
        if number % 2 == 0:
            join = found[number // 2 - 1]
            said = f"MATCH {number // 2} {_name(join.cut.flavour)} {join.cut.score:.3f}"
            lines.append(f"* LOC: {labels[2]} RED     {said}")
        if not stretch.medium.constant_rate:
            lines.append("* NOTE: THE SOURCE HAS NO CONSTANT FRAME RATE; TIMES ARE THE ENCODE'S")
        at += length
    return "\n".join(lines) + "\n"


def hour(rate: Fraction) -> int:
    """The frame that is labelled 01:00:00:00."""
    base = round(rate)
    skipped = base // 15 * 54 if ";" in timecode(0, rate) else 0  # in 54 of 60 minutes
    return base * 3600 - skipped


def _one_rate(stretches: list[Stretch]) -> Fraction:
    rates = sorted({stretch.medium.frame_rate for stretch in stretches})
    if len(rates) > 1:
        told = ", ".join(f"{float(rate):.6g}" for rate in rates)
        raise RequestError(
            f"the sources run at {told} frames a second, and an edit decision list has one rate. "
            "Name titles of one rate, or write --otio."
        )
    if rates[0] not in RATES:
        raise RequestError(
            f"an edit decision list cannot run at {float(rates[0]):.6g} frames a second. "
            "Write --otio."
        )
    return rates[0]


def _name(text: str) -> str:
    """A name that stays on its line."""
    return plain(text)[:LONGEST_NAME]
