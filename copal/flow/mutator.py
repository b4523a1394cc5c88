"""What the registry says of machines, retries and schedules, given to the flow's steps."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metaflow import FlowMutator  # type: ignore[attr-defined]  # exported lazily

from copal.errors import RegistryError
from copal.placement import BRANCH, PART, PRODUCTION, TARGET, TARGET_ENVIRONMENT

OWN_STEPS = frozenset({"start", "end", "join_assets", "plan_pairs", "join_pairs"})
OWN_RESOURCES = {"cpu": 1, "memory": 2048}
"""Of the flow's own steps, which plan and count."""
OWN_TRIES = 2
"""Retries of the flow's own steps on a cluster, whose nodes may go; each may run twice."""
OWN_MINUTES = 120
MIB = 1024
JOINS = frozenset({"join_assets", "join_pairs"})
CARDS = "COPAL_CARDS"
"""Set where a run that 'copal run' starts shall have cards too: each costs a second and 1.2 MB."""


class from_registry(FlowMutator):  # noqa: N801  # read as a decorator
    """Decorate the steps of the flow as ``registry.yaml`` declares them."""

    def pre_mutate(self, mutable_flow: Any) -> None:
        """Refuse a flow file older than the registry; name the project, set cron and trigger."""
        registry = mutable_flow.registry
        steps = {name for name, _ in mutable_flow.steps}
        declared = set(registry["features"])
        unmade = set() if os.environ.get(PART) else declared - steps
        if missing := sorted(unmade | (steps - declared - OWN_STEPS)):
            raise RegistryError(
                f"flows/feature_flow.py is older than registry.yaml ('{missing[0]}'). "
                "Run 'copal flow write'."
            )
        mutable_flow.add_decorator(_project(registry["project"], os.environ.get(BRANCH, "")))
        if registry.get("schedule"):
            mutable_flow.add_decorator("schedule", deco_kwargs={"cron": registry["schedule"]})
        event = (registry.get("deploy") or {}).get("event")
        if event and os.environ.get(TARGET) == "argo":  # Step Functions refuses a trigger
            mutable_flow.add_decorator("trigger", deco_kwargs={"event": event})

    def mutate(self, mutable_flow: Any) -> None:
        """Resources, retries, timeout and the net for a dying process, step by step."""
        target = os.environ.get(TARGET, "")
        for name, step in mutable_flow.steps:
            feature = mutable_flow.registry["features"].get(name)
            if feature is None:
                step.add_decorator("resources", deco_kwargs=dict(OWN_RESOURCES))
                if name in JOINS and (os.environ.get(CARDS) or not os.environ.get(PART)):
                    step.add_decorator("card", deco_kwargs={"type": "blank"})
                if target:
                    step.add_decorator("retry", deco_kwargs={"times": OWN_TRIES})
                    step.add_decorator("timeout", deco_kwargs={"minutes": OWN_MINUTES})
            else:
                self._feature(name, step, feature)
            if target:
                self._place(step, target, feature or {})

    def _feature(self, name: str, step: Any, feature: Mapping[str, Any]) -> None:
        asked = feature.get("resources") or {}
        resources = {
            "cpu": asked.get("cpu", 1),
            "memory": int(asked.get("memory_gib", 2) * MIB),
        }
        if asked.get("gpu"):
            resources["gpu"] = asked["gpu"]
        if asked.get("shared_memory_gib"):
            resources["shared_memory"] = int(asked["shared_memory_gib"] * MIB)
        step.add_decorator("resources", deco_kwargs=resources, duplicates=step.OVERRIDE)
        step.add_decorator(
            "retry",
            deco_kwargs={"times": feature.get("retries", 0), "minutes_between_retries": 0},
            duplicates=step.OVERRIDE,
        )
        step.add_decorator(
            "timeout",
            deco_kwargs={"minutes": feature.get("timeout_minutes", 60)},
            duplicates=step.OVERRIDE,
        )
        # One variable a step: each success overwrites its variable with None.
        step.add_decorator("catch", deco_kwargs={"var": f"{name}_crash", "print_exception": True})

    def _place(self, step: Any, target: str, feature: Mapping[str, Any]) -> None:
        """Image, nodes and queue of one step, and the variables that it starts with."""
        placed = feature.get("deploy") or {}
        disk = (feature.get("resources") or {}).get("disk_gib")
        keys: dict[str, Any] = {}
        if placed.get("image"):
            keys["image"] = placed["image"]
        if target == "argo":
            if placed.get("node_selector"):
                keys["node_selector"] = dict(placed["node_selector"])
            if placed.get("tolerations"):
                keys["tolerations"] = [dict(each) for each in placed["tolerations"]]
            if disk:
                keys["disk"] = int(disk * MIB)
            step.add_decorator("kubernetes", deco_kwargs=keys)
        else:
            if placed.get("queue"):
                keys["queue"] = placed["queue"]
            step.add_decorator("batch", deco_kwargs=keys)
        variables = json.loads(os.environ.get(TARGET_ENVIRONMENT, "{}"))
        if variables:
            step.add_decorator("environment", deco_kwargs={"vars": variables})

    def add_to_package(self) -> Iterator[tuple[str, str, Any]]:
        """The registry and the features, beside the flow file, for tasks on other machines."""
        from metaflow.packaging_sys import ContentType

        root = os.environ.get("COPAL_PROJECT")
        if root and os.environ.get(TARGET):
            for path in packaged(Path(root)):
                arcname = path.relative_to(root).as_posix()
                yield str(path), arcname, ContentType.USER_CONTENT


def _project(name: str, branch: str) -> str:
    """``@project`` as text: given as keywords, Metaflow would overlook all but the name."""
    if not branch:
        return f"project:name={name}"
    where = "production=true" if branch == PRODUCTION else f"branch={branch}"
    return f"project:name={name},{where}"


def packaged(root: Path) -> list[Path]:
    """Files that tasks on other machines need of a project: its registry and its features."""
    import yaml

    registry = root / "registry.yaml"
    declared = yaml.safe_load(registry.read_text())["features"].values()
    tops = {each["compute"].partition(":")[0].partition(".")[0] for each in declared}
    found = [registry]
    for top in sorted(tops):
        if (root / f"{top}.py").exists():
            found.append(root / f"{top}.py")
        found += sorted(
            path for path in (root / top).rglob("*.py") if "__pycache__" not in path.parts
        )
    return found
