"""Starting a deployed flow: an event for Argo's webhook, or an execution of a state machine."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime

from copal.errors import DeployFailed, RequestError

PATIENCE_SECONDS = 30.0


def announce(where: str, event: str, plan_id: str = "") -> str:
    """Have the deployed flow run, over a plan that the store holds or over all that is missing.

    Parameters
    ----------
    where
        Address of an Argo Events webhook, or a state machine's ARN.
    event
        Name of the event that the flow was deployed with; a state machine needs none.

    Returns
    -------
    The event's id, or the execution's ARN.

    Raises
    ------
    RequestError
        ``where`` is neither.
    DeployFailed
        Nobody answers there, or it refuses.
    """
    if where.startswith("arn:") and ":states:" in where:
        return _execute(where, plan_id)
    if where.startswith(("http://", "https://")):
        return _publish(where, event, plan_id)
    raise RequestError(
        f"'{where}' is neither a webhook (http://…) nor a state machine (arn:…:states:…)."
    )


def _publish(url: str, event: str, plan_id: str) -> str:
    """POST what the sensor of 'copal deploy argo' waits for."""
    now = datetime.now(UTC)
    payload = {
        "name": event,
        "id": str(uuid.uuid4()),
        "timestamp": int(now.timestamp()),
        "utc_date": f"{now:%Y%m%d}",
    }
    if plan_id:
        payload["plan_id"] = plan_id
    request = urllib.request.Request(
        url,
        data=json.dumps({"name": event, "payload": payload}).encode(),
        headers={"Content-Type": "application/json"},
        method="POST",
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS):
            return str(payload["id"])
    except (urllib.error.URLError, TimeoutError, OSError) as exc:
        reason = getattr(exc, "reason", exc)
        raise DeployFailed(f"{url}: the event '{event}' was not taken: {reason}.") from exc


def _execute(arn: str, plan_id: str) -> str:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    given = json.dumps({"plan_id": plan_id} if plan_id else {})
    try:
        started = boto3.client("stepfunctions").start_execution(
            stateMachineArn=arn, input=json.dumps({"Parameters": given})
        )
    except (BotoCoreError, ClientError) as exc:
        raise DeployFailed(f"{arn}: not started: {exc}.") from exc
    return str(started["executionArn"])
