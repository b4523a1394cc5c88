"""What infra/ holds for AWS and for Kubernetes, checked as far as it can be without either."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
import yaml

from copal.errors import DeployFailed, RequestError
from copal.flow.announce import announce
from tests.integration.cloud import TEMPLATE, Cloud, cloud
from tests.integration.repository import Repository, until

ROOT = Path(__file__).parent.parent.parent
KUBERNETES = ROOT / "infra" / "kubernetes"


class Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms, as lists of their name and what they were given."""


def _short(loader: Loader, tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return [tag, loader.construct_scalar(node)]
    if isinstance(node, yaml.SequenceNode):
        return [tag, loader.construct_sequence(node, deep=True)]
    assert isinstance(node, yaml.MappingNode)
    return [tag, loader.construct_mapping(node, deep=True)]


Loader.add_multi_constructor("!", _short)


def resources() -> dict[str, Any]:
    return dict(yaml.load(TEMPLATE.read_text(), Loader)["Resources"])


# AWS


def test_the_template_is_clean() -> None:
    """
    cfn-lint has nothing to say of the CloudFormation template.
    """
    from cfnlint.api import lint_file

    assert lint_file(TEMPLATE) == []


def test_roles_may_do_no_more_than_they_must() -> None:
    """
    No statement allows every action of a service, and only what AWS knows no resource of is
    allowed on all of them; tasks cannot write media, nor reach the queue.
    """
    everything = resources()
    allowed: dict[str, list[tuple[Any, Any]]] = {}
    for name, resource in everything.items():
        documents = [p["PolicyDocument"] for p in resource["Properties"].get("Policies", [])]
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            documents.append(resource["Properties"]["PolicyDocument"])
        for statement in (each for document in documents for each in document["Statement"]):
            actions = statement["Action"]
            for action in actions if isinstance(actions, list) else [actions]:
                allowed.setdefault(name, []).append((action, statement["Resource"]))
    assert set(allowed) == {
        "TaskRole", "UseOfStore", "UseOfMedia", "UseOfArrivals", "StateMachineRole", "ScheduleRole",
    }  # fmt: skip
    flat = [each for found in allowed.values() for each in found]
    assert not [action for action, _ in flat if "*" in action]
    anywhere = {action for action, resource in flat if resource == "*"}
    assert anywhere == {"batch:DescribeJobs", "batch:TerminateJob", "batch:TagResource"}
    assert {action for action, _ in allowed["UseOfMedia"]} == {
        "s3:ListBucket", "s3:GetBucketLocation", "s3:GetObject",
    }  # fmt: skip
    task = everything["TaskRole"]["Properties"]["ManagedPolicyArns"]
    assert task == [["Ref", "UseOfStore"], ["Ref", "UseOfMedia"]]


def test_workers_have_no_way_to_the_internet() -> None:
    """
    The network of the workers has no gateway but those to S3 and DynamoDB, and S3's lets through
    the two buckets and the layers of images; nothing in it has a public address.
    """
    kinds = [each["Type"] for each in resources().values()]
    assert not {"AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route"} & {*kinds}
    endpoint = resources()["S3Endpoint"]["Properties"]["PolicyDocument"]["Statement"]
    assert [each["Sid"] for each in endpoint] == ["MediaAndStore", "LayersOfImages"]
    for subnet in ("SubnetA", "SubnetB"):
        assert "MapPublicIpOnLaunch" not in resources()[subnet]["Properties"]
    buckets = [each for each in resources().values() if each["Type"] == "AWS::S3::Bucket"]
    for bucket in buckets:
        assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
        assert bucket["DeletionPolicy"] == "Retain"


@pytest.fixture
def aws() -> Iterator[Cloud]:
    with cloud() as made:
        yield made


def test_the_stack_brings_an_arrival_to_the_queue(aws: Cloud) -> None:
    """
    Made in moto: the queue with its dead letters, the buckets, Batch's queue, the roles. An object
    that is put into the bucket, which notifies as the template says, is a message in the queue.
    """
    outputs = aws.make_stack()
    sqs, s3 = aws.client("sqs"), aws.client("s3")
    queue = sqs.get_queue_url(QueueName="copal-arrivals")["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
    redrive = json.loads(told["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(":copal-arrivals-dead")
    assert int(redrive["maxReceiveCount"]) == 5
    jobs = aws.client("batch").describe_job_queues()["jobQueues"]
    assert [job["jobQueueArn"] for job in jobs] == [outputs["JobQueue"]]

    # moto's CloudFormation leaves a bucket's notifications out, so they are set as S3 has them
    declared = resources()["Media"]["Properties"]["NotificationConfiguration"]
    kinds = [each["Event"] for each in declared["QueueConfigurations"]]
    assert kinds == ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
    s3.put_bucket_notification_configuration(
        Bucket=outputs["MediaBucket"],
        NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": told["QueueArn"], "Events": kinds}]
        },
    )
    s3.put_object(Bucket=outputs["MediaBucket"], Key="in/a film.mp4", Body=b"film")
    keys = []
    for _ in range(3):
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in found.get("Messages", []):
            records = json.loads(message["Body"]).get("Records", [])
            keys += [record["s3"]["object"]["key"] for record in records]
    assert [unquote_plus(key) for key in keys] == ["in/a film.mp4"]


# Kubernetes


def manifests() -> list[dict[str, Any]]:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in KUBERNETES.glob("*.yaml")} == {*listed, "kustomization.yaml"}
    return [i for name in listed for i in yaml.safe_load_all((KUBERNETES / name).read_text())]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {item["metadata"]["name"]: item for item in manifests() if item["kind"] == kind}


def test_manifests_are_objects_that_kubernetes_knows() -> None:
    """
    Each manifest of Kubernetes' own kinds has only fields that the kind has, at every depth.
    """
    from kubernetes import client

    models = {
        "Namespace": "V1Namespace", "ServiceAccount": "V1ServiceAccount", "Role": "V1Role",
        "RoleBinding": "V1RoleBinding", "Deployment": "V1Deployment",
        "NetworkPolicy": "V1NetworkPolicy",
    }  # fmt: skip
    seen = set()
    for item in manifests():
        if item["apiVersion"].startswith("argoproj.io/"):
            assert item["kind"] in {"EventBus", "EventSource"}
            continue
        seen.add(item["kind"])
        _check(item, models[item["kind"]], client, item["kind"])
    assert seen == set(models)


def _check(value: Any, kind: str, models: Any, where: str) -> None:
    """Every name in a value is one of its model's, and what is within is of the model's kind."""
    if kind.startswith("list["):
        assert isinstance(value, list), where
        for index, each in enumerate(value):
            _check(each, kind[5:-1], models, f"{where}[{index}]")
    elif kind.startswith("dict("):
        assert isinstance(value, dict), where
    elif hasattr(models, kind):
        model = getattr(models, kind)
        names = {told: name for name, told in model.attribute_map.items()}
        for told, inner in value.items():
            assert told in names, f"{where} has no '{told}'"
            _check(inner, model.openapi_types[names[told]], models, f"{where}.{told}")
        model(**{names[told]: inner for told, inner in value.items()})  # what it must have


def test_every_account_and_setting_that_is_named_is_there() -> None:
    """
    Bindings, the watcher's account and its settings refer to what the manifests make.
    """
    accounts, roles = of_kind("ServiceAccount"), of_kind("Role")
    for binding in of_kind("RoleBinding").values():
        assert binding["roleRef"]["name"] in roles
        assert {subject["name"] for subject in binding["subjects"]} <= set(accounts)
    (watcher,) = of_kind("Deployment").values()
    pod = watcher["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] in accounts
    lines = (KUBERNETES / "store.env").read_text().split()
    made = dict(line.partition("=")[::2] for line in lines)
    assert {"COPAL_STORE", "COPAL_ARRIVALS", "COPAL_ALLOW", "COPAL_ANNOUNCE"} <= set(made)
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "copal-store"}}]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert all("*" not in rule["verbs"] for role in roles.values() for rule in role["rules"])


