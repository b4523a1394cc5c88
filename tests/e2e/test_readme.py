"""The README tells the truth: its commands exist, and its output is what they print."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from copal.cli import main

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()


def console(command: str) -> list[str]:
    """Lines that the README shows under a command."""
    block = next(b for b in re.findall(r"```console\n(.*?)```", README, re.DOTALL) if command in b)
    return block.partition(f"$ {command}\n")[2].partition("\n$ ")[0].splitlines()


def shape(line: str) -> str:
    """A line without what differs between machines: numbers, ids, paths, widths of columns."""
    line = re.sub(r"\b[0-9a-f]{8}\b", "ID", line)
    line = re.sub(r"\S*/\S+", "PATH", line)
    return re.sub(r"\s+", " ", re.sub(r"[\d.,]+", "0", line)).strip()


@pytest.fixture(scope="module")
def demo_output(tmp_path_factory) -> list[str]:
    out = tmp_path_factory.mktemp("demo")
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        code = main(["--project", str(ROOT), "demo", "--engine", "inline", "--out", str(out)])
    assert code == 0
    return stream.getvalue().splitlines()


def test_demo_prints_what_the_readme_shows(demo_output):
    """
    The README's first block is the real output of the demo, numbers of this machine aside.
    """
    told = [line for line in console("make demo") if "…" not in line]
    printed = {shape(line).replace(" in 0 tasks0", "0") for line in demo_output}
    for line in told:
        assert shape(line).replace(" in 0 tasks0", "0") in printed, line


def test_best_match_cuts_are_those_of_the_readme(demo_output):
    """
    The three best match cuts of the demo are the README's, shot for shot.
    """

    def best(lines: list[str]) -> list[str]:
        shown = [line for line in lines if re.match(r"\s*[123]\. ", line)]
        return [re.sub(r"\s+", " ", re.sub(r"0\.\d{3}", "", line)).strip() for line in shown]

    assert best(demo_output) == best(console("make demo"))
    assert len(best(demo_output)) == 3


def test_second_demo_computes_nothing(demo_output, capsys):
    """
    The same demo again finds everything in the store.
    """
    sheet = next(line for line in demo_output if line.startswith("Contact sheet: "))
    out = Path(sheet.partition(": ")[2]).parent
    assert main(["--project", str(ROOT), "demo", "--engine", "inline", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"Nothing to compute: [1-9]\d+ cells are stored. No flow was started.", said)
