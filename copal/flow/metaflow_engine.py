"""The Metaflow engine: a plan as a local run of the generated flow."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from copal.errors import StoreError
from copal.flow.drive import Listener
from copal.flow.generate import check_flow, flow_source
from copal.flow.scratch import scratch_folder
from copal.flow.steps import EVENTS
from copal.flow.work import Work, save
from copal.placement import PARENT, PART
from copal.project import Project
from copal.run.report import RunReport

POLL_SECONDS = 0.1
GRACE_SECONDS = 10.0
"""How long tasks may take to end once the run is stopped."""


def run_metaflow(
    project: Project, work: Work, *, max_workers: int, listen: Listener | None = None
) -> RunReport:
    """Do a plan as a Metaflow run on this machine.

    Parameters
    ----------
    listen
        Called with every log line of every task, soon after it was written.

    Raises
    ------
    StoreError
        The flow ended without a report; the end of Metaflow's own output says why.
    RegistryError
        The flow file is older than the registry.
    """
    check_flow(project.graph, project.root)
    project.store.introduce()
    save(project.store, work)
    started, cell_seconds = time.monotonic(), 0.0
    with scratch_folder() as folder:
        events, output = folder / "events.jsonl", folder / "metaflow.log"
        events.touch()
        flow = folder / "feature_flow.py"
        flow.write_text(flow_source(project.graph, only=work.recipes))
        with output.open("wb") as stream:
            process = subprocess.Popen(
                _command(flow, work, max_workers),
                cwd=project.root,
                env=_environment(project, events),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            with _ending_with_us(process):
                for event in _follow(process, events):
                    cell_seconds += float(event.get("elapsed_seconds", 0.0))
                    if listen is not None:
                        listen(event)
        text = output.read_text(errors="replace")
    report = _report(project, work, text, process.returncode)
    report.seconds = time.monotonic() - started
    report.tasks = text.count("Task is starting")
    report.workers, report.cell_seconds = max_workers, cell_seconds
    return report


def _command(flow: Path, work: Work, max_workers: int) -> list[str]:
    splits = max(len(work.assets), len(work.pairs), 1) + 1
    return [
        sys.executable, str(flow), "--no-pylint",
        "--config", "registry", "registry.yaml",
        "run", "--plan_id", work.run_id,
        "--max-workers", str(max_workers), "--max-num-splits", str(splits),
        "--tag", f"copal:{work.run_id}",
    ]  # fmt: skip


def _environment(project: Project, events: Path) -> dict[str, str]:
    env = dict(os.environ)
    env["COPAL_PROJECT"] = str(project.root)
    env["COPAL_STORE"] = str(project.location)
    env[EVENTS] = str(events)
    env[PART] = "1"
    env[PARENT] = str(os.getpid())
    env["TMPDIR"] = str(events.parent / "tmp")
    env.setdefault("METAFLOW_USER", env.get("USER") or "copal")
    env.setdefault("PYTHONWARNINGS", "ignore")
    env.setdefault("LANCE_IO_THREADS", "2")
    env.setdefault("LANCE_CPU_THREADS", "2")
    env.setdefault("OMP_NUM_THREADS", "1")
    return env


@contextlib.contextmanager
def _ending_with_us(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """However we leave, no task is left behind: Metaflow orphans its tasks when it is killed."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = None
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:  # otherwise somebody sees to it
        with contextlib.suppress(ValueError):  # only the main thread may
            previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _follow(process: subprocess.Popen[bytes], events: Path) -> Iterator[Mapping[str, Any]]:
    """Log lines as they are written, until the process has ended and all were read."""
    with events.open() as stream:
        part = ""
        while True:
            ended = process.poll() is not None
            for line in stream:
                part += line
                if not part.endswith("\n"):
                    continue
                with contextlib.suppress(json.JSONDecodeError):
                    yield json.loads(part)
                part = ""
            if ended:
                return
            time.sleep(POLL_SECONDS)


def _report(project: Project, work: Work, text: str, code: int) -> RunReport:
    data = project.store.load(f"runs/{work.run_id}/report.json")
    if data is not None:
        return RunReport.from_json(data)
    tail = "\n".join(line for line in text.splitlines()[-15:])
    raise StoreError(
        f"run {work.run_id} ended (exit {code}) before it could report. What it stored is kept; "
        f"run again to go on. The end of its output:\n{tail}"
    )
