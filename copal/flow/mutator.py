"""What the registry says of machines, retries and schedules, given to the flow's steps."""

from __future__ import annotations

import os
from typing import Any

from metaflow import FlowMutator  # type: ignore[attr-defined]  # exported lazily

from copal.errors import RegistryError
from copal.flow.steps import PART


class from_registry(FlowMutator):  # noqa: N801  # read as a decorator
    """Decorate the steps of the flow as ``registry.yaml`` declares them."""

    def pre_mutate(self, mutable_flow: Any) -> None:
        """Refuse a flow file that is older than the registry; name the project, set the cron."""
        registry = mutable_flow.registry
        steps = {name for name, _ in mutable_flow.steps}
        declared = set(registry["features"])
        own = {"start", "end", "join_assets", "plan_pairs", "join_pairs"}
        unmade = set() if os.environ.get(PART) else declared - steps
        if missing := sorted(unmade | (steps - declared - own)):
            raise RegistryError(
                f"flows/feature_flow.py is older than registry.yaml ('{missing[0]}'). "
                "Run 'copal flow write'."
            )
        mutable_flow.add_decorator("project", deco_kwargs={"name": registry["project"]})
        if registry.get("schedule"):
            mutable_flow.add_decorator("schedule", deco_kwargs={"cron": registry["schedule"]})

    def mutate(self, mutable_flow: Any) -> None:
        """Resources, retries, timeout and the net for a dying process, step by step."""
        for name, step in mutable_flow.steps:
            feature = mutable_flow.registry["features"].get(name)
            if feature is None:
                continue
            asked = feature.get("resources") or {}
            resources = {
                "cpu": asked.get("cpu", 1),
                "memory": int(asked.get("memory_gib", 2) * 1024),
            }
            if asked.get("gpu"):
                resources["gpu"] = asked["gpu"]
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
            step.add_decorator(
                "catch", deco_kwargs={"var": f"{name}_crash", "print_exception": True}
            )
