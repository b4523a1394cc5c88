"""The command line, in this process, over a small project whose features count words."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from copal.cli import main

REGISTRY = """\
project: scripts
features:
  words:
    summary: The words of each script.
    version: 1
    compute: word_shelf.words:Words
    of: text
  counts:
    summary: How often each word comes.
    version: 1
    compute: word_shelf.words:Counts
    needs: {words: words}
  shared:
    summary: How many words two scripts share.
    version: 1
    compute: word_shelf.words:Shared
    unit: pair
    needs: {counts: counts}
"""

FEATURES = '''\
"""Words of scripts."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from copal.feature import Pair
from copal.media import Source


@dataclass(frozen=True)
class Words:
    columns: ClassVar[pa.Schema] = pa.schema([("word", pa.string())])

    def compute(self, source: Source) -> pa.Table:
        words = re.findall(r"[a-z]+", source.path.read_text().lower())
        if "boom" in words:
            raise ValueError("this script explodes")
        return pa.table({"word": words}, schema=self.columns)


@dataclass(frozen=True)
class Counts:
    least: int = 1
    columns: ClassVar[pa.Schema] = pa.schema([("word", pa.string()), ("count", pa.int64())])

    def compute(self, words: pa.Table) -> pa.Table:
        found = sorted(Counter(words["word"].to_pylist()).items())
        rows = [{"word": w, "count": n} for w, n in found if n >= self.least]
        return pa.Table.from_pylist(rows, schema=self.columns)


@dataclass(frozen=True)
class Shared:
    columns: ClassVar[pa.Schema] = pa.schema([("count", pa.int64())])

    def compute(self, counts: Pair[pa.Table]) -> pa.Table:
        left, right = (set(side["word"].to_pylist()) for side in (counts.left, counts.right))
        return pa.table({"count": [len(left & right)]}, schema=self.columns)