def test_the_watcher_is_started_as_the_command_line_takes_it() -> None:
    """
    The container's arguments are a command that 'copal' knows, with options that it has.
    """
    from copal.cli.watching import watch

    (watcher,) = of_kind("Deployment").values()
    (container,) = watcher["spec"]["template"]["spec"]["containers"]
    program, verb, *arguments = container["args"]
    assert (program, verb) == ("copal", "watch")
    context = watch.make_context("watch", list(arguments))
    assert context.params["places"] == ("$(COPAL_ARRIVALS)",)
    assert context.params["metrics_port"] == 9400


def test_tasks_reach_names_the_store_and_what_reports_them() -> None:
    """
    All traffic is denied; a task may ask for names, open port 443 outside the cluster and its
    machines' metadata, and report to Kubernetes. Nobody may open a connection to a task.
    """
    policies = of_kind("NetworkPolicy")
    nothing = policies["nothing"]["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    task = {"app.kubernetes.io/part-of": "metaflow", "app.kubernetes.io/name": "metaflow-task"}
    mine = {name for name, each in policies.items() if _selects(each["spec"]["podSelector"], task)}
    assert mine == {"nothing", "names", "store", "reports"}
    ports = {
        (port["protocol"], port["port"])
        for name in mine
        for rule in policies[name]["spec"].get("egress", [])
        for port in rule["ports"]
    }
    assert ports == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 6443)}
    (store,) = policies["store"]["spec"]["egress"]
    assert "169.254.0.0/16" in store["to"][0]["ipBlock"]["except"]
    assert not [name for name in mine if policies[name]["spec"].get("ingress")]


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    exact = selector.get("matchLabels", {}).items() <= labels.items()
    among = all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", [])
    )
    return exact and among


