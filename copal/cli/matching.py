"""Verbs of match cutting: match, evaluate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from copal.cli import options
from copal.cli.command import DONE, Settings
from copal.cli.tables import print_rows, print_table, say
from copal.errors import CopalError

_File = click.Path(path_type=Path, dir_okay=False)


def _flavours(help: str) -> Callable[[Any], Any]:
    return click.option("--flavour", "flavours", multiple=True, metavar="NAME[=WEIGHT]", help=help)


@click.command()
@click.argument("titles", nargs=-1, metavar="[TITLE]...")
@_flavours("What makes shots alike; several are mixed by their weights. Default: the first one. "
           "NAME@v1 is an older version's.")  # fmt: skip
@click.option("--top", type=int, default=10, show_default=True, metavar="K")
@click.option(
    "--where", default="", metavar="FILTER",
    help="Only titles for which it holds: \"year >= 1990 and show = 'Heist'\".",
)  # fmt: skip
@click.option("--min-score", type=float, metavar="S", help="Nothing that scores less.")
@click.option(
    "--per-title", type=int, metavar="N", help="No title in more than N cuts, on either side."
)
@click.option("--exclude-used", is_flag=True, help="Each shot in one cut at most.")
@click.option("--min-seconds", type=float, metavar="S", help="No shorter shots.")
@click.option("--max-seconds", type=float, metavar="S", help="No longer shots.")
@click.option("--no-fades", is_flag=True, help="No shots that fade in or out.")
@click.option("--all", "unfolded", is_flag=True, help="Tell cuts that are all but the same, too.")
@click.option("--html", type=_File, metavar="FILE",
              help="Write a contact sheet: one HTML file that plays the cuts.")  # fmt: skip
@click.option("--no-previews", is_flag=True, help="A smaller contact sheet, of stills only.")
@click.option("--otio", type=_File, metavar="FILE",
              help="Write an OpenTimelineIO timeline of the cuts.")  # fmt: skip
@click.option("--edl", type=_File, metavar="FILE",
              help="Write a CMX3600 edit decision list, of sources of one rate.")  # fmt: skip
@click.option("--handles", type=float, default=1.0, show_default=True, metavar="SECONDS",
              help="How much of either shot a timeline shows.")  # fmt: skip
@options.at
@options.as_json
@click.pass_obj
def match(
    settings: Settings,
    titles: tuple[str, ...],
    flavours: tuple[str, ...],
    top: int,
    where: str,
    min_score: float | None,
    per_title: int | None,
    exclude_used: bool,
    min_seconds: float | None,
    max_seconds: float | None,
    no_fades: bool,
    unfolded: bool,
    html: Path | None,
    no_previews: bool,
    otio: Path | None,
    edl: Path | None,
    handles: float,
    at: str,
    as_json: bool,
) -> int:
    """Print the best match cuts among TITLEs (all of them when none is named).

    A match cut joins the end of one shot to the beginning of another that is like it. Cuts within
    one title count too. A TITLE may also be a show, or the start of an asset's id.

    \b
    copal match Heist --where "season = 2" --flavour composition=0.7 --flavour motion=0.3
    copal match --per-title 3 --exclude-used --html cuts.html --otio cuts.otio
    """
    from copal.search.question import mix_of

    lake = settings.lake()
    answer = lake.match(
        titles, flavour=mix_of(flavours), top=top, where=where, min_score=min_score,
        per_title=per_title, exclude_used=exclude_used, min_seconds=min_seconds,
        max_seconds=max_seconds, fades=not no_fades, fold=not unfolded, at=at,
    )  # fmt: skip
    files, refused = _written(
        lake.seen(at=at), titles, answer, html, not no_previews, otio, edl, handles
    )
    if as_json:
        print_rows(_object(cut) for cut in answer.cuts)
    else:
        print_cuts(answer)
        for sentence in answer.sentences:
            say(sentence)
    for path, what, text in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if not as_json:
            say(f"{what}: {path.resolve()}")
    if refused is not None:
        raise refused
    return DONE


def _written(
    lake: Any, titles: tuple[str, ...], answer: Any, html: Path | None, previews: bool,
    otio: Path | None, edl: Path | None, handles: float,
) -> tuple[list[tuple[Path, str, str]], CopalError | None]:  # fmt: skip
    """The files asked for, with what they are and what stands in them; and why one cannot be.

    What one format cannot hold does not keep the others from being written.
    """
    from copal.search.contact import contact_sheet
    from copal.search.edl import edit_list
    from copal.search.otio import timeline

    made: list[tuple[Path | None, str, Callable[[], str]]] = [
        (html, "Contact sheet",
         lambda: contact_sheet(lake.project, titles, [answer], previews=previews)),
        (otio, "Timeline", lambda: timeline(lake.project, answer, handles)),
        (edl, "Edit decision list", lambda: edit_list(lake.project, answer, handles)),
    ]  # fmt: skip
    files, refused = [], None
    for path, what, write in made:
        if path is None:
            continue
        try:
            files.append((path, what, write()))
        except CopalError as exc:
            refused = refused or type(exc)(f"{path.name} was not written: {exc}")
    return files, refused


def _object(cut: Any) -> dict[str, Any]:
    """A cut for programs."""
    found: dict[str, Any] = {"score": cut.score, "flavour": cut.flavour, "scores": cut.scores}
    for name, side in (("outgoing", cut.outgoing), ("incoming", cut.incoming)):
        label = side.last_timecode if name == "outgoing" else side.start_timecode
        found |= {
            f"{name}_title": side.title, f"{name}_asset": side.asset.id,
            f"{name}_shot": side.shot_index, f"{name}_start_frame": side.range.start,
            f"{name}_end_frame": side.range.end, f"{name}_timecode": label,
        }  # fmt: skip
    return found | {"folded": [_object(each) for each in cut.folded]}


def print_cuts(answer: Any) -> None:
    """The cuts as a table."""
    mixed = len(answer.looked) > 1
    print_table(
        [
            [
                f"{place}.", f"{cut.score:.3f}",
                *([f"{score:.3f}" for score in cut.scores.values()] if mixed else []),
                cut.outgoing.title, f"shot {cut.outgoing.shot_index}", cut.outgoing.last_timecode,
                "→",
                cut.incoming.title, f"shot {cut.incoming.shot_index}", cut.incoming.start_timecode,
                f"+ {len(cut.folded)} alike" if cut.folded else "",
            ]
            for place, cut in enumerate(answer.cuts, 1)
        ],
        head=[
            "", "score", *([each.flavour for each in answer.looked] if mixed else []),
            "out of", "", "last frame", "", "into", "", "first frame", "",
        ],
    )  # fmt: skip
    if not answer.cuts:
        say("No match cuts.")


@click.command()
@click.argument("pairs", type=click.Path(path_type=Path, dir_okay=False), metavar="PAIRS.csv")
@_flavours("A flavour to score, or with weights a mix of several. Default: every stored one.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the resampling.")
@click.option("--samples", type=click.IntRange(min=1), default=1000, show_default=True,
              metavar="N", help="Resamples behind an interval.")  # fmt: skip
@options.at
@options.as_json
@click.pass_obj
def evaluate(
    settings: Settings,
    pairs: Path,
    flavours: tuple[str, ...],
    seed: int,
    samples: int,
    at: str,
    as_json: bool,
) -> int:
    """Score flavours against pairs of shots that people labelled.

    PAIRS.csv has a head and the columns title_a, title_b, label (1 or 0), and for each side shot_a,
    frame_a or seconds_a. Average precision is scikit-learn's; the interval holds 95 of 100
    resamples of the pairs.
    """
    from copal.search.question import mix_of

    weighted = any("=" in text for text in flavours)
    mixes = [mix_of(flavours)] if weighted else [{name: 1.0} for name in mix_of(flavours)]
    found = settings.lake().evaluate(pairs, mixes, seed=seed, samples=samples, at=at)
    if as_json:
        print_rows(
            {
                "flavour": each.flavour, "title": each.title, "pairs": each.pairs,
                "positives": each.positives, "unscored": each.unscored,
                "average_precision": _finite(each.average_precision),
                "low": _finite(each.low), "high": _finite(each.high),
                "precision_at": {str(k): _finite(p) for k, p in each.precision_at.items()},
            }
            for each in found
        )  # fmt: skip
        return DONE
    ranks = list(found[0].precision_at)
    print_table(
        [
            [
                each.flavour, each.title, each.pairs, each.positives,
                *(_share(value) for value in (each.average_precision, each.low, each.high)),
                *(_share(each.precision_at[k]) for k in ranks),
            ]
            for each in found
        ],
        head=["flavour", "title", "pairs", "positive", "AP", "from", "to",
              *(f"P@{k}" for k in ranks)],
    )  # fmt: skip
    if left := max(each.unscored for each in found):
        say(f"Up to {left:,} pairs have no vectors and were left out; 'copal run' makes them.")
    return DONE


def _finite(value: float) -> float | None:
    return value if value == value else None


def _share(value: float) -> str:
    return f"{value:.3f}" if value == value else ""
