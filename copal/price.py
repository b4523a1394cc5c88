"""What a plan costs: seconds, processors and bytes, from what equal cells cost before."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

from copal.fingerprint import pair_assets
from copal.plan import FeaturePlan, Plan
from copal.registry import FeatureName

TASK_SECONDS = 1.5
"""What a task costs beside its cells, until a run has shown it (0.4 to 0.9 s and its imports)."""
TASK_DOUBT = 0.2
"""Share by which that differs between runs, until three have shown it."""
TASKS_ALONE = 5
"""Tasks of a run that have no other beside them: its first, its last, and those that gather."""
NORMAL = 1.4826
"""A standard deviation over the median of absolute deviations, where errors are normal."""
LIKELY = 1.64
"""Standard deviations to either side: nine runs of ten end between the two."""
CLEARLY = 0.9
"""A measure other than the media's duration is taken when it leaves this share of the error."""

Durations = Mapping[str, float]
"""Asset → seconds of media."""
Chunk = Mapping[FeatureName, Sequence[str]]
"""The units of each feature in one chunk of a run, feature after feature."""


class Measure(StrEnum):
    """What the cost of a cell grows with."""

    MEDIA = "s of media"
    CELL = "cell"
    PRODUCT = "s × s of media"

    def of(self, unit: str, durations: Durations) -> float:
        """How much of it a unit has."""
        if self is Measure.CELL:
            return 1.0
        one, other = pair_assets(unit)
        first = durations.get(one, 0.0)
        if self is Measure.PRODUCT:
            return first * durations.get(other, first)
        return first + (durations.get(other, 0.0) if other != one else 0.0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One cell that was computed, and what that cost."""

    unit: str
    seconds: float
    cpu_seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class History:
    """The cells of a feature that were computed last."""

    samples: Sequence[Sample] = ()
    older: str = ""
    """``v1`` or ``older``, where they are not of today's."""
    shots: Mapping[str, int] = field(default_factory=dict)
    """Unit → how many shots its newest value covers, of a per-shot feature."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """What a whole run took."""

    seconds: float
    tasks: int
    workers: int
    cell_seconds: float
    """Of all its cells, one after the other."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a feature costs for each unit of its measure."""

    measure: Measure
    seconds: float
    cpu_seconds: float
    bytes: float
    variance: float
    """Of the seconds of an amount of one; that of an amount ``x`` is ``x`` times as large."""
    amount: float
    """Over how much of the measure it was taken."""
    samples: int

    def deviation(self, amount: float) -> float | None:
        """Standard deviation of the seconds of an amount; None with one cell of history.

        Both the scatter of the cells to come and the doubt about the rate itself are in it.
        """
        if self.samples < 2:
            return None
        return math.sqrt(self.variance * amount * (1 + amount / self.amount))


@dataclass(frozen=True, slots=True)
class FeaturePrice:
    """What the cells of one feature cost, were all of them computed."""

    feature: FeatureName
    cells: int
    carryable: int
    """Cells of these that perhaps are carried over, which costs next to nothing."""
    rate: Rate | None
    """None without history; then nothing else is known either."""
    older: str = ""
    """``v1`` or ``older``, where the history is not of today's."""
    seconds: float = 0.0
    """Of wall time, one cell after the other."""
    deviation: float | None = None
    """Standard deviation of the seconds."""
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    bytes: int = 0
    shots: int | None = None
    """Of a per-shot feature: how many shots the cells that are perhaps carried over have, as far
    as is known. No more of them are computed."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a plan costs at a number of workers."""

    features: tuple[FeaturePrice, ...]
    workers: int
    tasks: int
    task_seconds: float
    """What each task costs beside its cells."""
    assumed: bool
    """Whether the cost of a task is a common one, since no run here has shown it."""
    wall_seconds: float
    low_seconds: float
    high_seconds: float

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the cells, tasks not counted."""
        return sum(each.cpu_seconds for each in self.features)

    @property
    def gpu_seconds(self) -> float:
        """Seconds for which a GPU is held, times the number of them."""
        return sum(each.gpu_seconds for each in self.features)

    @property
    def bytes(self) -> int:
        """Size of the files that are made."""
        return sum(each.bytes for each in self.features)

    @property
    def unknown(self) -> tuple[FeatureName, ...]:
        """Features without history, for which nothing is counted."""
        return tuple(each.feature for each in self.features if each.rate is None)

    @property
    def known(self) -> bool:
        """Whether anything has a price."""
        return len(self.unknown) < len(self.features)


@dataclass(frozen=True, slots=True)
class Shape:
    """How a plan is cut: its chunks, and whether each is a task, as in a flow."""

    assets: Sequence[Chunk] = ()
    pairs: Sequence[Chunk] = ()
    workers: int = 1
    flow: bool = True
    gpus: Mapping[FeatureName, int] = field(default_factory=dict)
    """How many GPUs a task of a feature holds."""


def price(
    plan: Plan,
    histories: Mapping[FeatureName, History],
    runs: Sequence[PastRun],
    durations: Durations,
    shape: Shape,
) -> Price:
    """The price of a plan.

    Parameters
    ----------
    histories
        What cells of each feature cost before; a feature that is left out has no history.
    runs
        Earlier runs as flows, for what a task costs beside its cells.
    durations
        Seconds of media of each asset, of those in the histories too.
    shape
        How the plan's cells are shared out.

    Returns
    -------
    As though every cell were computed: what is carried over instead makes it cheaper.
    """
    rates = {
        name: rate(history.samples, durations)
        for name, history in histories.items()
        if history.samples
    }
    parts = tuple(
        _feature_price(
            part, rates.get(part.feature), histories.get(part.feature, History()), durations, shape
        )
        for part in plan
        if part.cells
    )
    shown = task_seconds(runs)
    task, doubt = (shown or (TASK_SECONDS, TASK_DOUBT)) if shape.flow else (0.0, 0.0)
    wall, tasks = _wall(shape, rates, durations, task)
    side_by_side = max(min(shape.workers, max(len(shape.assets), len(shape.pairs))), 1)
    cells = math.sqrt(sum((each.deviation or 0.0) ** 2 for each in parts)) / side_by_side
    either_side = LIKELY * math.hypot(cells, doubt * task * tasks / side_by_side)
    return Price(
        features=parts,
        workers=shape.workers,
        tasks=tasks,
        task_seconds=task,
        assumed=shown is None and shape.flow,
        wall_seconds=wall,
        low_seconds=max(wall - either_side, 0.0),
        high_seconds=wall + either_side,
    )


def rate(samples: Sequence[Sample], durations: Durations) -> Rate:
    """The rate that history shows, by the measure that its costs follow most closely.

    The ratio of sums, which a few odd cells move least, and which many short cells do not
    outvote (Cochran, Sampling Techniques, 3rd ed., chapter 6).
    """
    measures = [Measure.MEDIA, Measure.CELL]
    if any(pair_assets(each.unit)[1] for each in samples):
        measures = [Measure.CELL, Measure.MEDIA, Measure.PRODUCT]
    best: tuple[float, Rate] | None = None
    for measure in measures:
        amounts = [measure.of(each.unit, durations) for each in samples]
        total = sum(amounts)
        if total <= 0:
            continue
        found = sum(each.seconds for each in samples) / total
        errors = [each.seconds - found * x for each, x in zip(samples, amounts, strict=True)]
        error = sum(map(abs, errors))
        if best is not None and error > CLEARLY * best[0]:
            continue
        scatter = sum(e * e / x for e, x in zip(errors, amounts, strict=True) if x > 0)
        best = (
            error,
            Rate(
                measure=measure,
                seconds=found,
                cpu_seconds=sum(each.cpu_seconds for each in samples) / total,
                bytes=sum(each.bytes for each in samples) / total,
                variance=scatter / max(len(samples) - 1, 1),
                amount=total,
                samples=len(samples),
            ),
        )
    assert best is not None  # a cell measures one
    return best[1]


def _feature_price(
    part: FeaturePlan, found: Rate | None, history: History, durations: Durations, shape: Shape
) -> FeaturePrice:
    cells, carryable = len(part.cells), len(part.carryable)
    shots = _shots(part, history)
    if found is None:
        return FeaturePrice(part.feature, cells, carryable, None, shots=shots)
    amount = sum(found.measure.of(cell.unit, durations) for cell in part.cells)
    return FeaturePrice(
        feature=part.feature,
        cells=cells,
        carryable=carryable,
        rate=found,
        older=history.older,
        seconds=found.seconds * amount,
        deviation=found.deviation(amount),
        cpu_seconds=found.cpu_seconds * amount,
        gpu_seconds=found.seconds * amount * shape.gpus.get(part.feature, 0),
        bytes=round(found.bytes * amount),
        shots=shots,
    )


def _shots(part: FeaturePlan, history: History) -> int | None:
    """Shots of the cells that are perhaps carried over; the mean stands in for what is unknown."""
    if not part.carryable or not history.shots:
        return None
    mean = sum(history.shots.values()) / len(history.shots)
    return round(sum(history.shots.get(unit, mean) for unit in part.carryable))


# Tasks and workers


def task_seconds(runs: Sequence[PastRun]) -> tuple[float, float] | None:
    """What a task cost beside its cells: the median of runs, and the share by which they differ.

    A run's first and last tasks, and those that gather, run alone; the others run as many at a
    time as there were workers.
    """
    found = []
    for run in runs:
        alone = min(TASKS_ALONE, run.tasks)
        turns = alone + (run.tasks - alone) / run.workers
        found.append(max(run.seconds - run.cell_seconds / run.workers, 0.0) / turns)
    if not found:
        return None
    middle = median(found)
    if len(found) < 3 or not middle:
        return middle, TASK_DOUBT
    return middle, median(abs(each - middle) for each in found) * NORMAL / middle


def _wall(
    shape: Shape, rates: Mapping[FeatureName, Rate], durations: Durations, task: float
) -> tuple[float, int]:
    """Seconds and tasks of a run: its assets side by side, then its pairs."""

    def chain(chunk: Chunk) -> list[float]:
        return [
            task + sum(found.seconds * found.measure.of(unit, durations) for unit in units)
            if (found := rates.get(name))
            else task
            for name, units in chunk.items()
        ]

    seconds, tasks = 2 * task, 2  # start and end
    for chunks, around in ((shape.assets, 1), (shape.pairs, 2)):  # what hands out and gathers them
        chains = [chain(each) for each in chunks]
        seconds += makespan(chains, shape.workers) + (around * task if chains else 0.0)
        tasks += sum(map(len, chains)) + (around if chains else 0)
    return seconds, tasks if shape.flow else 0


def makespan(chains: Sequence[Sequence[float]], workers: int) -> float:
    """Seconds that chains of tasks take: a task starts once the one before it in its chain is
    done and a worker is free, first come, first served."""
    waiting = deque((index, 0) for index, chain in enumerate(chains) if chain)
    running: list[tuple[float, int, int]] = []
    now = 0.0
    while waiting or running:
        while waiting and len(running) < workers:
            index, place = waiting.popleft()
            heapq.heappush(running, (now + chains[index][place], index, place))
        now, index, place = heapq.heappop(running)
        if place + 1 < len(chains[index]):
            waiting.append((index, place + 1))
    return now
