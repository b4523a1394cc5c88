"""A server on this machine that answers a deployment as an empty cluster would, and notes it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EMPTY_LIST = b'<?xml version="1.0"?><ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>'
ACCOUNT = "000000000000"


@dataclass(slots=True)
class Record:
    """What was sent."""

    address: str
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """What was asked for, and with what: ``CreateStateMachine``, or a Kubernetes kind."""
    objects: list[str] = field(default_factory=list)
    """``bucket/key`` of each object that would have been uploaded."""
    unknown: list[str] = field(default_factory=list)
    """Requests that nobody foresaw; each was refused."""

    def bodies(self, name: str) -> list[dict[str, Any]]:
        """What was sent with the calls of one name."""
        return [body for called, body in self.calls if called == name]


@contextmanager
def recorder() -> Iterator[Record]:
    """Serve S3, Batch, Step Functions, EventBridge and Kubernetes, all empty, on the loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    record = Record(f"http://127.0.0.1:{server.server_address[1]}")
    server.record = record  # type: ignore[attr-defined]  # the one way to hand something to a handler
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def record(self) -> Record:
        found: Record = self.server.record  # type: ignore[attr-defined]  # see recorder()
        return found

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def reply(self, status: int, body: Any = b"", kind: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("ETag", '"d41d8cd98f00b204e9800998ecf8427e"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def sent(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def refuse(self) -> None:
        target = self.headers.get("X-Amz-Target", "")
        self.record.unknown.append(f"{self.command} {self.path} {target}".rstrip())
        self.reply(501, {"message": "nobody foresaw this request"})

    def do_HEAD(self) -> None:  # the name that http.server calls
        """No object is there; every bucket is."""
        self.reply(404 if "/" in self.path.strip("/") else 200)

    def do_GET(self) -> None:
        """Nothing is there."""
        if self.path.startswith("/apis/argoproj.io/"):
            self.reply(404, {"message": "not found", "reason": "NotFound", "code": 404})
        elif "list-type=" in self.path:
            self.reply(200, EMPTY_LIST, "application/xml")
        else:
            self.refuse()

    def do_PUT(self) -> None:
        """Take an object."""
        self.sent()
        self.record.objects.append(self.path.partition("?")[0].strip("/"))
        self.reply(200)

    def do_POST(self) -> None:
        """Take what is to be deployed."""
        data = self.sent()
        body = json.loads(data) if data else {}
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if self.path.startswith("/apis/argoproj.io/"):
            self.record.calls.append((body["kind"], body))
            self.reply(201, body)
            return
        if self.path.startswith("/v1/"):
            operation = self.path.removeprefix("/v1/")
        answer = _ANSWERS.get(operation)
        if answer is None:
            self.refuse()
            return
        self.record.calls.append((operation, body))
        self.reply(200, answer(body))


def _job_definition(body: dict[str, Any]) -> dict[str, Any]:
    name = body["jobDefinitionName"]
    arn = f"arn:aws:batch:us-east-1:{ACCOUNT}:job-definition/{name}:1"
    return {"jobDefinitionName": name, "jobDefinitionArn": arn, "revision": 1}


_ENVIRONMENT = f"arn:aws:batch:us-east-1:{ACCOUNT}:compute-environment/ec2"

_ANSWERS: dict[str, Any] = {
    "ListStateMachines": lambda _: {"stateMachines": []},
    "CreateStateMachine": lambda body: {
        "stateMachineArn": f"arn:aws:states:us-east-1:{ACCOUNT}:stateMachine:{body['name']}",
        "creationDate": 0,
    },
    "DisableRule": lambda _: {},
    "PutRule": lambda body: {"RuleArn": f"arn:aws:events:us-east-1:{ACCOUNT}:rule/{body['Name']}"},
    "PutTargets": lambda _: {"FailedEntryCount": 0, "FailedEntries": []},
    "describejobqueues": lambda body: {
        "jobQueues": [
            {
                "jobQueueName": body["jobQueues"][0],
                "computeEnvironmentOrder": [{"order": 1, "computeEnvironment": _ENVIRONMENT}],
            }
        ]
    },
    "describecomputeenvironments": lambda _: {
        "computeEnvironments": [
            {"computeEnvironmentName": "ec2", "computeResources": {"type": "EC2"}}
        ]
    },
    "describejobdefinitions": lambda _: {"jobDefinitions": []},
    "registerjobdefinition": _job_definition,
}
