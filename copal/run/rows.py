"""Rows as a feature promised them, or a refusal."""

from __future__ import annotations

import pyarrow as pa

from copal.errors import BrokenContract


def check_rows(rows: object, columns: pa.Schema, where: str) -> None:
    """Rows as promised: a table of exactly these columns, without NaN or infinity.

    Raises
    ------
    BrokenContract
        They are not.
    """
    if not isinstance(rows, pa.Table):
        raise BrokenContract(
            f"{where}: compute returned {type(rows).__name__}, not a pyarrow Table."
        )
    if not rows.schema.equals(columns, check_metadata=False):
        promised, got = (
            {f.name: f"{f.type}{'' if f.nullable else ' not null'}" for f in schema}
            for schema in (columns, rows.schema)
        )
        wrong = next((n for n in {**promised, **got} if promised.get(n) != got.get(n)), None)
        if wrong is None:
            raise BrokenContract(
                f"{where}: columns {rows.schema.names} are not in the order of {columns.names}."
            )
        raise BrokenContract(
            f"{where}: column '{wrong}' is {got.get(wrong, 'absent')}, but the feature declares "
            f"{promised.get(wrong, 'no such column')}."
        )
    for name in rows.column_names:
        if not all(_is_finite(chunk) for chunk in rows.column(name).chunks):
            raise BrokenContract(f"{where}: column '{name}' holds NaN or infinity.")


def _is_finite(array: pa.Array) -> bool:
    """Whether every number is, however deep in lists and structs."""
    import numpy as np

    if pa.types.is_nested(array.type) and not pa.types.is_map(array.type):
        inner = array.flatten()
        return all(map(_is_finite, inner if isinstance(inner, list) else [inner]))
    if not pa.types.is_floating(array.type):
        return True
    return bool(np.isfinite(array.drop_null().to_numpy(zero_copy_only=False)).all())