# Starting what is deployed


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that takes events, and what it was sent."""
    taken: list[dict[str, Any]] = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/copal", taken
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_announcement_is_what_the_sensor_waits_for(
    webhook: tuple[str, list[dict[str, Any]]],
) -> None:
    """
    The event's name is where the sensor's filter looks, and a plan's id where it takes one from.
    """
    address, taken = webhook
    event_id = announce(address, "copal-arrivals")
    announce(address, "copal-arrivals", "20260101T000000-abcdef")
    assert [each["payload"]["name"] for each in taken] == ["copal-arrivals"] * 2
    assert taken[0]["payload"]["id"] == event_id
    assert "plan_id" not in taken[0]["payload"]
    assert taken[1]["payload"]["plan_id"] == "20260101T000000-abcdef"


def test_a_flow_that_cannot_be_started_is_told() -> None:
    """
    A webhook that does not answer, and an address that is none.
    """
    with pytest.raises(DeployFailed, match="the event 'e' was not taken: "):
        announce("http://127.0.0.1:9/copal", "e")
    with pytest.raises(RequestError, match="neither a webhook"):
        announce("ftp://somewhere", "e")


def test_a_state_machine_is_executed(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An ARN is executed with the plan's id among its parameters; one that is not there is told.
    """
    for name, value in aws.variables.items():
        monkeypatch.setenv(name, value)
    role = "arn:aws:iam::123456789012:role/machine"
    definition = json.dumps({"StartAt": "a", "States": {"a": {"Type": "Succeed"}}})
    functions = aws.client("stepfunctions")
    arn = functions.create_state_machine(name="m", definition=definition, roleArn=role)[
        "stateMachineArn"
    ]
    started = announce(arn, "", "plan")
    held = functions.describe_execution(executionArn=started)
    assert json.loads(held["input"]) == {"Parameters": json.dumps({"plan_id": "plan"})}
    with pytest.raises(DeployFailed, match="not started"):
        announce(f"{arn}x", "")


def test_a_watcher_has_the_deployed_flow_start(
    webhook: tuple[str, list[dict[str, Any]]], repository: Repository, films: Path, tmp_path: Path
) -> None:
    """
    With --announce, what lands is brought in and one event is sent; nothing is computed here.
    """
    address, taken = webhook
    head, mark, rest = (repository.root / "registry.yaml").read_text().partition("features:\n")
    (repository.root / "registry.yaml").write_text(
        f"{head}deploy: {{event: quick-arrivals}}\n{mark}{rest}"
    )
    landing = tmp_path / "landing"
    landing.mkdir()
    watcher = repository.start("watch", landing, "--announce", address)
    try:
        before = until(lambda: list(taken), "the first announcement", watcher)  # what was missed
        shutil.copy(films / "calm.mp4", landing)
        until(lambda: taken[len(before) :], "an announcement", watcher)
    finally:
        watcher.terminate()
        watcher.communicate(timeout=60)
    assert {each["payload"]["name"] for each in taken} == {"quick-arrivals"}
    counts = {name: todo for name, (todo, _) in repository.plan().items()}
    assert counts["levels"] == 1
