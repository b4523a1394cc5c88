"""Where in a cluster tasks run: image, nodes, queue; no recipe knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TARGET = "COPAL_DEPLOY"
"""``argo`` or ``step-functions`` while the flow is compiled; unset in every task."""
TARGET_ENVIRONMENT = "COPAL_DEPLOY_ENVIRONMENT"
"""JSON object of the variables that each compiled step starts with."""
BRANCH = "COPAL_DEPLOY_BRANCH"
"""Which deployment of the project this is: ``production``, or a name beside it."""
PRODUCTION = "production"
PARENT = "COPAL_PARENT"
"""Number of the process that the one at hand must not outlive; set by whoever starts it."""
PART = "COPAL_FLOW_PART"
"""Set where a flow has steps for some of the features only, as in a run on one machine."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What a feature's ``deploy`` says; used by ``copal deploy`` and by nothing else."""

    image: str = ""
    """Container image; the registry's own, or ``--image``, when empty."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that a Kubernetes node must have."""
    tolerations: tuple[Mapping[str, str | int], ...] = ()
    """Taints of Kubernetes nodes that do not keep the tasks away."""
    queue: str = ""
    """AWS Batch queue; the default one when empty."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the registry's own ``deploy`` says of every step."""

    image: str = ""
    event: str = ""
    """Name of the Argo event that starts the flow; none when empty."""
    max_workers: int = 100
    """How many tasks of one step run at once."""
