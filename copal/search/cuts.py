"""A match cut, its two sides, and an answer made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from copal.asset import Asset
from copal.fingerprint import AssetId, RecipeId
from copal.project import Project
from copal.registry import FeatureName
from copal.timeline import FrameRange, timecode

ENCODE = "standard_encode"
KNOWN_ALL = float("-inf")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two shots that a match cut joins."""

    asset: Asset
    title: str
    """The title's name, for people."""
    shot_index: int
    range: FrameRange
    clear: FrameRange
    """The shot without fades at either end: a cut leaves its last frame, or enters its first."""
    frame_rate: Fraction

    @property
    def start_timecode(self) -> str:
        """Label of the frame that a cut to this shot shows first."""
        return timecode(self.clear.first, self.frame_rate)

    @property
    def last_timecode(self) -> str:
        """Label of the frame that a cut from this shot shows last."""
        return timecode(self.clear.last, self.frame_rate)


@dataclass(frozen=True, slots=True)
class MatchCut:
    """A cut from the end of one shot to the beginning of another that is like it."""

    score: float
    """Higher is better."""
    flavour: str
    """What makes the shots alike; a mix is told as ``composition 0.7 + motion 0.3``."""
    outgoing: Side
    incoming: Side
    scores: Mapping[str, float]
    """By flavour, those of the mix; one when it is no mix."""
    folded: tuple[MatchCut, ...] = ()
    """Lower cuts too alike to this one to be told beside it, best first."""


@dataclass(frozen=True, slots=True)
class Looked:
    """How much of what was asked about one flavour could look at, in pairs of assets."""

    flavour: str
    weight: float
    """Share of the flavour in the score."""
    blocks: int
    """Pairs of assets, each with itself too, that the question covers."""
    stored: int
    """Blocks that came from the store."""
    computed: int
    """Blocks that were computed for this answer and not stored."""

    @property
    def missing(self) -> int:
        """Blocks that nobody has computed."""
        return self.blocks - self.stored - self.computed


@dataclass(frozen=True, slots=True)
class MatchAnswer:
    """The best cuts, and how much of what was asked about could be looked at."""

    cuts: tuple[MatchCut, ...]
    flavour: str
    looked: tuple[Looked, ...]
    """One for each flavour of the mix."""
    certain_above: float = KNOWN_ALL
    """Blocks keep their best pairs only: one that none of them holds scores this at most. Infinite
    when blocks are missing, -infinite when the blocks hold every pair."""
    exact: bool = True
    """Whether these are the best cuts there are, rather than the best of what was looked at."""
    at: str = ""
    """``release``, ``today``, or the snapshot that was read."""
    recipes: Mapping[FeatureName, RecipeId] = field(default_factory=dict)
    """What was read: the flavours' recipes and those of all that they were made from."""

    @property
    def blocks(self) -> int:
        """Pairs of assets that the question covers."""
        return max(each.blocks for each in self.looked)

    @property
    def blocks_stored(self) -> int:
        """How many of them were looked at by every flavour."""
        return self.blocks - max(each.missing for each in self.looked)

    @property
    def sentences(self) -> list[str]:
        """What was looked at, where it came from, and what is not known, for people."""
        if not self.blocks:
            return ["No title fits."]
        said = []
        for each in self.looked:
            name = f"{each.flavour}: " if len(self.looked) > 1 else ""
            parts = [f"{each.stored:,} of {each.blocks:,} from the store"]
            parts += [f"{each.computed:,} computed for this answer"] if each.computed else []
            parts += [f"{each.missing:,} missing ('copal run' computes them)"] * bool(each.missing)
            said.append(f"{name}blocks of pairs of assets: {', '.join(parts)}.")
        if not self.exact and math.isfinite(self.certain_above):
            said.append(
                f"Blocks keep their best pairs only: below {self.certain_above:.3f} there may be "
                "cuts that are not told here."
            )
        return said


def frame_rates(project: Project, assets: Sequence[str]) -> dict[AssetId, Fraction]:
    """Exact frame rate of each asset's encode."""
    values = project.table(ENCODE).read(assets)
    return {
        AssetId(unit): Fraction(
            value.rows["rate_numerator"][0].as_py(), value.rows["rate_denominator"][0].as_py()
        )
        for unit, value in values.items()
    }
