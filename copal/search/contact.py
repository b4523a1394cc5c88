"""The contact sheet of an answer: its cuts, and the shots of its titles, with their pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from copal import __version__
from copal.asset import Asset
from copal.errors import MissingValue, RequestError
from copal.feature import Value
from copal.fingerprint import AssetId, RecipeId
from copal.plan import Plan
from copal.project import Project
from copal.registry import FeatureName
from copal.run.report import RunReport
from copal.search.cuts import ENCODE, MatchAnswer, Side, frame_rates
from copal.search.previews import Previews
from copal.search.reasons import reasons
from copal.sheet import (
    Sheet,
    SheetMatch,
    SheetShot,
    SheetSide,
    SheetStrip,
    SheetTitle,
    SheetWork,
    render,
)
from copal.timeline import FrameRange, timecode

STILLS, PACK = "shot_stills", "stills.pack"
MOST_TITLES = 24
"""Titles whose shots are shown; a sheet of a whole catalogue would be too large to open."""


def contact_sheet(
    project: Project,
    titles: Sequence[str],
    answers: Sequence[MatchAnswer],
    plan: Plan | None = None,
    report: RunReport | None = None,
    *,
    previews: bool = True,
) -> str:
    """One HTML file with the cuts of answers and the shots of titles (all when none is named).

    Parameters
    ----------
    plan, report
        The run that the sheet follows, to say what was computed and what came from the store.
    previews
        Whether the cuts play. A match takes some 90 kB then, and 30 without.

    Raises
    ------
    MissingValue
        The pictures were not computed.
    """
    project = _as_answered(project, answers)
    shown = {side.asset.id: side.asset for answer in answers for cut in answer.cuts
             for side in (cut.outgoing, cut.incoming)}  # fmt: skip
    kinds = project.graph.kinds(STILLS)
    chosen = [asset for asset in project.select(titles) if asset.kind in kinds][:MOST_TITLES]
    pictures = _Pictures(project, sorted({*shown, *(asset.id for asset in chosen)}))
    cuts = [cut for answer in answers for cut in answer.cuts]
    play = Previews.of(project, sorted(shown)) if previews else None
    sheet = Sheet(
        matches=[
            SheetMatch(
                flavour=cut.flavour,
                score=cut.score,
                outgoing=_side(pictures, cut.outgoing, "last", play.before if play else None),
                incoming=_side(pictures, cut.incoming, "first", play.after if play else None),
                scores=cut.scores if len(cut.scores) > 1 else {},
                reasons=said,
                alike=len(cut.folded),
            )
            for cut, said in zip(cuts, reasons(project, cuts), strict=True)
        ],
        titles=_titles(project, chosen, pictures),
        made_at=datetime.now(UTC),
        copal_version=__version__,
        work=_work(plan, report),
        elapsed_seconds=report.seconds if report is not None and report.run_id else None,
    )
    return render(sheet)


def _as_answered(project: Project, answers: Sequence[MatchAnswer]) -> Project:
    """The project as the answers saw it, whatever was released since."""
    recipes: dict[FeatureName, RecipeId] = {}
    for answer in answers:
        if any(recipes.get(name, recipe) != recipe for name, recipe in answer.recipes.items()):
            raise RequestError(
                "these answers are of different recipes, so one sheet cannot show them: "
                "write one for each."
            )
        recipes |= answer.recipes
    return project.at(answers[0].at if answers else "", recipes=recipes)


class _Pictures:
    """Stills by asset, shot and position; each is one range read."""

    def __init__(self, project: Project, assets: Sequence[str]) -> None:
        found = project.table(STILLS).read(assets)
        if missing := [asset for asset in assets if asset not in found]:
            raise MissingValue(
                f"'{STILLS}' of {missing[0][:8]} is not stored, so there are no pictures. "
                f"'copal run {STILLS}' makes them."
            )
        self.values: dict[str, Value] = {unit: value.value() for unit, value in found.items()}
        self.places: dict[str, dict[tuple[int, str], tuple[int, int]]] = {
            unit: {
                (row["shot_index"], row["position"]): (row["offset"], row["length"])
                for row in value.rows.to_pylist()
            }
            for unit, value in self.values.items()
        }

    def get(self, asset: str, shot: int, position: str) -> bytes:
        """WebP bytes of one still."""
        return self.values[asset].files[PACK].read(*self.places[asset][shot, position])


def _side(
    pictures: _Pictures, side: Side, position: str, strip: Callable[[Side], SheetStrip] | None
) -> SheetSide:
    return SheetSide(
        title=side.title,
        asset=side.asset.short,
        shot_index=side.shot_index,
        timecode_in=side.start_timecode,
        timecode_out=side.last_timecode,
        cut_picture=pictures.get(side.asset.id, side.shot_index, position),
        middle_picture=pictures.get(side.asset.id, side.shot_index, "middle"),
        strip=strip(side) if strip is not None else None,
    )


def _titles(project: Project, assets: Sequence[Asset], pictures: _Pictures) -> list[SheetTitle]:
    ids = [asset.id for asset in assets]
    shots, dedup = project.table("shots").read(ids), project.table("dedup").read(ids)
    encodes = project.table(ENCODE).read(ids)
    rates = frame_rates(project, ids)
    found = []
    for asset in assets:
        if asset.id not in shots:
            continue
        title = project.titles[asset.title]
        rate = rates[AssetId(asset.id)]
        encode = encodes[asset.id].rows.to_pylist()[0]
        details = [f"{float(rate):.6g} fps", f"{encode['width']} × {encode['height']}"]
        found.append(
            SheetTitle(
                title=title.name,
                asset=asset.short,
                details=[str(title.year), *details] if title.year else details,
                shots=[
                    SheetShot(
                        shot_index=shot["shot_index"],
                        timecode_in=timecode(shot["start_frame"], rate),
                        duration_seconds=FrameRange(shot["start_frame"], shot["end_frame"]).seconds(
                            rate
                        ),
                        picture=pictures.get(asset.id, shot["shot_index"], "middle"),
                        duplicate_of=repeated.get(shot["shot_index"]),
                    )
                    for repeated in [_repeats(dedup.get(asset.id))]
                    for shot in shots[asset.id].rows.to_pylist()
                ],
            )
        )
    return sorted(found, key=lambda each: each.title)


def _repeats(value: object) -> dict[int, int | None]:
    from copal.store import StoredValue

    if not isinstance(value, StoredValue):
        return {}
    return {row["shot_index"]: row["duplicate_of"] for row in value.rows.to_pylist()}


def _work(plan: Plan | None, report: RunReport | None) -> list[SheetWork]:
    if plan is None:
        return []
    outcomes = report.outcomes if report is not None else {}
    work = []
    for part in plan:
        counts = outcomes.get(part.feature, Counter())
        work.append(
            SheetWork(
                feature=part.feature,
                computed=counts["stored"] + counts["empty"],
                carried_over=counts["carried"],
                stored=part.stored,
                failed=counts["failed"] + len(part.quarantined),
            )
        )
    return work
