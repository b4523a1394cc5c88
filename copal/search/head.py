"""Training a match head: a small network that brings together what people say matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from copal.errors import RequestError
from copal.matching import matrix
from copal.project import Project
from copal.reading import parted
from copal.search.labels import read_pairs
from copal.search.precision import Ranking

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

LEAK = 0.01
LEAST_POSITIVES = 8


@dataclass(frozen=True, slots=True)
class Training:
    """How a head is trained; the same training of the same pairs gives the same head."""

    hidden: int = 256
    dimensions: int = 128
    epochs: int = 60
    rate: float = 1e-3
    decay: float = 1e-3
    temperature: float = 0.1
    batch: int = 256
    hard_share: float = 0.25
    """Of the labelled non-matches of a batch, those that the head now scores highest."""
    held_out: float = 0.2
    """Share of the pairs that the head does not see, to be judged by."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Examples:
    """Labelled pairs of vectors."""

    one: Floats
    """(n, d)"""
    other: Floats
    """(n, d)"""
    labels: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[Any]) -> Examples:
        """Some of them."""
        return Examples(self.one[rows], self.other[rows], self.labels[rows])


@dataclass(frozen=True, slots=True)
class Head:
    """A trained head, and how it does on pairs that it has not seen."""

    layers: tuple[tuple[Floats, Floats], ...]
    """Matrices, (out, in), and biases."""
    before: float
    """Average precision of the vectors as they were, on the pairs held out."""
    after: float
    """Average precision of the head's."""
    report: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the weights as a NumPy archive; the name appears when the file is whole."""
        arrays: dict[str, Any] = {}
        for place, (weights, bias) in enumerate(self.layers):
            arrays |= {f"matrix_{place}": weights, f"bias_{place}": bias}
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as stream:
            np.savez(stream, **arrays)
        part.replace(path)


def examples(
    project: Project, pairs: Path, feature: str, outgoing: str = "vector", incoming: str = "vector"
) -> Examples:
    """The stored vectors of labelled pairs, both ways round where the columns differ.

    Parameters
    ----------
    feature
        ``FEATURE``, or ``FEATURE@AT``; labels mean the shots that it was made from.

    Raises
    ------
    RequestError
        The file means nothing, or no pair has vectors.
    """
    project = project.at("", feature)
    feature = parted(feature)[0]
    labelled = read_pairs(project, pairs)
    assets = sorted({asset for pair in labelled for asset in (pair.asset_a, pair.asset_b)})
    tables = {str(u): v.rows for u, v in project.table(feature).read(assets).items()}
    known: dict[tuple[str, str], dict[int, Floats]] = {}
    for asset, rows in tables.items():
        index = rows["shot_index"].to_pylist()
        for name in {outgoing, incoming}:
            known[asset, name] = dict(zip(index, matrix(rows, name), strict=True))
    one, other, labels = [], [], []
    ways = [(outgoing, incoming)] + ([(incoming, outgoing)] if outgoing != incoming else [])
    for pair in labelled:
        for here, there in ways:
            a = known.get((pair.asset_a, here), {}).get(pair.shot_a)
            b = known.get((pair.asset_b, there), {}).get(pair.shot_b)
            if a is not None and b is not None:
                one.append(a)
                other.append(b)
                labels.append(pair.label)
    if not labels:
        raise RequestError(
            f"no pair of {pairs} has vectors of '{feature}' on both sides. 'copal run {feature}' "
            "makes them."
        )
    return Examples(np.array(one, np.float32), np.array(other, np.float32), np.array(labels))


def train(given: Examples, how: Training | None = None) -> Head:
    """A head trained on part of the examples and judged by the rest.

    Matches attract each other and push away all other shots of a batch (NT-Xent); labelled
    non-matches that score too high are pushed away by themselves (hard mining).

    Raises
    ------
    RequestError
        There are fewer than eight matches to learn from.

    Notes
    -----
    Source: Chen et al. 2020, arXiv:2002.05709 (NT-Xent). On one machine and thread count the same
    seed gives the same weights.
    """
    import torch

    how = how or Training()
    dice = np.random.default_rng(how.seed)
    order = dice.permutation(len(given))
    held = max(1, round(how.held_out * len(given)))
    unseen, seen = given.take(order[:held]), given.take(order[held:])
    positives = int(seen.labels.sum())
    if positives < LEAST_POSITIVES or not unseen.labels.any():
        raise RequestError(
            f"{int(given.labels.sum())} matches among {len(given)} labelled pairs; a head needs "
            f"{LEAST_POSITIVES} to learn from, and one more to be judged by."
        )
    torch.manual_seed(how.seed)
    width = given.one.shape[1]
    net = torch.nn.Sequential(
        torch.nn.Linear(width, how.hidden),
        torch.nn.LeakyReLU(LEAK),
        torch.nn.Linear(how.hidden, how.dimensions),
    )
    steps = torch.optim.AdamW(net.parameters(), lr=how.rate, weight_decay=how.decay)
    matches, others = (seen.take(np.flatnonzero(seen.labels == kind)) for kind in (True, False))
    losses = []
    for _ in range(how.epochs):
        shuffled = dice.permutation(len(matches))
        for start in range(0, len(matches), how.batch):
            some = matches.take(shuffled[start : start + how.batch])
            against = others.take(dice.permutation(len(others))[: how.batch])
            loss = _loss(torch, net, some, against, how)
            steps.zero_grad()
            loss.backward()
            steps.step()
            losses.append(float(loss.detach()))
    linear = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    layers = tuple(
        (layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy())
        for layer in linear
    )
    before = _quality(unseen, unseen.one, unseen.other)
    with torch.inference_mode():
        after = _quality(unseen, *(net(torch.from_numpy(x)).numpy()
                                   for x in (unseen.one, unseen.other)))  # fmt: skip
    report = {
        "training": asdict(how), "pairs": len(given), "matches": int(given.labels.sum()),
        "held_out": held, "average_precision_before": before, "average_precision_after": after,
        "first_loss": losses[0], "last_loss": losses[-1],
    }  # fmt: skip
    return Head(layers, before, after, report)


def _loss(torch: Any, net: Any, matches: Examples, others: Examples, how: Training) -> Any:
    """NT-Xent over the matches of a batch, both ways, and what the hardest non-matches cost."""
    norm = torch.nn.functional.normalize
    a, b = (norm(net(torch.from_numpy(x)), dim=1) for x in (matches.one, matches.other))
    scores = a @ b.T / how.temperature
    # Rows of one shot are no non-match of each other.
    same = torch.from_numpy(_repeats(matches.one) | _repeats(matches.other))
    scores = scores.masked_fill(same, float("-inf"))
    own = torch.arange(len(matches))
    loss = sum(torch.nn.functional.cross_entropy(s, own) for s in (scores, scores.T)) / 2
    if len(others):
        c, d = (norm(net(torch.from_numpy(x)), dim=1) for x in (others.one, others.other))
        wrong = (c * d).sum(1)
        hard = wrong.topk(max(1, round(how.hard_share * len(wrong)))).values
        near = (a * b).sum(1).mean().detach()
        loss = loss + torch.nn.functional.softplus((hard - near + 0.2) / how.temperature).mean()
    return loss


def _repeats(rows: Floats) -> npt.NDArray[np.bool_]:
    """Which rows of a batch are equal to which others: (n, n), False on the diagonal."""
    _, which = np.unique(rows, axis=0, return_inverse=True)
    same = which.ravel()[:, None] == which.ravel()[None]
    np.fill_diagonal(same, False)
    return np.asarray(same)


def _quality(given: Examples, one: Floats, other: Floats) -> float:
    lengths = [np.linalg.norm(x, axis=1) for x in (one, other)]
    scores = (one * other).sum(1) / np.maximum(lengths[0] * lengths[1], 1e-12)
    ranking = Ranking.of(given.labels, scores.astype(np.float64))
    return float(ranking.average_precision()[0])


__all__: Sequence[str] = ["Examples", "Head", "Training", "examples", "train"]
