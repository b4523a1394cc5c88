"""Copal from Python: what the command line does, as functions with values to hold on to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from copal.arrivals import Arrival, add
from copal.arrivals.titles import TitleWords
from copal.asset import Asset, Title
from copal.errors import MissingValue, RequestError
from copal.feature import Value
from copal.fingerprint import UnitId, pair_assets, pair_unit
from copal.plan import Plan
from copal.project import Project
from copal.run.report import RunReport
from copal.search import MatchAnswer, Question, match
from copal.search.cuts import ENCODE
from copal.search.evaluate import Quality, evaluate
from copal.status import Status, status, why

if TYPE_CHECKING:
    import lancedb

    from copal.flow.metaflow_engine import Listener
    from copal.media import Encode

Engine = Literal["metaflow", "inline"]


class Lake:
    """The media of a project and everything that is known of it.

    >>> lake = copal.open()
    >>> lake.rows("shots", titles=["Harbour"])
    """

    def __init__(self, project: Project) -> None:
        self.project = project

    # What there is

    def assets(self, titles: Sequence[str] = ()) -> list[Asset]:
        """Every asset, or those of titles, by id."""
        return self.project.select(titles)

    def titles(self) -> list[Title]:
        """Every title, by id."""
        return self.project.catalog.titles()

    def rows(
        self, feature: str, titles: Sequence[str] = (), *, version: int | None = None
    ) -> pa.Table:
        """All rows of a feature, of titles or of everything.

        Parameters
        ----------
        version
            Read the newest stored recipe of this version instead of today's.

        Returns
        -------
        The feature's columns after ``asset_id`` (``left_asset_id`` and ``right_asset_id`` for a
        feature of pairs), in the order of the units. Units without a value are left out.
        """
        declaration = self.project.graph.declaration(feature)
        table = self.project.table(feature, version)
        chosen = {asset.id for asset in self.assets(titles)}
        units = sorted(
            unit
            for unit in table.index().units
            if all(asset in chosen for asset in pair_assets(unit) if asset)
        )
        found = table.read(units)
        parts = []
        for unit in units:
            rows = found[unit].rows
            left, right = pair_assets(unit)
            names = {"asset_id": left}
            if declaration.unit == "pair":
                names = {"left_asset_id": left, "right_asset_id": right}
            for place, (name, asset) in enumerate(names.items()):
                rows = rows.add_column(place, name, pa.array([asset] * rows.num_rows, pa.string()))
            parts.append(rows)
        if parts:
            return pa.concat_tables(parts)
        keys = ["left_asset_id", "right_asset_id"] if declaration.unit == "pair" else ["asset_id"]
        columns = self.project.bound(feature).columns
        return pa.schema([*((key, pa.string()) for key in keys), *columns]).empty_table()

    def table(self, feature: str, *, version: int | None = None) -> lancedb.table.Table:
        """The feature's own table, to explore with LanceDB; one row per unit, rows in ``items``.

        Raises
        ------
        MissingValue
            Nothing was stored yet.
        """
        import lancedb

        folder = self.project.table(feature, version).values_uri().rpartition("/")[0]
        database = lancedb.connect(folder, storage_options=self.project.folder.storage_options)
        try:
            return database.open_table("values")
        except (ValueError, FileNotFoundError) as exc:
            raise MissingValue(
                f"'{feature}': nothing was stored yet. 'copal run' does it."
            ) from exc

    def value(self, asset: str, feature: str, other: str | None = None) -> Value:
        """One value: the rows and files of a feature on an asset, or on two.

        Raises
        ------
        MissingValue
            It is not stored; ``why`` tells the reason.
        """
        one = self.project.asset(asset).id
        unit = UnitId(one)
        if self.project.graph.declaration(feature).unit == "pair":
            unit = pair_unit(one, self.project.asset(other).id if other else one)
        found = self.project.table(feature).read([unit])
        if unit not in found:
            raise MissingValue(" ".join(self.why(asset, feature, other)))
        return found[unit].value()

    def encode(self, asset: str) -> Encode:
        """The standard encode of an asset; its ``video.frames(...)`` gives pictures."""
        from copal.media import Encode

        return Encode.from_value(self.value(asset, ENCODE))

    # Doing

    def add(
        self, paths: Iterable[str | os.PathLike[str]], words: TitleWords | None = None
    ) -> Iterator[Arrival]:
        """Bring files, folders and ``s3://bucket/key`` into the catalogue, one by one."""
        return add(self.project, [os.fspath(path) for path in paths], words)

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
    ) -> RunReport:
        """Do a plan. With nothing in it, no flow is started."""
        from copal.flow.work import cut

        if plan.cells == 0:
            return RunReport()
        workers = max_workers if max_workers is not None else os.cpu_count() or 1
        if workers < 1:
            raise RequestError(f"--max-workers {workers}: need one or more.")
        work = cut(plan, self.project.catalog.assets(), workers)
        self.project.store.introduce()
        if engine == "inline":
            from copal.flow.inline import run_inline

            return run_inline(self.project, work)
        from copal.flow.metaflow_engine import run_metaflow

        return run_metaflow(self.project, work, max_workers=workers, listen=listen)

    def retry(self, features: Iterable[str] = (), titles: Sequence[str] = ()) -> int:
        """Release quarantined and failed cells, so that the next run tries them; says how many."""
        from copal.flow.retry import release

        return release(self.project, list(features), titles)

    # Asking

    def status(self, titles: Sequence[str] = ()) -> Status:
        """Coverage of every feature, failures, and files that were refused."""
        return status(self.project, titles)

    def why(self, asset: str, feature: str, other: str | None = None) -> list[str]:
        """Sentences on why a cell is stored, missing, failed, quarantined or blocked."""
        return why(self.project, asset, feature, other)

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
    ) -> MatchAnswer:
        """The best match cuts among titles, or among all; see ``copal.search.Question``.

        >>> lake.match(flavour={"composition": 0.7, "motion": 0.3}, where="year < 1960")

        Raises
        ------
        RequestError
            No such flavour, a filter that says nothing, a number that cannot be.
        """
        mix = {flavour: 1.0} if isinstance(flavour, str) else flavour or {}
        return match(self.project, Question(
            titles=tuple(titles), where=where, flavours=mix, top=top, min_score=min_score,
            per_title=per_title, exclude_used=exclude_used, min_seconds=min_seconds,
            max_seconds=max_seconds, fades=fades, fold=fold,
        ))  # fmt: skip

    def evaluate(
        self,
        pairs: str | os.PathLike[str],
        mixes: Sequence[Mapping[str, float]] = (),
        *,
        seed: int = 0,
        samples: int = 1000,
    ) -> list[Quality]:
        """How well flavours (every stored one) rank a CSV file of labelled pairs of shots.

        Raises
        ------
        RequestError
            The file or one of its rows means nothing, a flavour is unknown, or nothing is stored.
        """
        return evaluate(self.project, Path(pairs), mixes, seed=seed, samples=samples)


def open(path: str | os.PathLike[str] | None = None, *, store: str | None = None) -> Lake:
    """The lake of a project folder, or of the nearest one above the working directory.

    Parameters
    ----------
    store
        A folder or ``s3://bucket/prefix``, instead of ``$COPAL_STORE`` or the registry's.

    Raises
    ------
    RegistryError
        There is no usable ``registry.yaml``.
    """
    return Lake(Project.find(Path(path) if path is not None else None, store))


__all__ = ["Lake", "open"]
