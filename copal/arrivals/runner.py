"""The runs that arrivals ask for: bursts are gathered, and each run is a process of its own."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import structlog

from copal.placement import PARENT

log = structlog.get_logger("copal.arrivals")

GATHER_SECONDS = 0.3
"""How long after the first arrival others may join its run."""
MOST_GATHERED = 500
"""Arrivals after which a run starts at once."""
AGAIN_SECONDS = 20.0
"""When to look again, after a run that left cells to another live run, or that died."""
GRACE_SECONDS = 15.0
"""How long a run may take to end when it is stopped."""

Listener = Callable[[Mapping[str, Any]], None]


class Runs(Protocol):
    """Who is asked for runs."""

    def joining(self) -> AbstractContextManager[str | None]:
        """The id of the next run, which does not start before this is left."""

    def ask(self, arrivals: int = 0) -> None:
        """Have what is missing computed, soon."""

    def warm(self) -> None:
        """A run may be asked for in a moment."""

    def close(self) -> None:
        """Stop what runs."""


class NoRuns:
    """Asked for runs, it starts none."""

    def joining(self) -> AbstractContextManager[str | None]:
        """No run's id."""
        return contextlib.nullcontext(None)

    def ask(self, arrivals: int = 0) -> None:
        """Nothing."""

    def warm(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Runner:
    """Starts runs, few at a time; what arrives while all go on is the next one's.

    A run is over everything that is missing, not over the assets that asked for it: pairs with all
    the rest are among it, and a watcher that was killed need not remember who had asked.
    """

    def __init__(
        self,
        command: Sequence[str],
        new_run_id: Callable[[], str],
        listen: Listener,
        at_once: int = 1,
    ) -> None:
        """Start nothing yet.

        Parameters
        ----------
        command
            A process that waits for a line with a run's id, does the run, and tells of it in lines
            of JSON. It is started early, while files settle, and does its imports meanwhile.
        listen
            Called with every line of every run.
        at_once
            Runs at a time. Each leaves to the others what they have claimed, so a short one need
            not wait for a long one.
        """
        self.command = list(command)
        self.new_run_id = new_run_id
        self.listen = listen
        self.next_id = new_run_id()
        self._arrived = 0
        self._start_at = math.inf
        self._spare: subprocess.Popen[str] | None = None
        self._running: set[subprocess.Popen[str]] = set()
        self._left = False
        self._closing = False
        self._state = threading.Condition()
        self._starting = threading.Lock()
        self.at_once = at_once
        self._threads = [
            threading.Thread(target=self._work, name=f"run {n}", daemon=True)
            for n in range(at_once)
        ]
        for thread in self._threads:
            thread.start()

    @contextlib.contextmanager
    def joining(self) -> Iterator[str]:
        """The id of the next run, which does not start before this is left."""
        with self._starting:
            yield self.next_id

    def ask(self, arrivals: int = 0, after_seconds: float = 0.0) -> None:
        """Have what is missing computed, soon; ``arrivals`` says how many asked for it."""
        now = time.monotonic()
        with self._state:
            at = now + (after_seconds or GATHER_SECONDS)
            self._start_at = min(self._start_at, at)
            self._arrived += arrivals
            if self._arrived >= MOST_GATHERED:
                self._start_at = now
            self._state.notify_all()

    def warm(self) -> None:
        """Have a process ready for the next run, unless one is, or a run goes on."""
        with self._state:
            if self._running or self._closing:
                return
            if self._spare is not None:
                if self._spare.poll() is None:
                    return
                _let_go(self._spare)
                self._spare = None
            try:
                self._spare = self._start()
            except OSError as exc:  # the run itself will try again
                log.warning("run.not_warmed", error=str(exc))

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing was asked for."""
        with self._state:
            return not self._running and self._start_at == math.inf

    def close(self) -> None:
        """Stop the run that goes on, if any. What it stored is kept, and the next one goes on."""
        with self._state:
            self._closing = True
            self._state.notify_all()
            processes = [*self._running, *([self._spare] if self._spare else [])]
            for process in processes:
                _end(process, signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))
        for process in processes:
            _end(process, signal.SIGKILL)
            process.wait()
        for thread in self._threads:
            thread.join(1)
        if self._spare is not None:
            _let_go(self._spare)

    def _work(self) -> None:
        while True:
            with self._state:
                while not self._closing and (left := self._start_at - time.monotonic()) > 0:
                    self._state.wait(min(left, threading.TIMEOUT_MAX))
                if self._closing:
                    return
            with self._starting:
                with self._state:
                    if self._closing:
                        return
                    if time.monotonic() < self._start_at:
                        continue  # another thread was quicker
                    try:
                        process = self._take()
                    except OSError as exc:  # no memory, or no more processes: later there may be
                        self._start_at = time.monotonic() + AGAIN_SECONDS
                        log.error("run.not_started", error=str(exc), again_in_seconds=AGAIN_SECONDS)
                        continue
                    run_id, self.next_id = self.next_id, self.new_run_id()
                    arrivals, self._arrived, self._start_at = self._arrived, 0, math.inf
                    self._running.add(process)
                started = time.monotonic()
                self._begin(process, run_id)
            left = self._follow(process, run_id)
            log.info(
                "run.over", run=run_id, exit_code=process.returncode, arrivals=arrivals,
                elapsed_seconds=round(time.monotonic() - started, 3),
            )  # fmt: skip
            with self._state:
                self._running.discard(process)
                others = bool(self._running)
                waited_for, self._left = self._left, left and others
            if waited_for:  # what this run had claimed while another was planned
                self.ask()
            if left:
                self.ask(after_seconds=AGAIN_SECONDS)
            self.warm()

    def _take(self) -> subprocess.Popen[str]:
        """The process that waits already, or a new one."""
        spare, self._spare = self._spare, None
        if spare is not None and spare.poll() is None:
            return spare
        if spare is not None:
            _let_go(spare)
        return self._start()

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
            env={**os.environ, PARENT: str(os.getpid())},
        )

    def _begin(self, process: subprocess.Popen[str], run_id: str) -> None:
        """Have a run begin, and wait until it is planned: what comes later is the next one's."""
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(run_id + "\n")
            process.stdin.flush()
        except OSError:  # it died as it waited, and its exit code will say so
            return
        for line in process.stdout:
            if self._hear(run_id, line).get("event") == "run.planned":
                return

    def _follow(self, process: subprocess.Popen[str], run_id: str) -> bool:
        """Wait for a run's end; whether something was left that a later one should look at."""
        assert process.stdin is not None and process.stdout is not None
        left = False
        for line in process.stdout:
            left = bool(self._hear(run_id, line).get("left")) or left
        code = process.wait()
        _let_go(process)
        _end(process, signal.SIGKILL)  # what it may have left behind in its group
        return left or code not in (0, 1)

    def _hear(self, run_id: str, line: str) -> Mapping[str, Any]:
        try:
            event = dict(json.loads(line))
        except (ValueError, TypeError):  # some library's own words
            log.warning("run.said", run=run_id, line=line.rstrip()[:500])
            return {}
        try:
            self.listen(event)
        except Exception as exc:  # whoever listens, the run is followed to its end
            log.warning("run.not_heard", run=run_id, error=f"{type(exc).__name__}: {exc}")
        return event


def _let_go(process: subprocess.Popen[str]) -> None:
    """Close the pipes to a process that has ended."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _end(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
