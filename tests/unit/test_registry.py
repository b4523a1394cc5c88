"""``registry.yaml``: what may be declared, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from copal.errors import RegistryError, UnknownFeature
from copal.registry import MAX_BYTES, Resources, load, parse

ENCODE = """\
project: heist
features:
  encode:
    version: 1
    compute: features.encode:Encode
    of: video
"""

COMPLETE = """\
project: heist
store: s3://bucket/prefix
schedule: "0 3 * * ? *"
features:
  encode:
    summary: One encode of every asset.
    version: 3
    compute: features.encode:Encode
    of: video
    params: {crf: 20, sizes: [360, 256], names: {a: b}, fast: true, ratio: 1.5, note: null}
    resources: {cpu: 2, gpu: 1, memory_gib: 0.5}
    retries: 1
    timeout_minutes: 90
  pairs:
    version: 1
    compute: features.pairs:Pairs
    unit: pair
    pairs: {within: show}
    needs: {one: encode, other: encode}
    default: false
"""


def test_everything_that_may_be_declared():
    """
    Each key arrives as a value of its type, with the line of its feature.
    """
    registry = parse(COMPLETE)
    assert (registry.project, registry.store) == ("heist", "s3://bucket/prefix")
    assert registry.schedule == "0 3 * * ? *"
    assert list(registry.features) == ["encode", "pairs"]
    encode, pairs = registry.feature("encode"), registry.feature("pairs")
    assert encode.params == {
        "crf": 20, "sizes": [360, 256], "names": {"a": "b"}, "fast": True, "ratio": 1.5,
        "note": None,
    }  # fmt: skip
    assert encode.resources == Resources(cpu=2, gpu=1, memory_gib=0.5)
    assert (encode.version, encode.of, encode.unit, encode.default) == (
        3,
        ("video",),
        "asset",
        True,
    )
    assert (encode.retries, encode.timeout_minutes, encode.line) == (1, 90, 5)
    assert (pairs.unit, pairs.pairs, pairs.default, pairs.line) == ("pair", "show", False, 14)
    assert pairs.needs == {"one": "encode", "other": "encode"}


def test_what_is_not_said_has_a_default():
    """
    Three keys make a feature; it is computed by default, of one asset, without retries.
    """
    registry = parse(ENCODE)
    encode = registry.feature("encode")
    assert (registry.store, registry.schedule) == (".copal", None)
    assert (encode.params, encode.needs, encode.resources) == ({}, {}, Resources())
    assert (encode.unit, encode.pairs, encode.retries, encode.timeout_minutes, encode.default) == (
        "asset", "catalog", 0, 60, True,
    )  # fmt: skip


def test_a_feature_may_start_from_several_kinds():
    """
    ``of`` is one kind of asset or a list of them.
    """
    assert parse(ENCODE).feature("encode").of == ("video",)
    several = ENCODE.replace("of: video", "of: [video, audio]")
    assert parse(several).feature("encode").of == ("video", "audio")


def test_a_declaration_cannot_be_changed():
    """
    What was parsed is a value: its mappings take no writes.
    """
    registry = parse(COMPLETE)
    with pytest.raises(TypeError):
        registry.feature("encode").params["crf"] = 1
    with pytest.raises(TypeError):
        registry.features["other"] = registry.feature("encode")


def with_line(line: str) -> str:
    """The registry with one line more in its feature, which is line 7."""
    return f"{ENCODE}    {line}\n"


def feature(text: str) -> str:
    """The registry with one feature more, whose name is on line 7."""
    return ENCODE + "".join(f"  {line}\n" for line in text.splitlines())


NEEDS = "  version: 1\n  compute: features.x:X\n"

MISTAKES: dict[str, tuple[int | None, str]] = {
    "empty": (None, ""),
    "only a comment": (None, "# nothing\n"),
    "no mapping": (1, "- a\n- b\n"),
    "broken yaml": (2, "project: heist\n  features: [\n"),
    "a tab": (3, "project: heist\nfeatures:\n\tencode: 1\n"),
    "two documents": (7, ENCODE + "---\n" + ENCODE),
    "unknown key": (1, ENCODE.replace("project:", "projekt:")),
    "unknown key, near": (7, ENCODE + "shedule: daily\n"),
    "no project": (1, ENCODE.partition("\n")[2]),
    "project is no name": (1, ENCODE.replace("heist", "Heist 2")),
    "project is null": (1, ENCODE.replace("heist", "")),
    "no features": (1, "project: heist\n"),
    "features are null": (2, "project: heist\nfeatures:\n"),
    "features are a list": (3, "project: heist\nfeatures:\n  - encode\n"),
    "store is a list": (7, ENCODE + "store: [a]\n"),
    "a schedule that is no time": (7, ENCODE + 'schedule: "99 3 * * ? *"\n'),
    "a schedule of nearest weekdays": (7, ENCODE + 'schedule: "0 3 15W * ? *"\n'),
    "a schedule of three fields": (7, ENCODE + 'schedule: "0 3 *"\n'),
    "feature named twice": (7, feature("encode:\n  version: 2\n")),
    "feature is no mapping": (7, feature("shots: yes\n")),
    "feature name is no name": (7, feature("Shots-2:\n" + NEEDS + "  of: video\n")),
    "feature name is a step": (7, feature("join_assets:\n" + NEEDS + "  of: video\n")),
    "feature name is a keyword": (7, feature("class:\n" + NEEDS + "  of: video\n")),
    "unknown feature key": (7, with_line("param: {crf: 20}")),
    "unknown feature key, far": (7, with_line("colour: red")),
    "key twice": (7, with_line("version: 2")),
    "no version": (3, ENCODE.replace("    version: 1\n", "")),
    "no compute": (3, ENCODE.replace("    compute: features.encode:Encode\n", "")),
    "version is zero": (4, ENCODE.replace("version: 1", "version: 0")),
    "version is text": (4, ENCODE.replace("version: 1", 'version: "1"')),
    "version is a float": (4, ENCODE.replace("version: 1", "version: 1.5")),
    "version is true": (4, ENCODE.replace("version: 1", "version: true")),
    "compute is a path": (5, ENCODE.replace("features.encode:Encode", "features/encode.py")),
    "compute is a list": (5, ENCODE.replace("features.encode:Encode", "[a]")),
    "unknown kind": (6, ENCODE.replace("video", "movie")),
    "one unknown kind of two": (6, ENCODE.replace("video", "[video, movie]")),
    "no kind at all": (3, ENCODE.replace("video", "[]")),
    "unknown unit": (7, with_line("unit: title")),
    "pairs of an asset feature": (7, with_line("pairs: {within: title}")),
    "unknown scope": (
        11, feature("p:\n" + NEEDS + "  unit: pair\n  pairs: {within: season}\n"
                    "  needs: {a: encode}\n"),
    ),
    "unknown pairs key": (
        11, feature("p:\n" + NEEDS + "  unit: pair\n  pairs: {witin: show}\n"
                    "  needs: {a: encode}\n"),
    ),
    "pairs that start from media": (11, feature("p:\n" + NEEDS + "  unit: pair\n  of: video\n")),
    "neither of nor needs": (7, feature("x:\n" + NEEDS)),
    "needs is a list": (10, feature("x:\n" + NEEDS + "  needs: [encode]\n")),
    "a need is null": (10, feature("x:\n" + NEEDS + "  needs: {a: }\n")),
    "unknown need, near": (7, feature("x:\n" + NEEDS + "  needs: {a: encoed}\n")),
    "unknown need, far": (7, feature("x:\n" + NEEDS + "  needs: {a: subtitles}\n")),
    "an asset feature needs pairs": (
        12, feature("p:\n" + NEEDS + "  unit: pair\n  needs: {a: encode}\n") +
        "  x:\n    version: 1\n    compute: features.x:X\n    needs: {p: p}\n",
    ),
    "params is a list": (7, with_line("params: [1]")),
    "param is a date": (7, with_line("params: {since: 2026-01-02}")),
    "param is NaN": (7, with_line("params: {crf: .nan}")),
    "param is a set": (7, with_line("params: {crf: !!set {a, b}}")),
    "param of a strange tag": (7, with_line("params: {crf: !!python/object:os.system {}}")),
    "unknown resource": (7, with_line("resources: {memory: 2}")),
    "no cpu": (7, with_line("resources: {cpu: 0}")),
    "memory is text": (7, with_line("resources: {memory_gib: much}")),
    "negative retries": (7, with_line("retries: -1")),
    "no time": (7, with_line("timeout_minutes: 0")),
    "default is a word": (7, with_line("default: maybe")),
    "summary is a list": (7, with_line("summary: [a, b]")),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_one_error_with_its_line(mistake):
    """
    Whatever is wrong with the file, its author reads one RegistryError that names the line.
    """
    line, text = MISTAKES[mistake]
    with pytest.raises(RegistryError) as caught:
        parse(text)
    place = "registry.yaml:" if line is None else f"registry.yaml:{line}: "
    assert str(caught.value).startswith(place)
    assert "\n" not in str(caught.value)


def test_the_words_of_each_mistake(snapshot):
    """
    The messages are read by people, so a change of their words is seen.
    """
    told = []
    for mistake, (_, text) in MISTAKES.items():
        with pytest.raises(RegistryError) as caught:
            parse(text)
        told.append(f"{mistake}\n    {caught.value}\n")
    snapshot("registry_errors", "\n".join(told))


def test_an_unknown_feature_is_an_unknown_feature():
    """
    A need or a request that names nothing is an UnknownFeature, and the nearest name is offered.
    """
    with pytest.raises(UnknownFeature, match="Did you mean 'encode'"):
        parse(MISTAKES["unknown need, near"][1])
    with pytest.raises(UnknownFeature) as caught:
        parse(ENCODE).feature("encod")
    expected = "'encod' is not declared in registry.yaml. Did you mean 'encode'?"
    assert str(caught.value) == expected
    with pytest.raises(UnknownFeature) as caught:
        parse(ENCODE).feature("subtitles")
    assert str(caught.value) == "'subtitles' is not declared in registry.yaml."


def test_a_circle_of_aliases_is_refused():
    """
    YAML can hold a mapping inside itself; the registry cannot.
    """
    with pytest.raises(RegistryError, match=r"registry\.yaml:7: "):
        parse(with_line("params: {crf: &a {x: *a}}"))


def test_the_flow_knows_no_feature_by_these_names():
    """
    Python's keywords, the flow's steps and what the flow keeps are names of no feature.
    """
    for name in ("end", "next", "input", "registry", "plan_id", "lambda", "tallies"):
        with pytest.raises(RegistryError, match="uses this name itself"):
            parse(ENCODE.replace("  encode:", f"  {name}:"))


def test_who_releases_is_declared_for_all_or_for_one():
    """
    A feature's own policy goes before the registry's, which is automatic where nothing is said.
    """
    assert parse(ENCODE).feature("encode").release == "automatic when complete"
    manual = ENCODE.replace("features:", "release: manual\nfeatures:")
    assert parse(manual).feature("encode").release == "manual"
    own = manual.replace("    of: video", "    of: video\n    release: automatic when complete")
    assert own != manual
    assert parse(own).feature("encode").release == "automatic when complete"
    with pytest.raises(RegistryError) as caught:
        parse(with_line("release: maybe"))
    assert str(caught.value) == (
        "registry.yaml:7: 'encode': release 'maybe' is none of automatic when complete, manual."
    )


# From a file


def test_a_file_is_called_by_its_name(tmp_path: Path):
    """
    A mistake in a file names the file, without its folders.
    """
    path = tmp_path / "registry.yaml"
    path.write_text(ENCODE.replace("video", "movie"))
    with pytest.raises(RegistryError, match=r"^registry\.yaml:6: "):
        load(path)
    path.write_text(ENCODE)
    assert load(path) == parse(ENCODE)


def test_files_that_are_no_registry(tmp_path: Path, snapshot):
    """
    A missing, unreadable, enormous or binary file is a RegistryError too.
    """
    missing, folder, huge, binary = (tmp_path / name for name in ("none", "dir", "huge", "binary"))
    folder.mkdir()
    huge.write_bytes(b" " * (MAX_BYTES + 1))
    binary.write_bytes(b"project: \xff\xfe\n")
    told = []
    for path in (missing, folder, huge, binary):
        with pytest.raises(RegistryError) as caught:
            load(path)
        told.append(str(caught.value).replace(str(tmp_path), "PROJECT"))
    snapshot("registry_files", "\n".join(told))
