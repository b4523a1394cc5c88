"""A declaration joined to its class: imported, checked, made with its params."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from copal.errors import BadParams, BrokenContract, CopalError, RegistryError, suggestion
from copal.feature import (
    GIVEN_ARGUMENTS,
    SHOT_INDEX,
    SHOTS,
    FromValue,
    Pair,
    Value,
    per_shot_of,
    weights_of,
)
from copal.fingerprint import fingerprint
from copal.graph import Ingredients
from copal.registry import Declaration
from copal.weights import relative_to


@dataclass(frozen=True, slots=True)
class Bound:
    """A feature ready to be computed."""

    declaration: Declaration
    instance: Any
    """The feature's own object; the engine calls ``compute`` on it and reads ``columns``."""
    arguments: Mapping[str, Any]
    """Every argument of ``compute`` → its annotation."""

    @property
    def columns(self) -> pa.Schema:
        """Names and types of the rows that the feature promises."""
        columns = self.instance.columns
        if not isinstance(columns, pa.Schema):
            raise BrokenContract(
                f"'{self.declaration.name}': 'columns' of {self.declaration.compute} is no "
                "pyarrow schema. Declare it: columns: ClassVar[pa.Schema] = pa.schema([...])"
            )
        return columns

    def hand_over(self, argument: str, value: Value | Pair[Value]) -> Any:
        """A stored value as the argument's annotation asks for it."""
        annotation = self.arguments[argument]
        if isinstance(value, Pair):
            inner = (typing.get_args(annotation) or (pa.Table,))[0]
            left = _as(inner, value.left)
            return Pair(left, left if value.itself else _as(inner, value.right))
        if argument == SHOTS and (columns := per_shot_of(self.instance)):
            return self._shots(value.rows, columns)
        return _as(annotation, value)

    def _shots(self, rows: pa.Table, columns: tuple[str, ...]) -> pa.Table:
        """What a per-shot feature sees of its shots: nothing but what it says it reads."""
        if absent := [name for name in (SHOT_INDEX, *columns) if name not in rows.column_names]:
            raise BrokenContract(
                f"'{self.declaration.name}' goes by the column '{absent[0]}' of its shots, which "
                f"'{self.declaration.needs[SHOTS]}' does not have (it has "
                f"{', '.join(rows.column_names)}). Change 'per_shot' of {self.declaration.compute}."
            )
        return rows.select([SHOT_INDEX, *columns])


def _as(annotation: Any, value: Value) -> Any:
    if annotation is Value:
        return value
    if isinstance(annotation, type) and issubclass(annotation, FromValue):
        return annotation.from_value(value)
    return value.rows


def bind(declaration: Declaration, root: Path, where: str = "registry.yaml") -> Bound:
    """Import a feature's class and make it with its params.

    Raises
    ------
    RegistryError
        The class does not import, has no ``compute``, or its arguments are not the needs.
    BadParams
        It does not take a param, or refuses its value.
    """
    at = f"{where}:{declaration.line}: '{declaration.name}'"
    cls = _import(declaration, root, at)
    relative_to(root)
    if not dataclasses.is_dataclass(cls):
        raise RegistryError(f"{at}: {declaration.compute} is no dataclass, so it has no params.")
    arguments = _arguments(cls, declaration, at)
    bound = Bound(declaration, _make(cls, declaration, at), arguments)
    if hasattr(cls, "per_shot"):
        _check_per_shot(bound, at)
    return bound


def ingredients(bound: Bound) -> Ingredients:
    """What decides the feature's rows apart from media and needs.

    Raises
    ------
    MissingWeights
        The feature needs weights that are not there.
    BadParams
        A param, perhaps a default, is a value that no recipe can hold.
    """
    params = {
        spec.name: _plain(getattr(bound.instance, spec.name))
        for spec in dataclasses.fields(bound.instance)
        if not spec.metadata.get("speed_only")
    }
    try:
        fingerprint("params", **params)
    except (TypeError, ValueError) as exc:
        declaration = bound.declaration
        raise BadParams(
            f"'{declaration.name}': the params of {declaration.compute} have no place in a recipe: "
            f"{exc}. Use text, finite numbers, lists and mappings, or speed_only()."
        ) from exc
    tools = {name: tool_version(name) for name in getattr(bound.instance, "tools", ())}
    return Ingredients(params=params, weights=weights_of(bound.instance), tools=tools)


@functools.cache
def tool_version(name: str) -> str:
    """Version of the ffmpeg in use, or of an installed distribution."""
    if name == "ffmpeg":
        from copal.media import ffmpeg

        return str(ffmpeg.version())
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise RegistryError(
            f"a feature names the tool '{name}', which is not installed. "
            "Tools are 'ffmpeg' or the names of installed distributions."
        ) from None


