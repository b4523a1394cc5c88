"""Identity: digests of named parts in one canonical encoding."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NewType

from blake3 import blake3

if TYPE_CHECKING:
    import pyarrow as pa

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

AssetId = NewType("AssetId", str)
"""Digest of a media file's essence."""
TitleId = NewType("TitleId", str)
"""Name under which people know a work, made safe for commands: ``heist-s01e02``."""
UnitId = NewType("UnitId", str)
"""What one value covers: an ``AssetId``, or two of them joined by ``+`` in sorted order."""
RecipeId = NewType("RecipeId", str)
"""Digest of everything that decides a feature's rows, apart from the media."""
Digest = NewType("Digest", str)
"""Digest of rows, of a file, or of the inputs of a cell."""

PAIR_MARK = "+"


def fingerprint(kind: str, **parts: Json) -> Digest:
    """Digest that is equal only when the kind, every name and every value are equal.

    Raises
    ------
    TypeError, ValueError
        A part has no canonical encoding (an object, NaN). It is never replaced by a stand-in.
    """
    text = json.dumps([kind, parts], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Digest(blake3(text.encode()).hexdigest(length=16))


def pair_unit(one: str, other: str) -> UnitId:
    """The unit that two assets make, whichever is named first."""
    return UnitId(PAIR_MARK.join(sorted((one, other))))


def pair_assets(unit: str) -> tuple[AssetId, AssetId]:
    """The two assets of a pair, in the pair's order."""
    left, _, right = unit.partition(PAIR_MARK)
    return AssetId(left), AssetId(right)


def is_within(unit: str, assets: Container[str]) -> bool:
    """Whether every asset that a unit covers is one of these."""
    return all(asset in assets for asset in pair_assets(unit) if asset)


def file_digest(path: Path) -> Digest:
    """Digest of a file's bytes; read once, in blocks."""
    hasher = blake3()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            hasher.update(block)
    return Digest(hasher.hexdigest(length=16))


def rows_digest(rows: pa.Table) -> Digest:
    """Digest of a table's column names, types and values, whatever its chunks and buffers.

    Every array is brought to one layout before it is hashed: no offset, nulls zeroed, lengths
    instead of offsets. So a value reads back from any store with the digest it went in with.

    Raises
    ------
    TypeError
        A column's type has no canonical encoding (a decimal, a map).
    """
    hasher = blake3()
    for name in rows.column_names:
        column = rows.column(name).combine_chunks()
        arrays = column.chunks if hasattr(column, "chunks") else [column]
        hasher.update(json.dumps([name, _type_name(rows.schema.field(name).type)]).encode())
        hasher.update(rows.num_rows.to_bytes(8, "little"))
        for array in arrays:
            _hash_array(array, hasher)
    return Digest(hasher.hexdigest(length=16))


def _type_name(kind: pa.DataType) -> str:
    """A type's name without the names that Arrow gives to the items of lists."""
    import pyarrow as pa

    if pa.types.is_fixed_size_list(kind):
        return f"fixed<{_type_name(kind.value_type)}>[{kind.list_size}]"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{_type_name(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{','.join(f'{f.name}:{_type_name(f.type)}' for f in kind)}>"
    return str(kind)


def _hash_array(array: pa.Array, hasher: blake3) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        array, kind = array.storage, array.storage.type
    hasher.update(np.packbits(np.asarray(array.is_valid())).tobytes())
    if pa.types.is_dictionary(kind):
        _hash_array(array.dictionary_decode(), hasher)
    elif pa.types.is_struct(kind):
        for child in array.flatten():  # unlike field(), it hides what lies under a null
            _hash_array(child, hasher)
    elif pa.types.is_fixed_size_list(kind):
        _hash_array(array.flatten(), hasher)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0)
        hasher.update(np.asarray(lengths).astype("<i8").tobytes())
        _hash_array(array.flatten(), hasher)
    elif pa.types.is_null(kind):
        pass
    elif any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string)):
        _hash_bytes([None if v is None else v.encode() for v in array.to_pylist()], hasher)
    elif any(
        test(kind)
        for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    ):
        _hash_bytes(array.to_pylist(), hasher)
    elif pa.types.is_boolean(kind):
        hasher.update(np.packbits(np.asarray(pc.fill_null(array, False))).tobytes())
    else:
        if pa.types.is_temporal(kind):
            array = array.cast(pa.int64() if kind.bit_width == 64 else pa.int32())
        if array.null_count:
            array = pc.fill_null(array, pa.scalar(0, array.type))
        values = np.ascontiguousarray(array.to_numpy(zero_copy_only=False))
        if values.dtype == object:  # its bytes would be addresses
            raise TypeError(f"values of type {kind} have no canonical encoding")
        hasher.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


def _hash_bytes(values: Sequence[bytes | None], hasher: blake3) -> None:
    for value in values:
        data = value or b""
        hasher.update(len(data).to_bytes(8, "little"))
        hasher.update(data)
