"""Golden rows: what each feature made of two small films, kept to notice when that changes.

``tests/golden.json`` of a feature repository holds, for each feature, the recipe and a signature
of the rows. Rows that changed although the recipe did not mean that somebody changed the code and
forgot to raise the version: what is stored would go on being taken for what the code makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from copal.contracts import filled
from copal.errors import BrokenContract, RequestError
from copal.fingerprint import pair_assets, rows_digest
from copal.graph import Recipe
from copal.project import Project
from copal.registry import FeatureName
from copal.why import differences

GOLDEN_FILE = Path("tests") / "golden.json"
TOLERANCE = 1e-3
"""How far floats may be apart, as a share of their root mean square: other processors sum in
another order, and a version that matters moves them further."""
FILMS = {"one.mp4": (20, 20, 20), "two.mp4": (12, 30, 9, 21)}
"""File → frames of each shot of the films that golden rows are made of."""


@dataclass(frozen=True, slots=True)
class Golden:
    """What a feature made of the films: everything but floats exactly, floats by four sums."""

    recipe: Mapping[str, Any]
    """The recipe's own parts and those of its needs, feature by feature."""
    rows: int
    exact: str
    """Digest of all that is no float, and of the names of files."""
    floats: Mapping[str, tuple[float, ...]]
    """Column → its mean, its root mean square, and two sums that notice order."""

    def to_json(self) -> dict[str, Any]:
        """As kept in the file."""
        floats = {name: [round(v, 6) for v in sums] for name, sums in self.floats.items()}
        return {"recipe": self.recipe, "rows": self.rows, "exact": self.exact, "floats": floats}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Golden:
        """What ``to_json`` wrote."""
        floats = {name: tuple(sums) for name, sums in data["floats"].items()}
        return Golden(data["recipe"], data["rows"], data["exact"], floats)

    def same_rows(self, other: Golden) -> bool:
        """Whether the rows are equal, floats within the tolerance."""
        return (
            (self.rows, self.exact, [*self.floats]) == (other.rows, other.exact, [*other.floats])
            and all(_close(sums, other.floats[name]) for name, sums in self.floats.items())
        )  # fmt: skip


def golden_rows(root: Path, folder: Path, features: Sequence[str] = ()) -> dict[str, Golden]:
    """Compute features (the default ones), and all they need, of a repository on the films.

    Parameters
    ----------
    folder
        An empty folder for the films and a store.

    Raises
    ------
    ComputeFailed
        A feature, or a need of it, cannot be computed.
    """
    from copal.demo import sample_film

    media = folder / "media"
    media.mkdir(parents=True)
    for name, shots in FILMS.items():
        sample_film(media / name, shots)
    project = filled(root, folder / "store", media, features)
    names = {asset.id: asset.name for asset in project.catalog.assets()}
    recipes = project.recipes(features or project.graph.targets())
    return {name: _golden(project, recipes, name, names) for name in recipes}


def _golden(
    project: Project,
    recipes: Mapping[FeatureName, Recipe],
    feature: FeatureName,
    names: Mapping[Any, str],
) -> Golden:
    table = project.store.table(recipes[feature])
    values = table.read(sorted(table.index().units))
    order = sorted(values, key=lambda unit: sorted(names.get(a, "") for a in pair_assets(unit)))
    rows = pa.concat_tables([values[unit].rows for unit in order])
    floats = [f.name for f in rows.schema if _is_float(f.type)]
    exact = rows.drop_columns(floats)
    counts = pa.table({"rows": [values[unit].rows.num_rows for unit in order]})
    files = pa.table({"files": [sorted(values[unit].files) for unit in order]})
    return Golden(
        recipe={name: recipes[name].parts() for name in project.graph.targets([feature])},
        rows=rows.num_rows,
        exact="".join(rows_digest(each)[:16] for each in (exact, counts, files)),
        floats={name: _sums(rows[name]) for name in floats},
    )


