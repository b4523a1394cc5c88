"""Copal from Python: what the command line does, as functions with values to hold on to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from copal import rows
from copal.arrivals import Arrival, Reconciler, add
from copal.arrivals.sweep import Swept, sweep, take_in
from copal.arrivals.titles import TitleWords
from copal.asset import Asset, Title
from copal.errors import MissingValue
from copal.feature import Value
from copal.keeping import Keeping
from copal.plan import Plan
from copal.price import Price
from copal.project import Project
from copal.reading import parted
from copal.releasing import Releasing
from copal.run.report import RunReport
from copal.status import Status, status
from copal.store.arrivals import ArrivalRow, Arrivals
from copal.store.runs import Run
from copal.why import why

if TYPE_CHECKING:
    import lancedb

    from copal.diff import RegistryDiff
    from copal.flow.backfill import Backfill
    from copal.flow.drive import Engine, Listener
    from copal.flow.requests import Answer
    from copal.lineage import Origin
    from copal.media import Encode
    from copal.search import MatchAnswer
    from copal.search.evaluate import Quality
    from copal.selection import Selection


class Lake:
    """The media of a project and everything that is known of it.

    >>> lake = copal.open()
    >>> lake.rows("shots", titles=["Harbour"])
    """

    def __init__(self, project: Project) -> None:
        self.project = project

    # What there is

    def seen(self, *features: str, at: str = "") -> Lake:
        """This lake as one question sees it, for reads that must belong together.

        Each read takes the recipes that are released when it begins. Reads through ``seen`` all
        take one set, whoever promotes meanwhile, and with it what its features were made from.

        >>> seen = lake.seen("shots@v1")
        >>> seen.rows("shots"), seen.encode("Harbour")

        Parameters
        ----------
        features
            What the reads are about, each ``FEATURE`` or ``FEATURE@AT``.
        at
            ``release``, ``today``, or the name of a snapshot.
        """
        return Lake(self.project.at(at, *features))

    def assets(self, titles: Sequence[str] = ()) -> list[Asset]:
        """Every asset, or those of titles, by id."""
        return self.project.at().select(titles)

    def titles(self) -> list[Title]:
        """Every title, by id."""
        return self.project.at().catalog.titles()

    def rows(
        self, feature: str, titles: Sequence[str] = (), *, version: int | None = None
    ) -> pa.Table:
        """All rows of a feature, of titles or of everything.

        Parameters
        ----------
        feature
            ``FEATURE`` for the released recipe; ``FEATURE@today``, ``FEATURE@v1`` (the newest of
            that version), ``FEATURE@3f9a07c1`` (a recipe) or ``FEATURE@SNAPSHOT`` for another.
        version
            The same as ``FEATURE@v…``.

        Returns
        -------
        The feature's columns after ``asset_id`` (``left_asset_id`` and ``right_asset_id`` for a
        feature of pairs), in the order of the units. Units without a value are left out.
        """
        self.project.expect_store()
        return rows.rows(self.project, _at(feature, version), titles)

    def table(self, feature: str, *, version: int | None = None) -> lancedb.table.Table:
        """The feature's own table, to explore with LanceDB; one row per unit, rows in ``items``.

        Raises
        ------
        MissingValue
            Nothing was stored yet.
        """
        return rows.lance_table(self.project, _at(feature, version))

    def value(self, asset: str, feature: str, other: str | None = None) -> Value:
        """One value: the rows and files of a feature on an asset, or on two.

        Raises
        ------
        MissingValue
            It is not stored; ``why`` tells the reason.
        """
        self.project.expect_store()
        found = rows.value(self.project, asset, feature, other)
        if found is None:
            name = parted(feature)[0]
            raise MissingValue(
                f"'{name}' {self.project.recipe(feature).label}, which is read here, has no value "
                f"of {asset}. Today: " + " ".join(self.why(asset, name, other))
            )
        return found

    def encode(self, asset: str) -> Encode:
        """The standard encode of an asset; its ``video.frames(...)`` gives pictures."""
        from copal.media import Encode
        from copal.search.cuts import ENCODE

        return Encode.from_value(self.value(asset, ENCODE))

    # Doing

    def add(
        self, paths: Iterable[str | os.PathLike[str]], words: TitleWords | None = None
    ) -> Iterator[Arrival]:
        """Bring files, folders and ``s3://bucket/key`` into the catalogue, one by one."""
        return add(self.project, [os.fspath(path) for path in paths], words)

    def sweep(self, place: str | os.PathLike[str]) -> Swept:
        """What differs between a folder, or ``s3://bucket/prefix``, and the catalogue."""
        return sweep(Reconciler(self.project, "sweep"), os.fspath(place))

    def take_in(self, found: Swept) -> Iterator[Arrival]:
        """Bring in what a sweep found, and note what is gone, one by one."""
        return take_in(self.project, found)

    def arrivals(self, decisions: Sequence[str] = ()) -> list[ArrivalRow]:
        """Everything that arrived, or what was decided so, in the order of its time."""
        return Arrivals(self.project.folder).rows(decisions=decisions)

    def plan(
        self,
        features: Iterable[str] = (),
        titles: Sequence[str] = (),
        force: Sequence[str] = (),
    ) -> Plan:
        """What is missing and why; nothing is run."""
        return self.project.plan(features, titles, force)

    def run(
        self,
        features: Iterable[str] = (),
        titles: Sequence[str] = (),
        force: Sequence[str] = (),
        *,
        engine: Engine = "metaflow",
        max_workers: int | None = None,
        listen: Listener | None = None,
    ) -> RunReport:
        """Compute what is missing."""
        return self.do(self.plan(features, titles, force), engine, max_workers, listen)

    def do(
        self,
        plan: Plan,
        engine: Engine = "metaflow",
        max_workers: int | None = None,
        listen: Listener | None = None,
        by: str = "python",
    ) -> RunReport:
        """Do a plan, but for cells that a live run is computing. With none, no flow is started.

        ``by`` is what ``copal runs`` says of who started the run.
        """
        from copal.flow.drive import drive

        return drive(self.project, plan, engine=engine, max_workers=max_workers, listen=listen,
                     by=by)  # fmt: skip

    def price(
        self, plan: Plan, engine: Engine = "metaflow", max_workers: int | None = None
    ) -> Price:
        """What a plan costs, from what equal cells cost before; ``do`` takes the same arguments."""
        from copal.flow.quote import quote

        return quote(self.project, plan, flow=engine == "metaflow", max_workers=max_workers)

    def request(
        self,
        feature: str,
        asset: str,
        other: str | None = None,
        *,
        wait: bool = False,
        timeout_seconds: float | None = None,
        engine: Engine = "inline",
    ) -> Answer:
        """One value: stored already, computed now (``wait``), asked for with a ticket, or refused.

        One cell has one ticket, however many ask. One who waits computes the cell and its needs,
        unless a run is at it, and then waits for that. After ``timeout_seconds`` nothing new is
        begun; what this process has begun it brings to its end.
        """
        from copal.flow.requests import request

        return request(
            self.project, feature, asset, other,
            wait=wait, timeout_seconds=timeout_seconds, engine=engine,
        )  # fmt: skip

    def plan_backfill(
        self, feature: str, selection: Selection | None = None, limit: int | None = None
    ) -> Plan:
        """What ``backfill`` would do: ``FEATURE`` or ``FEATURE@v2``, at most ``limit`` units."""
        from copal.flow.backfill import plan_backfill
        from copal.selection import Selection, select

        chosen = select(self.project, selection or Selection())
        return plan_backfill(self.project, feature, chosen, limit)

    def backfill(
        self,
        plan: Plan,
        *,
        engine: Engine = "metaflow",
        max_workers: int | None = None,
        max_failures: str | None = None,
        listen: Listener | None = None,
    ) -> Backfill:
        """Do a plan slice by slice, requests first; see ``copal.flow.backfill.work_through``.

        >>> lake.backfill(lake.plan_backfill("shots@v2"), max_failures="2%")
        """
        from copal.flow.backfill import work_through

        return work_through(
            self.project, plan, engine=engine, max_workers=max_workers,
            max_failures=max_failures, listen=listen,
        )  # fmt: skip

    def retry(self, features: Iterable[str] = (), titles: Sequence[str] = ()) -> int:
        """Release quarantined and failed cells, so that the next run tries them; says how many."""
        from copal.flow.retry import release

        return release(self.project, list(features), titles)

    @property
    def releases(self) -> Releasing:
        """Which recipes readers see: ``standing``, ``moves``, ``promote``, ``rollback``, and
        ``compare`` for what another recipe would change."""
        return Releasing(self.project)

    # Asking

    def runs(self, limit: int = 20) -> list[Run]:
        """The newest runs, the last one first: how each went, or how far it is."""
        from copal.store.runs import runs_of

        return list(runs_of(self.project.folder, limit))

    def status(self, titles: Sequence[str] = ()) -> Status:
        """Coverage of every feature, failures, and files that were refused."""
        self.project.expect_store()
        return status(self.project, titles)

    def why(self, asset: str, feature: str, other: str | None = None) -> list[str]:
        """Sentences on why a cell is stored, missing, failed, quarantined or blocked."""
        self.project.expect_store()
        return why(self.project, asset, feature, other)

    def lineage(self, feature: str, asset: str, other: str | None = None) -> Origin:
        """The value of a feature on an asset, and the values that it was made of."""
        from copal.lineage import lineage

        return lineage(self.project, feature, asset, other)

    def diff(self, ref: str = "HEAD", *, max_workers: int | None = None) -> RegistryDiff:
        """What ``registry.yaml`` means beside that of a commit: recipes, cells, price."""
        from copal.diff import diff

        return diff(self.project, ref, max_workers=max_workers)

    def match(
        self,
        titles: Sequence[str] = (),
        *,
        flavour: str | Mapping[str, float] | None = None,
        top: int = 10,
        where: str = "",
        min_score: float | None = None,
        per_title: int | None = None,
        exclude_used: bool = False,
        min_seconds: float | None = None,
        max_seconds: float | None = None,
        fades: bool = True,
        fold: bool = True,
        at: str = "",
    ) -> MatchAnswer:
        """The best match cuts among titles, or among all; see ``copal.search.Question``.

        >>> lake.match(flavour={"composition": 0.7, "motion": 0.3}, where="year < 1960")

        Raises
        ------
        RequestError
            No such flavour, a filter that says nothing, a number that cannot be.
        """
        self.project.expect_store()
        from copal.search import Question, match

        mix = {flavour: 1.0} if isinstance(flavour, str) else flavour or {}
        return match(self.project, Question(
            titles=tuple(titles), where=where, flavours=mix, top=top, min_score=min_score,
            per_title=per_title, exclude_used=exclude_used, min_seconds=min_seconds,
            max_seconds=max_seconds, fades=fades, fold=fold, at=at,
        ))  # fmt: skip

    def evaluate(
        self,
        pairs: str | os.PathLike[str],
        mixes: Sequence[Mapping[str, float]] = (),
        *,
        seed: int = 0,
        samples: int = 1000,
        at: str = "",
    ) -> list[Quality]:
        """How well flavours (every stored one) rank a CSV file of labelled pairs of shots.

        Raises
        ------
        RequestError
            The file or one of its rows means nothing, a flavour is unknown, or nothing is stored.
        """
        self.project.expect_store()
        from copal.search.evaluate import evaluate

        return evaluate(self.project, Path(pairs), mixes, seed=seed, samples=samples, reads=at)

    @property
    def keeping(self) -> Keeping:
        """Snapshots, compaction, verification, and what may be removed.

        >>> lake.keeping.snapshot("before-the-new-detector")
        """
        self.project.expect_store()
        return Keeping(self.project)


def _at(feature: str, version: int | None) -> str:
    return feature if version is None else f"{feature}@v{version}"


def open(
    path: str | os.PathLike[str] | None = None, *, store: str | None = None, at: str = ""
) -> Lake:
    """The lake of a project folder, or of the nearest one above the working directory.

    Parameters
    ----------
    store
        A folder or ``s3://bucket/prefix``, instead of ``$COPAL_STORE`` or the registry's.
    at
        What every read sees, unless it says something else: ``release`` (when not given),
        ``today``, or the name of a snapshot.

    Raises
    ------
    RegistryError
        There is no usable ``registry.yaml``.
    RequestError
        There is no such snapshot.
    """
    project = Project.find(Path(path) if path is not None else None, store)
    if at:
        project.reads = at
        project.at()
    return Lake(project)


__all__ = ["Lake", "open"]
