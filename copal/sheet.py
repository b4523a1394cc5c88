"""A contact sheet: match cuts and their titles' shots, as one HTML file that needs nothing else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from blake3 import blake3

if TYPE_CHECKING:
    from markupsafe import Markup

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class SheetStrip:
    """Pictures that follow each other, one below the other in one WebP."""

    picture: bytes
    frames: tuple[int, ...]
    """Index of the frame that each picture shows."""
    width: int
    """Of one picture, in pixels."""
    height: int
    per_second: float
    """Pictures to show in a second, so that they play at the film's own speed."""


@dataclass(frozen=True, slots=True)
class SheetSide:
    """One side of a match cut: the shot that ends at it, or the one that begins."""

    title: str
    asset: str
    shot_index: int
    timecode_in: str
    """Label of the shot's first frame."""
    timecode_out: str
    """Label of the shot's last frame."""
    cut_picture: bytes
    """WebP of the frame beside the cut: the outgoing shot's last, the incoming one's first."""
    middle_picture: bytes
    """WebP of the shot's middle frame."""
    strip: SheetStrip | None = None
    """What plays on this side of the cut; None for a still."""


@dataclass(frozen=True, slots=True)
class SheetMatch:
    """Two shots proposed for one cut; ``outgoing`` is seen first."""

    flavour: str
    score: float
    """Higher is better."""
    outgoing: SheetSide
    incoming: SheetSide
    scores: Mapping[str, float] = field(default_factory=dict)
    """By flavour, where the score is a mix of them."""
    reasons: Sequence[str] = ()
    """What the two shots have in common, in words."""
    alike: int = 0
    """Lower matches that are all but the same as this one."""


@dataclass(frozen=True, slots=True)
class SheetShot:
    """One shot of a title's strip."""

    shot_index: int
    timecode_in: str
    """Label of the shot's first frame."""
    duration_seconds: float
    picture: bytes
    """WebP of the shot's middle frame."""
    duplicate_of: int | None = None
    """Index of the earlier shot that this one repeats; None for a shot of its own."""


@dataclass(frozen=True, slots=True)
class SheetTitle:
    """A title's asset and its shots, in order."""

    title: str
    asset: str
    shots: Sequence[SheetShot]
    details: Sequence[str] = ()
    """What else to say beside the name: year, frame rate, size."""

    @property
    def duration_seconds(self) -> float:
        """Length of all shots together."""
        return sum(shot.duration_seconds for shot in self.shots)

    @property
    def duplicates(self) -> int:
        """Shots that repeat an earlier one."""
        return sum(shot.duplicate_of is not None for shot in self.shots)


@dataclass(frozen=True, slots=True)
class SheetWork:
    """What a run did for one feature, in cells."""

    feature: str
    computed: int = 0
    carried_over: int = 0
    stored: int = 0
    """Cells that were in the store before."""
    failed: int = 0

    @property
    def cells(self) -> int:
        """All of them."""
        return self.computed + self.carried_over + self.stored + self.failed


@dataclass(frozen=True, slots=True)
class Sheet:
    """Everything that a contact sheet shows; the matches come best first."""

    matches: Sequence[SheetMatch]
    titles: Sequence[SheetTitle]
    made_at: datetime
    copal_version: str
    work: Sequence[SheetWork] = ()
    elapsed_seconds: float | None = None
    heading: str = "Match cuts"

    @property
    def work_sentence(self) -> str:
        """What was computed and what came from the store, in one line; empty without work."""
        if not self.work:
            return ""
        computed, stored = (sum(getattr(w, k) for w in self.work) for k in ("computed", "stored"))
        carried, failed = (
            sum(getattr(w, k) for w in self.work) for k in ("carried_over", "failed")
        )
        parts = [f"{_count(computed, 'cell')} computed" if computed else "Nothing was computed"]
        parts += [f"{carried:,} carried over"] if carried else []
        parts += [f"{stored:,} came from the store"] if stored else []
        parts += [f"{failed:,} failed"] if failed else []
        time = "" if self.elapsed_seconds is None else f", in {self.elapsed_seconds:,.1f} s"
        return ", ".join(parts) + time + "."


@dataclass(slots=True)
class _Pictures:
    """The pictures put on a sheet so far; each one's bytes are written out once."""

    keys: dict[bytes, str] = field(default_factory=dict)

    def image(self, picture: bytes, alt: str) -> Markup:
        """An ``<img>``: with its bytes the first time, later pointing to the first.

        Without a text it is for the eye only, and is hidden from those who listen.
        """
        from markupsafe import Markup

        if picture[:4] != b"RIFF" or picture[8:12] != b"WEBP":
            raise ValueError(
                f"the picture '{alt}' is no WebP ({len(picture)} bytes): encode it before it is"
                " put on a sheet"
            )
        digest = blake3(picture).digest()
        if key := self.keys.get(digest):
            return Markup('<img data-same="{}" alt="{}">').format(key, alt)
        key = self.keys[digest] = f"p{len(self.keys)}"
        data = b64encode(picture).decode()
        return Markup('<img id="{}" src="data:image/webp;base64,{}" alt="{}">').format(
            key, data, alt
        )


def render(sheet: Sheet) -> str:
    """The sheet as one HTML file: styles, script and pictures inline, no request to anywhere.

    Raises
    ------
    ValueError
        A picture is no WebP.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sides = [side.title for m in sheet.matches for side in (m.outgoing, m.incoming)]
    names = list(dict.fromkeys([*(title.title for title in sheet.titles), *sides]))
    return environment.get_template("sheet.html.j2").render(
        sheet=sheet,
        image=_Pictures().image,
        playing=any(match.outgoing.strip and match.incoming.strip for match in sheet.matches),
        count=_count,
        clock=_clock,
        names=names,
        flavours=list(dict.fromkeys(match.flavour for match in sheet.matches)),
        ranks=_ranks(sheet.matches),
    )


def _ranks(matches: Sequence[SheetMatch]) -> list[int]:
    """Each match's place among those of its flavour, from 1."""
    seen: dict[str, int] = {}
    ranks = []
    for match in matches:
        seen[match.flavour] = seen.get(match.flavour, 0) + 1
        ranks.append(seen[match.flavour])
    return ranks


def _count(number: int, noun: str) -> str:
    """``1 match``, ``2 matches``."""
    plural = noun + ("es" if noun.endswith(("ch", "s")) else "s")
    return f"{number:,} {noun if number == 1 else plural}"


def _clock(seconds: float) -> str:
    """A duration for reading: ``41.8 s``, ``3 min 05 s``, ``1 h 52 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02d} min" if hours else f"{minutes} min {rest:02d} s"
