"""A compiled flow read back: what each step of it asks of the cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RETRIES = re.compile(r"--max-user-code-retries (\d+)")


@dataclass(frozen=True, slots=True)
class StepMachine:
    """What one step of a compiled flow asks for."""

    name: str
    image: str
    cpu: float
    memory_mib: int
    gpu: int
    retries: int
    """Of the step's own code; a node that goes away is tried again on top of these."""
    attempts: int
    """How often the cluster starts the step at most."""
    timeout_seconds: int
    command: tuple[str, ...]
    environment: Mapping[str, str]
    disk_mib: int = 0
    limits: Mapping[str, str] = field(default_factory=dict)
    """What Kubernetes stops the task at."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    queue: str = ""
    size: int = 0
    """Bytes of the overrides that AWS Batch is sent."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a flow was compiled to."""

    name: str
    steps: tuple[StepMachine, ...]
    """In the flow's order."""
    cron: str | None
    """As it was compiled: Argo takes five fields, EventBridge six."""
    event: str | None
    """Name of the event that starts it."""
    parameters: Mapping[str, str]
    max_workers: int

    def step(self, name: str) -> StepMachine:
        """One step by its name."""
        return next(each for each in self.steps if each.name == name)


def read_argo(items: Sequence[Mapping[str, Any]], order: Sequence[str]) -> Compiled:
    """Read Kubernetes objects; ``order`` names the steps as they follow one another."""
    by_kind = {item["kind"]: item for item in items}
    template = by_kind["WorkflowTemplate"]
    cron = by_kind.get("CronWorkflow", {}).get("spec", {}).get("schedule")
    spec = template["spec"]
    declared = json.loads(template["metadata"]["annotations"]["metaflow/parameters"])
    steps = [
        _pod(each)
        for each in spec["templates"]
        if "metaflow/step_name" in each.get("metadata", {}).get("annotations", {})
        and "container" in each
    ]
    return Compiled(
        name=template["metadata"]["name"],
        steps=_ordered(steps, order),
        cron=cron,
        event=_event(by_kind.get("Sensor")),
        parameters={
            each["name"]: json.loads(each["value"])
            for each in spec["arguments"]["parameters"]
            if each["name"] in declared  # and not what carries the event
        },
        max_workers=spec["parallelism"],
    )


def _pod(template: Mapping[str, Any]) -> StepMachine:
    container = template["container"]
    asked = container["resources"]["requests"]
    limits = container["resources"].get("limits") or {}
    command = tuple(container["command"])
    gpus = [int(value) for name, value in limits.items() if name.endswith(".com/gpu")]
    return StepMachine(
        name=template["metadata"]["annotations"]["metaflow/step_name"],
        image=container["image"],
        cpu=float(asked["cpu"]),
        memory_mib=_size(asked["memory"]),
        gpu=sum(gpus),
        retries=_retries(command),
        attempts=1 + int((template.get("retryStrategy") or {}).get("limit", 0)),
        timeout_seconds=int(template["activeDeadlineSeconds"]),
        command=command,
        environment={e["name"]: e["value"] for e in container["env"] if e.get("value") is not None},
        disk_mib=_size(asked.get("ephemeral-storage") or asked.get("ephemeral_storage") or "0M"),
        limits=dict(limits),
        node_selector=dict(template.get("nodeSelector") or {}),
        tolerations=tuple(template.get("tolerations") or ()),
    )


def _event(sensor: Mapping[str, Any] | None) -> str | None:
    """The event a sensor waits for, out of its filter ``name == '…'``."""
    if sensor is None:
        return None
    (dependency,) = sensor["spec"]["dependencies"]
    for each in dependency["filters"]["exprs"]:
        if found := re.fullmatch(r"name == '(.+)'", each["expr"]):
            return found[1]
    return None


def read_step_functions(calls: Mapping[str, Any], order: Sequence[str]) -> Compiled:
    """Read what AWS would be sent."""
    (machine,) = calls["CreateStateMachine"]
    images = {
        each["jobDefinitionName"]: each["containerProperties"]["image"]
        for each in calls["registerjobdefinition"]
    }
    states = machine["definition"]["States"]
    maps = [state for state in states.values() if state["Type"] == "Map"]
    steps = [_job(state, images) for state in _jobs(states)]
    start = next(step for step in steps if step.name == "start")
    cron = next((each["ScheduleExpression"] for each in calls["PutRule"]), None)
    return Compiled(
        name=machine["name"],
        steps=_ordered(steps, order),
        cron=cron.removeprefix("cron(").removesuffix(")") if cron else None,
        event=None,
        parameters=json.loads(start.environment["METAFLOW_DEFAULT_PARAMETERS"]),
        max_workers=min((each["MaxConcurrency"] for each in maps), default=1),
    )


def _jobs(states: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for state in states.values():
        if "batch:submitJob" in state.get("Resource", ""):
            yield state
        if "Iterator" in state:
            yield from _jobs(state["Iterator"]["States"])


def _job(state: Mapping[str, Any], images: Mapping[str, str]) -> StepMachine:
    job = state["Parameters"]
    overrides = job["ContainerOverrides"]
    asked = {each["Type"]: float(each["Value"]) for each in overrides["ResourceRequirements"]}
    command = tuple(overrides["Command"])
    definition = job["JobDefinition"].rpartition("/")[2].rpartition(":")[0]
    return StepMachine(
        name=job["Parameters"]["step_name"],
        image=images.get(definition, job["JobDefinition"]),
        cpu=asked["VCPU"],
        memory_mib=int(asked["MEMORY"]),
        gpu=int(asked.get("GPU", 0)),
        retries=_retries(command),
        attempts=int(job["RetryStrategy"]["Attempts"]),
        timeout_seconds=int(job["Timeout"]["AttemptDurationSeconds"]),
        command=command,
        environment={e["Name"]: e["Value"] for e in overrides["Environment"] if "Value" in e},
        queue=job["JobQueue"],
        size=len(json.dumps(overrides).encode()),
    )


def _ordered(steps: Sequence[StepMachine], order: Sequence[str]) -> tuple[StepMachine, ...]:
    found = {step.name: step for step in steps}
    return tuple(found[name] for name in order)


def _retries(command: Sequence[str]) -> int:
    found = RETRIES.search(" ".join(command))
    return int(found[1]) if found else 0


def _size(text: str) -> int:
    return round(float(text.removesuffix("M").removesuffix("i")))
