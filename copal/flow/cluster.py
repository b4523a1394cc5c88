"""The settings that Metaflow's compilers want: of the user, of infra/, of a stack in AWS."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from copal import __version__
from copal.errors import RequestError, StoreError, StoreUnavailable
from copal.registry import Registry

ARGO_DEFAULTS = {
    "METAFLOW_KUBERNETES_NAMESPACE": "copal",
    "METAFLOW_KUBERNETES_SERVICE_ACCOUNT": "copal-task",
    "METAFLOW_KUBERNETES_MEMORY": "256",  # Metaflow's own 4096 is a floor, not a default
    "METAFLOW_KUBERNETES_QOS": "guaranteed",  # limits as well as requests
    "METAFLOW_ARGO_EVENTS_EVENT": "copal",
    "METAFLOW_ARGO_EVENTS_EVENT_SOURCE": "copal-arrivals",
    "METAFLOW_ARGO_EVENTS_EVENT_BUS": "default",
    "METAFLOW_ARGO_EVENTS_SERVICE_ACCOUNT": "copal-sensor",
    "METAFLOW_ARGO_EVENTS_WEBHOOK_URL": (
        "http://copal-arrivals-eventsource-svc.copal.svc:12000/copal"
    ),
}
"""The names that infra/kubernetes gives things; the user's own settings win."""

STEP_FUNCTIONS_NEEDS = {
    "METAFLOW_SFN_IAM_ROLE": "the role of the state machine",
    "METAFLOW_EVENTS_SFN_ACCESS_IAM_ROLE": "the role with which EventBridge starts it",
    "METAFLOW_ECS_S3_ACCESS_IAM_ROLE": "the role of the tasks",
    "METAFLOW_BATCH_JOB_QUEUE": "the AWS Batch queue",
    "METAFLOW_SFN_DYNAMO_DB_TABLE": "the DynamoDB table that counts the chunks",
}
"""What Step Functions cannot do without; outputs of infra/aws/copal.yaml carry these names."""


def image_of(registry: Registry) -> str:
    """The image that steps run in unless their feature names another."""
    return registry.deploy.image or f"copal:{__version__}"


def settings(store: str, target: str, image: str, stack: str = "") -> dict[str, str]:
    """Variables for Metaflow's compiler.

    Parameters
    ----------
    stack
        A CloudFormation stack made from ``infra/aws/copal.yaml``, whose outputs fill in what the
        user has not set.

    Raises
    ------
    RequestError
        The store is a folder of this machine, or something is not set; the message says what.
    """
    location = store.rstrip("/")
    if not location.startswith("s3://"):
        raise RequestError(
            f"the store is '{location}', which tasks on other machines cannot reach. "
            "Give --store s3://bucket/prefix, or set $COPAL_STORE."
        )
    found = {
        "METAFLOW_DATASTORE_SYSROOT_S3": f"{location}/metaflow",
        "METAFLOW_USER": os.environ.get("USER") or "copal",
    }
    if target == "argo":
        found |= ARGO_DEFAULTS
        found["METAFLOW_KUBERNETES_CONTAINER_IMAGE"] = image
    else:
        found["METAFLOW_BATCH_CONTAINER_IMAGE"] = image
        found |= outputs(stack) if stack else {}
    own = {**configured(), **_own()}
    found |= {name: value for name, value in own.items() if not name.endswith("CONTAINER_IMAGE")}
    found.setdefault("METAFLOW_DATATOOLS_S3ROOT", found["METAFLOW_DATASTORE_SYSROOT_S3"] + "/data")
    if target == "step-functions":
        _check(found)
    return found


def _check(found: Mapping[str, str]) -> None:
    lacking = [
        f"{name} ({what})" for name, what in STEP_FUNCTIONS_NEEDS.items() if name not in found
    ]
    if "AWS_DEFAULT_REGION" not in os.environ and "AWS_REGION" not in os.environ:
        lacking.append("AWS_DEFAULT_REGION")
    if lacking:
        raise RequestError(
            f"Step Functions needs {', '.join(lacking)}. Make the stack of infra/aws/copal.yaml "
            "and give --stack NAME, or set these variables."
        )


def _own() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("METAFLOW_")}


def metaflow_home() -> Path:
    """Where Metaflow keeps its configuration."""
    return Path(os.environ.get("METAFLOW_HOME", "~/.metaflowconfig")).expanduser()


def configured() -> dict[str, str]:
    """What 'metaflow configure' wrote."""
    profile = os.environ.get("METAFLOW_PROFILE")
    path = metaflow_home() / (f"config_{profile}.json" if profile else "config.json")
    if not path.exists():
        return {}
    try:
        told = json.loads(path.read_text())
        return {name: value for name, value in told.items() if isinstance(value, str)}
    except (ValueError, AttributeError) as exc:
        raise RequestError(f"{path}: not a configuration of Metaflow: {exc}.") from exc


@cache
def outputs(stack: str) -> dict[str, str]:
    """What a stack says of itself: an output that is a setting is described by its name.

    Raises
    ------
    StoreError
        There is no such stack, or no permission to look.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        told = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as exc:
        raise StoreError(f"stack '{stack}': {exc.response['Error']['Message']}.") from exc
    except BotoCoreError as exc:
        raise StoreUnavailable(f"stack '{stack}': {exc}.") from exc
    described = {
        each.get("Description", ""): each["OutputValue"] for each in told.get("Outputs", ())
    }
    return {
        name: value
        for name, value in described.items()
        if name == "COPAL_STORE" or name.startswith("METAFLOW_")
    }


def task_variables(store: str, target: str, workers: int) -> dict[str, str]:
    """Variables that every task starts with."""
    found = {
        "COPAL_STORE": store,
        "COPAL_PROJECT": ".",  # the code package holds the registry and the features
        "COPAL_WORKERS": str(workers),
    }
    passed = ["AWS_ENDPOINT_URL"] + (["AWS_DEFAULT_REGION"] if target == "argo" else [])
    return found | {name: os.environ[name] for name in passed if os.environ.get(name)}