def code_digest(bound: Bound) -> str:
    """Digest of the module that holds the feature's class: for the audit, never for identity."""
    from copal.fingerprint import file_digest

    try:
        return file_digest(Path(inspect.getfile(type(bound.instance))))
    except (OSError, TypeError):
        return ""


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _import(declaration: Declaration, root: Path, at: str) -> type:
    module_name, _, class_name = declaration.compute.partition(":")
    _look_first_in(root, module_name.partition(".")[0])
    try:
        module = importlib.import_module(module_name)
    except CopalError:
        raise
    except Exception as exc:
        raise RegistryError(
            f"{at}: compute '{declaration.compute}' does not import: {type(exc).__name__}: {exc}"
        ) from exc
    found = getattr(module, class_name, None)
    if not isinstance(found, type):
        names = [n for n, v in vars(module).items() if isinstance(v, type)]
        raise RegistryError(
            f"{at}: {module_name} has no class '{class_name}'." + suggestion(class_name, names)
        )
    return found


def _look_first_in(root: Path, package: str) -> None:
    """Import from the registry's folder, also when another project's package of that name is in."""
    folder = str(root)
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    loaded = getattr(sys.modules.get(package), "__path__", None)
    if loaded and (root / package).is_dir() and str(root / package) not in list(loaded):
        for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
            del sys.modules[name]
        importlib.invalidate_caches()


def _arguments(cls: type, declaration: Declaration, at: str) -> dict[str, Any]:
    compute = getattr(cls, "compute", None)
    if compute is None:
        raise RegistryError(f"{at}: {declaration.compute} has no method 'compute'.")
    names = [name for name in inspect.signature(compute).parameters if name != "self"]
    for argument in declaration.needs:
        if argument in GIVEN_ARGUMENTS:
            raise RegistryError(f"{at}: a need cannot be called '{argument}'.")
        if argument not in names:
            raise RegistryError(
                f"{at}: needs '{argument}', which is no argument of "
                f"{declaration.compute}.compute." + suggestion(argument, names)
            )
    for name in names:
        if name == "source" and not declaration.of:
            raise RegistryError(f"{at}: compute takes 'source', so the feature must say 'of'.")
        if name not in declaration.needs and name not in GIVEN_ARGUMENTS:
            raise RegistryError(
                f"{at}: {declaration.compute}.compute takes '{name}', which is not in its needs."
            )
    hints = _hints(compute, f"{at}: an annotation of {declaration.compute}.compute")
    return {name: hints.get(name, pa.Table) for name in names}


def _check_per_shot(bound: Bound, at: str) -> None:
    """A per-shot feature has shots to go by, and can be computed and joined part by part."""
    declaration, cls = bound.declaration, type(bound.instance)
    per_shot = cls.per_shot
    what = f"{at}: {declaration.compute} is per shot ('per_shot')"
    if not isinstance(per_shot, tuple) or not per_shot or SHOT_INDEX in per_shot:
        raise RegistryError(
            f"{what}, but says {per_shot!r}. Name the columns of '{SHOTS}' that its rows follow "
            f'from, without \'{SHOT_INDEX}\': per_shot = ("start_frame", "end_frame").'
        )
    if declaration.unit != "asset" or SHOTS not in declaration.needs:
        raise RegistryError(
            f"{what}, so its unit is 'asset' and one of its needs is called '{SHOTS}'. Here the "
            f"unit is '{declaration.unit}' and the needs are: {', '.join(declaration.needs)}."
        )
    if bound.arguments[SHOTS] is not pa.Table:
        raise RegistryError(f"{what}, so the argument '{SHOTS}' must be a pa.Table.")
    if SHOT_INDEX not in bound.columns.names:
        raise RegistryError(f"{what}, so its rows must have a column '{SHOT_INDEX}'.")
    if hasattr(cls, "compute_batch"):
        raise RegistryError(f"{what}, and has 'compute_batch': the two do not go together.")
    if "workspace" in bound.arguments and not hasattr(cls, "join"):
        raise RegistryError(
            f"{what} and makes files, so it needs a method 'join(pieces, workspace)' that puts "
            "the rows and files of some shots and of others together."
        )


def _hints(thing: Any, what: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(thing)
    except Exception as exc:
        raise RegistryError(f"{what} cannot be resolved: {exc}") from exc


def _make(cls: type, declaration: Declaration, at: str) -> Any:
    specs = {spec.name: spec for spec in dataclasses.fields(cls)}
    hints = _hints(cls, f"{at}: an annotation of {declaration.compute}")
    given = {}
    for name, value in declaration.params.items():
        if name not in specs:
            raise BadParams(
                f"{at}: {declaration.compute} has no param '{name}'." + suggestion(name, specs)
            )
        given[name] = _fitting(value, hints.get(name, Any), f"{at}: param '{name}'")
    missing = [
        name
        for name, spec in specs.items()
        if name not in given
        and spec.default is dataclasses.MISSING
        and spec.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise BadParams(f"{at}: {declaration.compute} needs the param '{missing[0]}'.")
    try:
        return cls(**given)
    except CopalError:
        raise
    except (ValueError, TypeError) as exc:
        raise BadParams(f"{at}: {declaration.compute} refuses its params: {exc}") from exc


def _fitting(value: Any, hint: Any, at: str) -> Any:
    """The value as the field's type; whole numbers may stand for floats, lists for tuples."""
    plain = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}
    if hint in plain:
        wrong_bool = isinstance(value, bool) and hint is not bool
        if wrong_bool or not isinstance(value, plain[hint]):
            raise BadParams(f"{at} must be {hint.__name__}; got '{value}'.")
        return hint(value)
    if isinstance(value, list):
        return tuple(_fitting(item, Any, at) for item in value)
    return value