def _is_float(kind: pa.DataType) -> bool:
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _is_float(kind.value_type)
    return bool(pa.types.is_floating(kind))


def _sums(column: pa.ChunkedArray) -> tuple[float, ...]:
    import numpy as np

    flat = column.combine_chunks()
    while isinstance(flat, pa.ChunkedArray) or pa.types.is_nested(flat.type):
        flat = flat.combine_chunks() if isinstance(flat, pa.ChunkedArray) else flat.flatten()
    numbers = np.asarray(flat.drop_null(), dtype=np.float64)
    if not numbers.size:
        return (0.0, 0.0, 0.0, 0.0)
    places = np.arange(numbers.size)
    waves = (np.ones(numbers.size), numbers, np.cos(places), np.sin(places * 0.37))
    mean, square, *others = (float((numbers * wave).mean()) for wave in waves)
    return (mean, square**0.5, *others)


def _close(one: Iterable[float], other: Iterable[float]) -> bool:
    one, other = tuple(one), tuple(other)
    allowed = TOLERANCE * max(one[1], other[1], 1e-6)
    return all(abs(a - b) <= allowed for a, b in zip(one, other, strict=True))


def load_golden(root: Path) -> dict[str, Golden]:
    """The golden rows that a repository keeps; none when it keeps no file."""
    path = root / GOLDEN_FILE
    try:
        data = json.loads(path.read_text()) if path.exists() else {}
        return {name: Golden.from_json(each) for name, each in data.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise RequestError(
            f"{path} is damaged: {exc!r}. Restore it, or delete it and run 'copal golden --accept'."
        ) from exc


def accept_golden(root: Path, found: Mapping[str, Golden]) -> Path:
    """Keep rows as golden, beside those of other features; features nobody declares are dropped."""
    kept = load_golden(root) | dict(found)
    declared = Project(root).registry.features
    text = json.dumps(
        {name: kept[name].to_json() for name in sorted(kept) if name in declared}, indent=1
    )
    path = root / GOLDEN_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n")
    return path


def check_golden(root: Path, feature: str, found: Mapping[str, Golden]) -> str:
    """Hold a feature's rows to the golden ones.

    Returns
    -------
    Nothing when the rows are equal; else why there is no verdict: no golden rows are kept, the rows
    of a need changed, or tools or weights here are others than those golden rows were made with.

    Raises
    ------
    BrokenContract
        The rows changed. The message says what to do.
    """
    kept = load_golden(root).get(feature)
    accept = f"'copal golden --accept {feature}'"
    if kept is None:
        return f"'{feature}': no golden rows are kept yet; {accept} keeps them."
    now = found[feature]
    if now.same_rows(kept):
        return ""
    for need in list(now.recipe)[:-1]:
        if (
            need in found
            and (its := load_golden(root).get(need))
            and not found[need].same_rows(its)
        ):
            return f"'{feature}': its rows changed as those of '{need}' did; see there."
    moved = [
        f"{name} {part}"
        for name in now.recipe
        for part in (_moved(name, kept.recipe[name], now.recipe[name])
                     if name in kept.recipe else ["is a new need"])
    ]  # fmt: skip
    changed = f"'{feature}': its rows on the golden films changed ({kept.rows} → {now.rows} rows)"
    if not moved:
        raise BrokenContract(
            f"{changed}, and its recipe did not: what is stored would be taken for what the code "
            f"makes now. Raise its 'version' in registry.yaml, or undo the change; then {accept}."
        )
    if all(each.split(" ")[1].startswith(("tools.", "weights.")) for each in moved):
        return f"{changed}, made with other tools: {'; '.join(moved)}."
    raise BrokenContract(f"{changed}, as its recipe says: {'; '.join(moved)}. Accept: {accept}.")


def _moved(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    before, after = (Recipe(FeatureName(name), **each, needs={}) for each in (old, new))
    return [*differences(before, after)]
