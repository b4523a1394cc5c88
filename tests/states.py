"""Runs a compiled state machine: the part of the States Language that Metaflow compiles to.

Step Functions and AWS Batch cannot be had on one machine, so this walks the states; what a job
does is no imitation: its container's own command is a process, with the container's variables.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 300


@dataclass
class Job:
    """One job that was run."""

    step: str
    command: list[str]
    environment: dict[str, str]
    code: int
    said: str


@dataclass
class Machine:
    """A state machine, and how its containers are started."""

    definition: Mapping[str, Any]
    variables: Mapping[str, str]
    """What an image's own environment is, and where AWS is."""
    folder: Path
    dynamo: Callable[[Mapping[str, Any]], Any]
    """DynamoDB's GetItem: its parameters → its answer."""
    jobs: list[Job] = field(default_factory=list)

    def execute(self, name: str, given: Mapping[str, Any]) -> Any:
        """Run to the end; a job that fails ends the execution."""
        context = {"Execution": {"Name": name}}
        return self._states(self.definition, dict(given), context)

    def _states(self, machine: Mapping[str, Any], data: Any, context: Mapping[str, Any]) -> Any:
        name = machine["StartAt"]
        while True:
            state = machine["States"][name]
            data = self._state(state, data, context)
            if state.get("End") or "Next" not in state:
                return data
            name = state["Next"]

    def _state(self, state: Mapping[str, Any], data: Any, context: Mapping[str, Any]) -> Any:
        if state["Type"] == "Map":
            items = look_up(state["ItemsPath"], data, context)
            result: Any = [self._item(state, data, context, item) for item in items]
        elif "batch:submitJob.sync" in state["Resource"]:
            result = self._job(filled(state["Parameters"], data, context))
        else:
            assert "dynamodb:getItem" in state["Resource"], state
            result = self.dynamo(filled(state["Parameters"], data, context))
        if "ResultPath" in state:
            result = {**data, state["ResultPath"].removeprefix("$."): result}
        else:
            assert "ResultSelector" not in state
        return look_up(state["OutputPath"], result, context) if "OutputPath" in state else result

    def _item(
        self, state: Mapping[str, Any], data: Any, context: Mapping[str, Any], item: Any
    ) -> Any:
        inner = {**context, "Map": {"Item": {"Value": item}}}
        return self._states(state["Iterator"], filled(state["Parameters"], data, inner), inner)

    def _job(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Run a container's command where a container would be: in a folder of its own."""
        job_id = str(uuid.uuid4())
        overrides = job["ContainerOverrides"]
        asked = {each["Name"]: each["Value"] for each in overrides["Environment"]}
        environment = {
            **self.variables,
            **asked,
            "AWS_BATCH_JOB_ID": job_id,
            "AWS_BATCH_JOB_ATTEMPT": "1",
        }
        work = self.folder / f"{len(self.jobs):02d}-{job['Parameters']['step_name']}"
        work.mkdir(parents=True)
        ran = subprocess.run(
            overrides["Command"],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        step = job["Parameters"]["step_name"]
        said = ran.stdout + ran.stderr
        self.jobs.append(Job(step, overrides["Command"], environment, ran.returncode, said))
        assert ran.returncode == 0, f"{step}: exit {ran.returncode}\n{said}"
        return {"JobId": job_id, "Parameters": job["Parameters"]}


def filled(template: Any, data: Any, context: Mapping[str, Any]) -> Any:
    """A template with every ``name.$`` replaced by what its path finds."""
    if isinstance(template, Mapping):
        return {
            (name[:-2] if name.endswith(".$") else name): (
                look_up(inner, data, context)
                if name.endswith(".$")
                else filled(inner, data, context)
            )
            for name, inner in template.items()
        }
    if isinstance(template, list):
        return [filled(each, data, context) for each in template]
    return template


def look_up(path: str, data: Any, context: Mapping[str, Any]) -> Any:
    """What a path finds: ``$.a.b``, ``$.a.['b.c']``, ``$.['a', 'b']``, ``$.[0]``, ``$$.a``."""
    found: Any = context if path.startswith("$$") else data
    for part in re.findall(r"\[[^\]]*\]|[^.\[\]]+", path.lstrip("$")):
        if not part.startswith("["):
            found = found[part]
            continue
        names = re.findall(r"'([^']*)'", part)
        if not names:
            found = found[int(part[1:-1])]
        elif len(names) == 1:
            found = found[names[0]]
        else:
            found = {name: found[name] for name in names if name in found}
    return found


def chunks(jobs: list[Job]) -> dict[str, int]:
    """Step → how many jobs it had."""
    steps = sorted(job.step for job in jobs)
    return {step: len(list(group)) for step, group in itertools.groupby(steps)}
