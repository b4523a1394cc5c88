"""The runs of a watcher: gathered, few at a time, tried again when their process dies."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from copal.arrivals import runner as runner_module
from copal.arrivals.runner import Runner

PROCESS = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / f"here.{os.getpid()}").touch()
run = sys.stdin.readline().strip()
if not run:
    sys.exit(0)
if (folder / "die").exists():
    (folder / "die").unlink()
    os._exit(9)
print("a library's own words", flush=True)
print(json.dumps({"event": "run.planned", "run": run, "pid": os.getpid()}), flush=True)
while (folder / "hold").exists():
    time.sleep(0.02)
print(json.dumps({"event": "run.reported", "run": run, "left": False}), flush=True)
"""


class Heard:
    """What a runner told."""

    def __init__(self) -> None:
        self.lines: list[Mapping[str, Any]] = []

    def runs(self, event: str) -> list[str]:
        return [str(each["run"]) for each in list(self.lines) if each["event"] == event]

    def wait(self, event: str, runs: list[str]) -> None:
        until(lambda: self.runs(event) == runs, f"{event} {runs}, got {self.lines}")


def until(sign: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 60
    while not sign():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def make(tmp_path: Path, heard: Heard) -> Iterator[Callable[..., Runner]]:
    made: list[Runner] = []
    numbers = count(1)

    def start(at_once: int = 1) -> Runner:
        command = [sys.executable, "-c", PROCESS, str(tmp_path)]
        made.append(Runner(command, lambda: f"run {next(numbers)}", heard.lines.append, at_once))
        return made[-1]

    yield start
    for each in made:
        each.close()


def test_what_comes_together_is_one_run(make: Callable[..., Runner], heard: Heard) -> None:
    """
    Arrivals within a moment share a run, and each was told its id before it began.
    """
    runner = make()
    for _ in range(5):
        with runner.joining() as run_id:
            assert run_id == "run 1"
            runner.ask(1)
    heard.wait("run.reported", ["run 1"])
    until(lambda: runner.idle, "the run is over")
    with runner.joining() as run_id:
        assert run_id == "run 2"
        runner.ask(1)
    heard.wait("run.reported", ["run 1", "run 2"])


def test_what_comes_during_a_run_is_the_next_ones(
    make: Callable[..., Runner], heard: Heard, tmp_path: Path
) -> None:
    """
    With one run at a time the next waits; with two it begins beside the first.
    """
    hold = tmp_path / "hold"
    hold.touch()
    runner = make()
    runner.ask(1)
    heard.wait("run.planned", ["run 1"])
    runner.ask(1)
    time.sleep(1)
    assert heard.runs("run.planned") == ["run 1"]
    hold.unlink()
    heard.wait("run.reported", ["run 1", "run 2"])
    hold.touch()
    two = make(at_once=2)
    heard.lines.clear()
    two.ask(1)
    until(lambda: len(heard.runs("run.planned")) == 1, "the first began")
    two.ask(1)
    until(lambda: len(heard.runs("run.planned")) == 2, "the second began beside it")
    assert heard.runs("run.reported") == []
    hold.unlink()


def test_no_run_begins_while_its_arrivals_are_written(
    make: Callable[..., Runner], heard: Heard
) -> None:
    """
    A run that was told to an arrival is planned after the arrival is written down.
    """
    runner = make()
    with runner.joining() as run_id:
        runner.ask(1)
        time.sleep(1)
        assert heard.lines == [] and run_id == "run 1"
    heard.wait("run.reported", ["run 1"])


def test_a_run_whose_process_dies_is_done_again(
    make: Callable[..., Runner], heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    When the process of a run dies, another run follows after a while.
    """
    monkeypatch.setattr(runner_module, "AGAIN_SECONDS", 0.5)
    (tmp_path / "die").touch()
    runner = make()
    runner.ask(1)
    heard.wait("run.reported", ["run 2"])


def test_a_process_is_there_before_the_first_run(
    make: Callable[..., Runner], heard: Heard, tmp_path: Path
) -> None:
    """
    While files settle a process begins its imports; the first run is done by that one.
    """

    def here() -> set[str]:
        return {each.name for each in tmp_path.glob("here.*")}

    runner = make()
    runner.warm()
    until(here, "a process is there")
    (early,) = here()
    runner.warm()
    time.sleep(0.5)
    assert here() == {early} and heard.lines == [], "one is enough, and it waits"
    runner.ask(1)
    heard.wait("run.reported", ["run 1"])
    (planned,) = [each for each in heard.lines if each["event"] == "run.planned"]
    assert early == f"here.{planned['pid']}"


def test_no_process_begins_early_beside_a_run(
    make: Callable[..., Runner], heard: Heard, tmp_path: Path
) -> None:
    """
    While a run goes on none is kept ready: it would take memory from the run.
    """
    (tmp_path / "hold").touch()
    runner = make()
    runner.ask(1)
    heard.wait("run.planned", ["run 1"])
    runner.warm()
    time.sleep(0.5)
    assert len(list(tmp_path.glob("here.*"))) == 1
    (tmp_path / "hold").unlink()


def test_a_run_that_cannot_be_started_is_started_later(
    make: Callable[..., Runner],
    heard: Heard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """
    When the system starts no process the run waits, under the id its arrivals were told.
    """
    monkeypatch.setattr(runner_module, "AGAIN_SECONDS", 0.3)
    runner = make()
    told: list[str] = []
    monkeypatch.setattr(runner_module, "log", SimpleNamespace(
        warning=lambda event, **_: told.append(event), error=lambda event, **_: told.append(event),
        info=lambda event, **_: told.append(event),
    ))  # fmt: skip
    command, runner.command = runner.command, [str(tmp_path / "none")]
    runner.warm()
    runner.ask(1)
    time.sleep(1)
    assert heard.lines == []
    assert "run.not_started" in told
    runner.command = command
    heard.wait("run.reported", ["run 1"])


def test_a_listener_that_fails_ends_no_run(
    make: Callable[..., Runner], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What goes wrong with whoever listens is logged; the run is followed, and so is the next.
    """
    runner = make()
    runner.listen = lambda event: heard.lines.append(event) or 1 / 0
    runner.ask(1)
    heard.wait("run.reported", ["run 1"])
    until(lambda: runner.idle, "the run is over")
    runner.ask(1)
    heard.wait("run.reported", ["run 1", "run 2"])


def test_closing_stops_what_goes_on(
    make: Callable[..., Runner], heard: Heard, tmp_path: Path
) -> None:
    """
    A runner that is closed leaves no process and no thread behind.
    """
    (tmp_path / "hold").touch()
    runner = make(at_once=2)
    runner.ask(1)
    heard.wait("run.planned", ["run 1"])
    started = time.monotonic()
    runner.close()
    assert time.monotonic() - started < 10
    assert not [each for each in threading.enumerate() if each.name.startswith("run ")]
