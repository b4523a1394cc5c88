"""A declaration joined to its class: what fits, what is told when it does not."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pyarrow as pa
import pytest

from copal.binding import bind, code_digest, ingredients, tool_version
from copal.errors import BadParams, BrokenContract, MissingWeights, RegistryError
from copal.feature import Pair, Value
from copal.registry import parse

HEAD = """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import Any, ClassVar
import pyarrow as pa
from copal.feature import Pair, Value, speed_only
"""

GOOD = """
@dataclass(frozen=True)
class Shots:
    threshold: float = 27.0
    mode: str = "adaptive"
    sizes: tuple[int, ...] = (1, 2)
    batch: int = speed_only(8)
    columns: ClassVar[pa.Schema] = pa.schema([("start_frame", pa.int32())])
    tools: ClassVar[tuple[str, ...]] = ("numpy",)

    def compute(self, encode: Value) -> pa.Table:
        return encode.rows
"""


PER_SHOT = """
from pathlib import Path

@dataclass(frozen=True)
class Shots:
    columns: ClassVar[pa.Schema] = pa.schema([("shot_index", pa.int32())])
    per_shot: ClassVar[tuple[str, ...]] = ("start_frame",)

    def compute(self, shots: pa.Table) -> pa.Table: ...
"""
OF_SHOTS = {"needs": "shots: encode"}


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder whose package ``shelf`` holds feature modules; forgotten after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = dict(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - set(modules):
        if name.partition(".")[0] == "shelf":
            del sys.modules[name]


def put(root: Path, source: str, module: str = "shots") -> Path:
    """Write a feature module in the package of a folder."""
    package = root / "shelf"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    path = package / f"{module}.py"
    path.write_text(HEAD + dedent(source))
    return path


def declared(more: str = "", compute: str = "shelf.shots:Shots", needs: str = "encode: encode"):
    """The declaration of ``shots``, on line 7 of its registry."""
    return parse(
        "project: test\nfeatures:\n"
        "  encode:\n    version: 1\n    compute: a:A\n    of: video\n"
        f"  shots:\n    version: 1\n    compute: {compute}\n    needs: {{{needs}}}\n"
        + (f"    {more}\n" if more else "")
    ).feature("shots")


def test_params_become_fields(shelf):
    """
    Params are the class's fields: given ones as their types, the others by default.
    """
    put(shelf, GOOD)
    bound = bind(declared("params: {threshold: 30, sizes: [3, 4]}"), shelf)
    assert (bound.instance.threshold, bound.instance.mode) == (30.0, "adaptive")
    assert isinstance(bound.instance.threshold, float)
    assert bound.instance.sizes == (3, 4)
    assert bound.columns == pa.schema([("start_frame", pa.int32())])


def test_what_goes_into_a_recipe(shelf):
    """
    All params with their defaults, and the versions of tools; what only changes speed stays out.
    """
    put(shelf, GOOD)
    found = ingredients(bind(declared("params: {batch: 64}"), shelf))
    assert found.params == {"threshold": 27.0, "mode": "adaptive", "sizes": [1, 2]}
    assert found.tools == {"numpy": tool_version("numpy")}
    assert found.weights == {}
    assert found == ingredients(bind(declared("params: {batch: 8, threshold: 27}"), shelf))


def test_relative_weights_lie_beside_the_registry(shelf, monkeypatch, tmp_path_factory):
    """
    A relative path of weights begins in the registry's folder, wherever one works.
    """
    weighed = GOOD + (
        "    def weights_digests(self):\n"
        "        from copal.weights import own_weights, weights_digest\n"
        '        return {"head": weights_digest(own_weights("heads/h.npz", "Train one."))}\n'
    )
    put(shelf, weighed)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    bound = bind(declared(), shelf)
    with pytest.raises(MissingWeights, match=r"heads/h\.npz'\. Train one\."):
        ingredients(bound)
    (shelf / "heads").mkdir()
    (shelf / "heads" / "h.npz").write_bytes(b"weights")
    assert set(ingredients(bound).weights) == {"head"}


def test_weights_are_asked_of_the_feature(shelf):
    """
    A feature with a model says which weights it reads; without them the error is its own.
    """
    weighed = GOOD + '    def weights_digests(self):\n        return {"model": "d1"}\n'
    put(shelf, weighed)
    assert ingredients(bind(declared(), shelf)).weights == {"model": "d1"}
    put(
        shelf,
        GOOD + "    def weights_digests(self):\n"
        "        from copal.errors import MissingWeights\n"
        '        raise MissingWeights("no file")\n',
        "heavy",
    )
    with pytest.raises(MissingWeights):
        ingredients(bind(declared(compute="shelf.heavy:Shots"), shelf))


def test_the_code_is_known_by_its_file(shelf):
    """
    The digest of the code is of the module's bytes, for the audit.
    """
    path = put(shelf, GOOD)
    before = code_digest(bind(declared(), shelf))
    path.write_text(path.read_text() + "# a remark\n")
    assert before != code_digest(bind(declared(), shelf)) != ""


# Handing over


def test_values_are_handed_over_as_annotated(shelf):
    """
    ``pa.Table`` or nothing gets the rows, ``Value`` the value, a class with from_value itself.
    """
    put(
        shelf,
        """
        class Encode:
            def __init__(self, value): self.value = value
            @classmethod
            def from_value(cls, value): return cls(value)

        @dataclass(frozen=True)
        class Shots:
            def compute(self, rows: pa.Table, bare, whole: Value, made: Encode, workspace): ...
        """,
    )
    needs = ", ".join(f"{name}: encode" for name in ("rows", "bare", "whole", "made"))
    bound = bind(declared(needs=needs), shelf)
    value = Value(pa.table({"x": [1]}))
    assert bound.hand_over("rows", value) is value.rows
    assert bound.hand_over("bare", value) is value.rows
    assert bound.hand_over("whole", value) is value
    made = bound.hand_over("made", value)
    assert type(made).__name__ == "Encode"
    assert made.value is value
    assert "workspace" in bound.arguments


def test_pairs_are_handed_over_side_by_side(shelf):
    """
    A pair feature gets both sides as annotated inside ``Pair``; an asset with itself is one object.
    """
    put(
        shelf,
        """
        class Encode:
            @classmethod
            def from_value(cls, value): return cls()

        @dataclass(frozen=True)
        class Shots:
            def compute(self, rows: Pair[pa.Table], bare: Pair, made: Pair[Encode]): ...
        """,
    )
    bound = bind(declared("unit: pair", needs="rows: encode, bare: encode, made: encode"), shelf)
    left, right = Value(pa.table({"x": [1]})), Value(pa.table({"x": [2]}))
    assert bound.hand_over("rows", Pair(left, right)) == Pair(left.rows, right.rows)
    assert bound.hand_over("bare", Pair(left, right)) == Pair(left.rows, right.rows)
    assert not bound.hand_over("made", Pair(left, right)).itself
    assert bound.hand_over("made", Pair(left, left)).itself


# Mistakes

CASES: dict[str, tuple[type[RegistryError], str, dict[str, str]]] = {
    "no such module": (RegistryError, GOOD, {"compute": "shelf.shot:Shots"}),
    "no such package": (RegistryError, GOOD, {"compute": "shelves.shots:Shots"}),
    "module raises": (RegistryError, "1 / 0", {}),
    "module is no Python": (RegistryError, "def f(:", {}),
    "no such class": (RegistryError, GOOD, {"compute": "shelf.shots:Shot"}),
    "no class but a function": (RegistryError, "def Shots(): ...", {}),
    "no dataclass": (RegistryError, "class Shots:\n    def compute(self, encode): ...", {}),
    "no compute": (RegistryError, "@dataclass\nclass Shots:\n    a: int = 1", {}),
    "need is no argument": (RegistryError, GOOD, {"needs": "encod: encode"}),
    "argument is no need": (RegistryError, GOOD.replace("encode: Value", "encode, words"), {}),
    "a need called source": (RegistryError, GOOD, {"needs": "source: encode"}),
    "a need called workspace": (RegistryError, GOOD, {"needs": "workspace: encode"}),
    "source without of": (RegistryError, GOOD.replace("encode: Value", "encode, source"), {}),
    "argument of unknown type": (RegistryError, GOOD.replace("encode: Value", "encode: Gone"), {}),
    "field of unknown type": (RegistryError, GOOD.replace("mode: str", "mode: Gone"), {}),
    "unknown param": (BadParams, GOOD, {"more": "params: {treshold: 3}"}),
    "unknown param, far": (BadParams, GOOD, {"more": "params: {colour: 3}"}),
    "text for a number": (BadParams, GOOD, {"more": "params: {threshold: high}"}),
    "true for a number": (BadParams, GOOD, {"more": "params: {threshold: true}"}),
    "a list for a number": (BadParams, GOOD, {"more": "params: {threshold: [27.0]}"}),
    "a float for a whole number": (BadParams, GOOD, {"more": "params: {batch: 1.5}"}),
    "null for text": (BadParams, GOOD, {"more": "params: {mode: null}"}),
    "a param is missing": (BadParams, GOOD.replace("float = 27.0", "float"), {}),
    "the class refuses": (
        BadParams,
        GOOD + "    def __post_init__(self):\n"
        "        if self.threshold < 0:\n"
        "            raise ValueError(f'threshold {self.threshold}: need 0 or more')\n",
        {"more": "params: {threshold: -1}"},
    ),
    "per shot by no column": (RegistryError, PER_SHOT.replace('("start_frame",)', "()"), OF_SHOTS),
    "per shot by a word": (
        RegistryError, PER_SHOT.replace('("start_frame",)', '"shots"'), OF_SHOTS,
    ),
    "per shot by its number": (
        RegistryError, PER_SHOT.replace('("start_frame",)', '("shot_index",)'), OF_SHOTS,
    ),
    "per shot without shots": (RegistryError, PER_SHOT.replace("shots: pa", "encode: pa"), {}),
    "per shot of a pair": (RegistryError, PER_SHOT, OF_SHOTS | {"more": "unit: pair"}),
    "per shot, and shots are no table": (
        RegistryError, PER_SHOT.replace("shots: pa.Table", "shots: Value"), OF_SHOTS,
    ),
    "per shot without numbers": (
        RegistryError, PER_SHOT.replace('[("shot_index", pa.int32())]', '[("x", pa.int32())]'),
        OF_SHOTS,
    ),
    "per shot and in batches": (
        RegistryError, PER_SHOT + "    def compute_batch(self, units): ...\n", OF_SHOTS,
    ),
    "per shot with files, without join": (
        RegistryError, PER_SHOT.replace("shots: pa.Table", "shots: pa.Table, workspace: Path"),
        OF_SHOTS,
    ),
}  # fmt: skip


def complain(root: Path, case: str) -> str:
    kind, source, how = CASES[case]
    module = f"m{list(CASES).index(case)}"
    put(root, source, module)
    how = {"compute": "shelf.shots:Shots"} | how
    how["compute"] = how["compute"].replace("shelf.shots:", f"shelf.{module}:")
    with pytest.raises(kind) as caught:
        bind(declared(**how), root)
    return str(caught.value).replace(f"shelf.{module}", "shelf.shots").replace(module, "shots")


@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_one_error_with_its_line(case, shelf):
    """
    What a class and its declaration disagree on is a RegistryError at the feature's line.
    """
    assert complain(shelf, case).startswith("registry.yaml:7: 'shots'")


def test_the_words_of_each_mistake(shelf, snapshot):
    """
    The messages are read by people, so a change of their words is seen.
    """
    told = (f"{case}\n    {complain(shelf, case)}\n" for case in CASES)
    snapshot("binding_errors", "\n".join(told).replace(str(shelf), "PROJECT"))


def test_a_per_shot_feature_sees_what_it_says_it_reads(shelf):
    """
    Of its shots it gets their numbers and the columns it names, nothing else.
    """
    put(shelf, PER_SHOT)
    bound = bind(declared(**OF_SHOTS), shelf)
    shots = pa.table({"end_frame": [9], "start_frame": [0], "shot_index": [0]})
    seen = bound.hand_over("shots", Value(shots))
    assert seen.to_pylist() == [{"shot_index": 0, "start_frame": 0}]


def test_columns_must_be_a_schema(shelf):
    """
    A feature that declares no columns is told how to.
    """
    put(shelf, GOOD.replace('pa.schema([("start_frame", pa.int32())])', '["start_frame"]'))
    with pytest.raises(BrokenContract) as caught:
        _ = bind(declared(), shelf).columns
    assert str(caught.value) == (
        "'shots': 'columns' of shelf.shots:Shots is no pyarrow schema. "
        "Declare it: columns: ClassVar[pa.Schema] = pa.schema([...])"
    )


@pytest.mark.parametrize("default", ["float('nan')", "object()"])
def test_a_param_that_no_recipe_can_hold(default, shelf):
    """
    A default without a canonical encoding is told, before a digest is taken of it.
    """
    put(shelf, GOOD.replace('mode: str = "adaptive"', f"mode: Any = field(default={default})"))
    with pytest.raises(BadParams, match=r"'shots': the params of .* have no place"):
        ingredients(bind(declared(), shelf))


def test_a_tool_that_is_not_installed(shelf):
    """
    A misspelt tool is told, since its version could never change a recipe.
    """
    put(shelf, GOOD.replace('("numpy",)', '("nunpy",)'))
    with pytest.raises(RegistryError, match="names the tool 'nunpy', which is not installed"):
        ingredients(bind(declared(), shelf))


def test_two_projects_in_one_process(shelf):
    """
    Each project sees its own package, though both are called the same, and back again.
    """
    one, other = shelf / "one", shelf / "other"
    put(one, GOOD)
    put(other, GOOD.replace("27.0", "30.0"))
    assert bind(declared(), one).instance.threshold == 27.0
    assert bind(declared(), other).instance.threshold == 30.0
    assert bind(declared(), one).instance.threshold == 27.0


def test_a_project_keeps_its_modules(shelf):
    """
    Two features of one project share one copy of its modules.
    """
    put(shelf, GOOD)
    assert type(bind(declared(), shelf).instance) is type(bind(declared(), shelf).instance)