'''


def script(*lines: str) -> str:
    cues = (f"{n}\n00:00:{n:02d},000 --> 00:00:{n + 1:02d},000\n{line}\n" for n, line
            in enumerate(lines, 1))  # fmt: skip
    return "\n".join(cues)


class House:
    """A project in a folder, and what was printed."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.media = root / "media"
        self.capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """Run a command; its output, or its complaint when it fails."""
        found = main([*arguments])
        out, err = self.capsys.readouterr()
        assert found == code, f"exit {found}: {out}{err}"
        self.err = err
        return out

    def complaint(self, *arguments: str, code: int = 2) -> str:
        """Run a command that fails; what it complains of."""
        assert self(*arguments, code=code) == ""
        return self.err.replace(str(self.root), "PROJECT").replace(str(self.root.parent), "ABOVE")

    def rows(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """Run a command with ``--json``: one object a line."""
        return [json.loads(line) for line in self(*arguments, "--json", code=code).splitlines()]

    def change(self, old: str, new: str) -> None:
        """Edit the registry."""
        path = self.root / "registry.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest.fixture
def house(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    (tmp_path / "word_shelf").mkdir()
    (tmp_path / "word_shelf" / "__init__.py").touch()
    (tmp_path / "word_shelf" / "words.py").write_text(FEATURES)
    media = tmp_path / "media"
    media.mkdir()
    (media / "Harbour.srt").write_text(script("the sea the ship", "the end"))
    (media / "Night Train.srt").write_text(script("the train at night"))
    for name in ("COPAL_STORE", "COPAL_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    yield House(tmp_path, capsys)
    structlog.reset_defaults()
    logging.captureWarnings(False)
    for name in [each for each in sys.modules if each.partition(".")[0] == "word_shelf"]:
        del sys.modules[name]


def masked(text: str) -> str:
    """Words without what differs from day to day: runs, times, seconds, and digests."""
    text = re.sub(r"\d{8}T\d{6}-[0-9a-f]{8}", "RUN", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{8}\b", "xxxxxxxx", text)
    text = re.sub(r"(?m)^(\w+) .* CPU .* per .*$", r"\1  PRICE", text)
    text = re.sub(r"(?m)^Price: about .*\n +.* CPU.*$", "Price: about SO MUCH", text)
    return re.sub(r"\b\d+\.\d s\b", "N s", text)


def test_a_day_with_a_small_project(house, snapshot):
    """
    From two scripts to the words they share, in the words that a person reads.
    """
    told = []

    def tell(*arguments: str, code: int = 0) -> None:
        out = house(*arguments, code=code)
        told.append(f"$ copal {' '.join(arguments)}\n{masked(out)}")

    tell("graph")
    tell("add", "media")
    tell("plan")
    tell("run", "--engine", "inline")
    tell("run", "--engine", "inline")
    tell("status")
    tell("show", "counts", "--title", "Harbour", "--limit", "3")
    tell("show", "shared")
    house.change(
        "version: 1\n    compute: word_shelf.words:Counts",
        "version: 2\n    compute: word_shelf.words:Counts",
    )
    tell("plan")
    tell("why", "harbour", "counts")
    tell("run", "--engine", "inline")
    tell("why", "harbour", "counts")
    tell("why", "harbour", "shared", "--with", "night-train")
    tell("plan", "--force", "words", "--title", "harbour")
    snapshot("command_line_day", "\n".join(told))


def test_a_failing_cell_is_exit_1_and_its_error_is_told(house, snapshot):
    """
    What fails is told by run and status, blocks what needs it, and stops nothing else.
    """
    (house.media / "Bomb.srt").write_text(script("boom"))
    (house.media / "Empty.srt").write_text("")
    told = []
    for arguments, code in (
        (("add", "media"), 1),
        (("run", "--engine", "inline"), 1),
        (("plan",), 0),
        (("run", "--engine", "inline"), 1),
        (("status",), 0),
        (("why", "bomb", "words"), 0),
        (("why", "bomb", "counts"), 0),
        (("retry",), 0),
        (("plan", "words"), 0),
    ):
        out = house(*arguments, code=code)
        told.append(f"$ copal {' '.join(arguments)}\n{masked(out)}exit {code}\n")
    snapshot("command_line_failure", "\n".join(told))


def test_json_is_one_object_a_line(house):
    """
    With --json every line is an object, and says what the table says.
    """
    added = house.rows("add", "media")
    assert [each["decision"] for each in added] == ["new", "new"]
    assert [each["title"] for each in added] == ["Harbour", "Night Train"]
    *planned, price = house.rows("plan")
    assert price["price"]["no_history"] == ["words", "counts", "shared"]
    assert [(e["feature"], e["compute"], e["stored"]) for e in planned] == [
        ("words", 2, 0), ("counts", 2, 0), ("shared", 3, 0),
    ]  # fmt: skip
    assert planned[0]["reasons"] == {"new asset": 2}
    (report,) = house.rows("run", "--engine", "inline")
    assert report["outcomes"] == {
        "words": {"stored": 2}, "counts": {"stored": 2}, "shared": {"stored": 3},
    }  # fmt: skip
    status = house.rows("status")
    assert [each["stored"] for each in status] == [2, 2, 3]
    rows = house.rows("show", "counts", "--title", "night train")
    assert [(row["word"], row["count"]) for row in rows] == [
        ("at", 1), ("night", 1), ("the", 1), ("train", 1),
    ]  # fmt: skip
    assert {row["asset_id"] for row in rows} == {added[1]["asset"]}
    (why,) = house.rows("why", "harbour", "words")
    assert "stored" in why["why"][0]
    assert [each["feature"] for each in house.rows("graph")] == ["words", "counts", "shared"]
    assert house.rows("retry") == [{"released": 0}]
    house("flow", "write")
    assert house.rows("check")[1]["columns"] == ["word", "count"]


def test_only_what_is_asked_for_is_done(house):
    """
    Features and titles narrow a run; what a feature needs comes along.
    """
    house("add", "media")
    (report,) = house.rows("run", "counts", "--title", "Harbour", "--engine", "inline")
    assert report["outcomes"] == {"words": {"stored": 1}, "counts": {"stored": 1}}


def test_forcing_replaces_values(house):
    """
    --force computes again what is stored; followers whose input came out equal are kept.
    """
    house("add", "media")
    house("run", "--engine", "inline")
    (report,) = house.rows("run", "--force", "words", "--engine", "inline")
    assert report["outcomes"] == {
        "words": {"stored": 2}, "counts": {"kept": 2}, "shared": {"kept": 3},
    }  # fmt: skip


def test_equal_inputs_are_carried_over(house):
    """
    A need's new version that gives equal rows costs its followers nothing.
    """
    house("add", "media")
    house("run", "--engine", "inline")
    house.change(
        "version: 1\n    compute: word_shelf.words:Words",
        "version: 2\n    compute: word_shelf.words:Words",
    )
    (report,) = house.rows("run", "--engine", "inline")
    assert report["outcomes"] == {
        "words": {"stored": 2}, "counts": {"carried": 2}, "shared": {"carried": 3},
    }  # fmt: skip
    assert "Carried over from recipe" in house("why", "harbour", "counts")


def test_wrong_requests_are_exit_2_and_one_line(house, snapshot):
    """
    What was typed wrongly is told in a line on stderr, with the word that was meant.
    """
    house("add", "media")
    (house.root / "nothing").mkdir()
    told = []
    for arguments in (
        ["plann"],
        ["plan", "--tittle", "x"],
        ["plan", "cuonts"],
        ["run", "--force", "sharred"],
        ["run", "--json", "--engine", "inline", "--max-workers", "0"],
        ["plan", "--title", "Harbor"],
        ["show", "words", "--title", "xyzzy"],
        ["why", "harbour", "words", "--with", "night-train"],
        ["why", "harbour"],
        ["add"],
        ["add", "gone.mov"],
        ["add", "nothing"],
        ["add", "media", "--title", "One"],
        ["match"],
        ["--store", "ftp://host", "plan"],
        ["--store", "s3://", "plan"],
        ["check"],
        ["init", "."],
        ["--project", "../nowhere", "plan"],
    ):
        words = house.complaint(*arguments)
        assert words.startswith("copal: ")
        assert "Traceback" not in words
        told.append(f"$ copal {' '.join(arguments)}\n{words}")
    snapshot("command_line_mistakes", "\n".join(told))


def test_a_wrong_registry_is_exit_2(house):
    """
    A mistake in the registry is the request's fault, and --debug adds where it came from.
    """
    house.change("needs: {words: words}", "needs: {words: wrds}")
    words = house.complaint("plan")
    assert words == (
        "copal: registry.yaml:8: 'counts' needs 'wrds', which is not declared. "
        "Did you mean 'words'?\n"
    )
    assert "Traceback" in house.complaint("--debug", "plan")


def test_a_store_from_a_newer_copal_is_exit_1(house):
    """
    The store is the operator's: nothing that was typed is wrong.
    """
    (house.root / ".copal").mkdir()
    (house.root / ".copal" / "store.json").write_text('{"format": 99, "copal": "7.0"}')
    assert "was written by Copal 7.0" in house.complaint("plan", code=1)


def test_the_project_is_found_from_below(house, monkeypatch):
    """
    A command works in any folder under the registry.
    """
    below = house.media / "deep"
    below.mkdir()
    monkeypatch.chdir(below)
    assert "Nothing was run." in house("plan")


def test_the_store_may_be_elsewhere(house, tmp_path, monkeypatch):
    """
    --store goes before $COPAL_STORE, which goes before the registry.
    """
    monkeypatch.setenv("COPAL_STORE", str(tmp_path / "two"))
    house("--store", str(tmp_path / "one"), "add", "media")
    assert len(house.rows("--store", str(tmp_path / "one"), "plan")) == 4
    assert house.rows("plan")[0]["units"] == 0
    assert not (tmp_path / ".copal").exists()


def test_help_is_no_complaint(house, capsys):
    """
    Help is printed as it is, on request and when nothing was asked for.
    """
    out = house("--help")
    assert out.startswith("Usage: copal ")
    assert [verb for verb in ("init", "plan", "run", "match") if f"  {verb} " not in out] == []
    for nothing in ([], ["flow"]):
        assert main(nothing) == 2
        out, err = capsys.readouterr()
        assert (out + err).startswith("Usage: copal")
    assert house("--version").startswith("copal, version ")


def test_flow_commands(house):
    """
    The flow is shown, written, and then found up to date by check.
    """
    shown = house("flow", "show")
    assert house("flow", "write") == "wrote flows/feature_flow.py\n"
    assert (house.root / "flows" / "feature_flow.py").read_text() == shown
    assert "3 features, in order." in house("check")


def test_a_graph_is_drawn(house):
    """
    The picture and the page name every feature.
    """
    house("graph", "--svg", "out/graph.svg", "--html", "out/graph.html")
    for name in ("graph.svg", "graph.html"):
        text = (house.root / "out" / name).read_text()
        assert all(feature in text for feature in ("words", "counts", "shared"))


def test_a_name_that_begins_with_a_dash_gets_a_hint(house: House, monkeypatch: Any) -> None:
    """
    A file called '-take.srt' is taken for an option; the complaint says how to name it.
    """
    (house.root / "-take.srt").write_text(script("the sea"))
    monkeypatch.chdir(house.root)
    assert "what begins with '-' comes after '--': copal … -- -take.srt" in house.complaint(
        "add", "-take.srt"
    )
    assert "new" in house("add", "--", "-take.srt")
