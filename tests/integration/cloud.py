"""AWS as moto has it, as a server in a process of its own, with the stack of infra/aws in it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
TEMPLATE = ROOT / "infra" / "aws" / "copal.yaml"
PATIENCE_SECONDS = 60
STACK = "copal"


def template_for_moto() -> str:
    """The template, but for two things that AWS does and moto does not.

    AWS has a role for Batch when none is named, and takes a list of instance types from a
    parameter.
    """
    text = TEMPLATE.read_text()
    changes = {
        "      ReplaceComputeEnvironment: false\n": "      ServiceRole: !GetAtt InstanceRole.Arn\n",
        "InstanceTypes: !Ref InstanceTypes": "InstanceTypes: [c5.2xlarge]",
        "InstanceTypes: !Ref GpuInstanceTypes": "InstanceTypes: [g5.xlarge]",
    }
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    return text


@dataclass(frozen=True)
class Cloud:
    """A server that answers as AWS does."""

    address: str

    @property
    def variables(self) -> dict[str, str]:
        """Variables that lead a process to it."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def client(self, service: str) -> Any:
        """A client of one of its services."""
        import boto3

        return boto3.client(
            service,  # type: ignore[call-overload]  # any service
            endpoint_url=self.address,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            region_name="us-east-1",
        )

    def make_stack(self) -> dict[str, str]:
        """Make the stack; output → value."""
        formation = self.client("cloudformation")
        formation.create_stack(
            StackName=STACK, TemplateBody=template_for_moto(), Capabilities=["CAPABILITY_IAM"]
        )
        (stack,) = formation.describe_stacks(StackName=STACK)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


@contextlib.contextmanager
def cloud() -> Iterator[Cloud]:
    """A cloud of one's own; nothing in it outlives the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        env=kept,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        made = Cloud(f"http://127.0.0.1:{port}")
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(
                    f"{made.address}/moto-api/data.json", timeout=5
                ) as said:
                    json.load(said)
                break
            assert time.monotonic() < until, "moto's server did not start"
            time.sleep(0.1)
        yield made
    finally:
        process.kill()
        process.wait()
