"""``registry.yaml`` as values: what is declared, with the line it was declared on."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NewType

import yaml

from copal import cron
from copal.document import Document
from copal.errors import RegistryError, RequestError, UnknownFeature, suggestion
from copal.matcher import Rule, Then
from copal.placement import Fleet, Placement

FeatureName = NewType("FeatureName", str)
"""A feature's name: a Python identifier, since it names an argument and a step."""

KINDS = ("video", "audio", "image", "text")
UNITS = ("asset", "pair")
PAIR_SCOPES = ("title", "show", "catalog")
AUTOMATIC, MANUAL = RELEASES = "automatic when complete", "manual"
MAX_BYTES = 1 << 20
STEP_NAMES = frozenset({"start", "end", "join_assets", "plan_pairs", "join_pairs"})
"""Names of the flow's own steps, which no feature may take."""
FLOW_NAMES = frozenset(
    {
        "asset_chunks", "asset_features", "pair_chunks", "pair_features", "plan_id", "registry",
        "run_id", "tallies",
        "cmd", "foreach_stack", "index", "input", "merge_artifacts", "name", "next", "script_name",
    }
)  # fmt: skip
"""What the flow and Metaflow's FlowSpec call things of their own: a step would hide them."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one task of a feature asks of the machine."""

    cpu: int = 1
    gpu: int = 0
    memory_gib: float = 2.0
    disk_gib: float = 0.0
    """Scratch space on a cluster; what the cluster gives everyone when 0."""
    shared_memory_gib: float = 0.0


@dataclass(frozen=True, slots=True)
class Declaration:
    """One feature as its author declared it."""

    name: FeatureName
    compute: str
    """``module.path:ClassName``, importable from the registry's folder."""
    version: int
    summary: str = ""
    of: tuple[str, ...] = ()
    """Kinds of asset that the feature starts from; none when it starts from other features."""
    needs: Mapping[str, FeatureName] = field(default_factory=dict)
    """Argument of ``compute`` → the feature whose value it gets."""
    unit: str = "asset"
    pairs: str = "catalog"
    """Which two assets make a pair: of one ``title``, of one ``show``, or of the ``catalog``."""
    params: Mapping[str, Any] = field(default_factory=dict)
    resources: Resources = Resources()
    retries: int = 0
    timeout_minutes: int = 60
    release: str = AUTOMATIC
    """Whether readers see a new recipe once it is complete, or once a person promotes it."""
    default: bool = True
    """Whether the feature is computed when none is named."""
    errors: tuple[Rule, ...] = ()
    """What becomes of failures; its own rules first, then those of the registry."""
    deploy: Placement = field(default_factory=Placement)
    line: int = 0


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that ``registry.yaml`` declares."""

    project: str
    store: str
    features: Mapping[FeatureName, Declaration]
    schedule: str | None = None
    deploy: Fleet = field(default_factory=Fleet)
    where: str = "registry.yaml"

    def feature(self, name: str) -> Declaration:
        """The declaration of a feature.

        Raises
        ------
        UnknownFeature
            Nobody declared it.
        """
        try:
            return self.features[FeatureName(name)]
        except KeyError:
            raise UnknownFeature(
                f"'{name}' is not declared in {self.where}." + suggestion(name, self.features)
            ) from None


def load(path: Path) -> Registry:
    """Read ``registry.yaml``.

    Raises
    ------
    RegistryError
        The file is missing, too large, no YAML, or declares something that cannot be.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RegistryError(
            f"{path}: no such file. Run 'copal init' to make a feature repository, "
            "or name one with --project."
        ) from None
    except OSError as exc:
        raise RegistryError(f"{path}: cannot be read: {exc.strerror}.") from exc
    if len(data) > MAX_BYTES:
        raise RegistryError(f"{path}: {len(data)} bytes; a registry is at most {MAX_BYTES}.")
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise RegistryError(f"{path}: not UTF-8 (byte {exc.start}).") from exc
    return parse(text, where=path.name)


def parse(text: str, where: str = "registry.yaml") -> Registry:
    """Registry from YAML text; each mistake is one ``RegistryError`` with file and line."""
    return _Reader(where).registry(text)


class _Reader:
    """Walks YAML nodes, so that every complaint knows its line."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.doc = Document(where)

    def registry(self, text: str) -> Registry:
        root = self.doc.root(text)
        if root is None:
            raise RegistryError(f"{self.where}: empty. It needs 'project' and 'features'.")
        known = {"project", "store", "schedule", "features", "errors", "deploy", "release"}
        top = self.doc.mapping(root, "the registry", known)
        if "project" not in top:
            raise self.doc.fail(root, "no 'project'. Give it a short name: project: heist")
        project = self.doc.text(top["project"], "project")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", project):
            raise self.doc.fail(
                top["project"],
                f"project '{project}' is not a name: use a-z, 0-9 and _, a letter first.",
            )
        if "features" not in top:
            raise self.doc.fail(root, "no 'features'.")
        rules = self.rules(top.get("errors"), "errors")
        release = self.doc.choice(top, "release", RELEASES, AUTOMATIC, project) or AUTOMATIC
        features = {
            FeatureName(name): self.declaration(name, node, line, rules, release)
            for name, (node, line) in self.doc.entries(top["features"], "features").items()
        }
        for declaration in features.values():
            self.check_needs(declaration, features)
        return Registry(
            project=project,
            store=self.doc.text(top["store"], "store") if "store" in top else ".copal",
            features=MappingProxyType(features),
            schedule=self.cron(top["schedule"]) if "schedule" in top else None,
            deploy=self.fleet(top["deploy"]) if "deploy" in top else Fleet(),
            where=self.where,
        )

    def declaration(
        self, name: str, node: yaml.Node, line: int, rules: tuple[Rule, ...], release: str
    ) -> Declaration:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise self.doc.fail(
                line, f"'{name}' cannot name a feature: use a-z, 0-9 and _, a letter first."
            )
        if name in STEP_NAMES or name in FLOW_NAMES or keyword.iskeyword(name):
            raise self.doc.fail(
                line, f"'{name}' cannot name a feature: Python or the flow uses this name itself."
            )
        known = {
            "summary", "version", "compute", "of", "needs", "unit", "pairs", "params",
            "resources", "retries", "timeout_minutes", "default", "errors", "deploy",
            "release",
        }  # fmt: skip
        keys = self.doc.mapping(node, f"'{name}'", known)
        for must in ("version", "compute"):
            if must not in keys:
                raise self.doc.fail(line, f"'{name}' has no '{must}'.")
        compute = self.doc.text(keys["compute"], "compute")
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", compute):
            raise self.doc.fail(
                keys["compute"], f"'{name}': compute '{compute}' is not 'module.path:ClassName'."
            )
        unit = self.doc.choice(keys, "unit", UNITS, "asset", name)
        scope = "catalog"
        if "pairs" in keys:
            if unit != "pair":
                raise self.doc.fail(
                    keys["pairs"], f"'{name}' has 'pairs' but its unit is an asset."
                )
            inner = self.doc.mapping(keys["pairs"], f"pairs of '{name}'", {"within"})
            scope = self.doc.choice(inner, "within", PAIR_SCOPES, "catalog", name) or scope
        of = self.kinds(keys["of"], name) if "of" in keys else ()
        needs = {}
        if "needs" in keys:
            for argument, (need, _) in self.doc.entries(
                keys["needs"], f"needs of '{name}'"
            ).items():
                needs[argument] = FeatureName(self.doc.text(need, argument))
        if not of and not needs:
            raise self.doc.fail(line, f"'{name}' starts from nothing: give it 'of' or 'needs'.")
        if unit == "pair" and of:
            raise self.doc.fail(keys["of"], f"'{name}' covers pairs, which start from 'needs'.")
        return Declaration(
            name=FeatureName(name),
            compute=compute,
            version=self.doc.whole(keys["version"], f"version of '{name}'", least=1),
            summary=self.doc.text(keys["summary"], "summary") if "summary" in keys else "",
            of=of,
            needs=MappingProxyType(needs),
            unit=unit or "asset",
            pairs=scope,
            params=MappingProxyType(self.params(keys.get("params"), name)),
            resources=self.resources(keys.get("resources"), name),
            retries=self.doc.whole(keys["retries"], "retries") if "retries" in keys else 0,
            timeout_minutes=(
                self.doc.whole(keys["timeout_minutes"], "timeout_minutes", least=1)
                if "timeout_minutes" in keys
                else 60
            ),
            release=self.doc.choice(keys, "release", RELEASES, release, name) or release,
            default=self.doc.flag(keys["default"], "default") if "default" in keys else True,
            errors=(*self.rules(keys.get("errors"), f"errors of '{name}'"), *rules),
            deploy=self.placement(keys["deploy"], name) if "deploy" in keys else Placement(),
            line=line,
        )

    def rules(self, node: yaml.Node | None, what: str) -> tuple[Rule, ...]:
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            raise self.doc.fail(
                node, f"{what} must be a list of rules, each '- {{class: …, then: …}}'."
            )
        return tuple(self.rule(each, what) for each in node.value)

    def rule(self, node: yaml.Node, what: str) -> Rule:
        keys = self.doc.mapping(node, f"a rule of {what}", {"class", "message", "then"})
        if "then" not in keys:
            raise self.doc.fail(node, f"a rule of {what} has no 'then': {', '.join(Then)}.")
        then = self.doc.text(keys["then"], "then")
        if then not in list(Then):
            raise self.doc.fail(
                keys["then"], f"{what}: then '{then}' is none of {', '.join(Then)}."
            )
        given = {key: self.doc.text(keys[key], key) for key in ("class", "message") if key in keys}
        try:
            return Rule(Then(then), given.get("class", ""), given.get("message", ""))
        except re.error as exc:
            raise self.doc.fail(
                keys["message"], f"{what}: message '{given['message']}' is no pattern: {exc}."
            ) from exc
        except ValueError as exc:
            raise self.doc.fail(node, f"{what}: {exc}.") from exc

    def check_needs(
        self, declaration: Declaration, features: Mapping[FeatureName, Declaration]
    ) -> None:
        for argument, need in declaration.needs.items():
            if need not in features:
                raise UnknownFeature(
                    f"{self.where}:{declaration.line}: '{declaration.name}' needs '{need}', "
                    "which is not declared." + suggestion(need, features)
                )
            if declaration.unit == "asset" and features[need].unit == "pair":
                raise self.doc.fail(
                    declaration.line,
                    f"'{declaration.name}' covers one asset but needs '{need}' ('{argument}'), "
                    "which covers pairs.",
                )

    def cron(self, node: yaml.Node) -> str:
        line = self.doc.text(node, "schedule")
        fields = line.split()
        if len(fields) not in (5, 6) or not all(re.fullmatch(r"[\dA-Z*?/,#-]+", f) for f in fields):
            raise self.doc.fail(
                node, f"schedule '{line}' is no cron line: five fields, or six with the year, "
                'such as "0 3 * * ? *".',
            )  # fmt: skip
        try:
            cron.parse(line)
        except RequestError as exc:
            raise self.doc.fail(node, str(exc)) from exc
        return line

    def kinds(self, node: yaml.Node, name: str) -> tuple[str, ...]:
        given = self.doc.plain(node)
        listed = given if isinstance(given, list) else [given]
        for each in listed:
            if each not in KINDS:
                known = ", ".join(KINDS)
                raise self.doc.fail(node, f"'{name}': of '{each}' is none of {known}.")
        return tuple(listed)

    def resources(self, node: yaml.Node | None, name: str) -> Resources:
        if node is None:
            return Resources()
        sizes = ("memory_gib", "disk_gib", "shared_memory_gib")
        keys = self.doc.mapping(node, f"resources of '{name}'", {"cpu", "gpu", *sizes})
        return Resources(
            cpu=self.doc.whole(keys["cpu"], "cpu", least=1) if "cpu" in keys else 1,
            gpu=self.doc.whole(keys["gpu"], "gpu") if "gpu" in keys else 0,
            **{size: self.gib(keys[size], size) for size in sizes if size in keys},
        )

    def gib(self, node: yaml.Node, what: str) -> float:
        given = self.doc.plain(node)
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 1e6:
            raise self.doc.fail(node, f"{what} '{given}' is not a size in GiB.")
        return float(given)

    def fleet(self, node: yaml.Node) -> Fleet:
        keys = self.doc.mapping(node, "deploy", {"image", "event", "max_workers"})
        event = self.doc.text(keys["event"], "event") if "event" in keys else ""
        if event and not re.fullmatch(r"[A-Za-z0-9_.-]+", event):
            raise self.doc.fail(
                keys["event"], f"event '{event}' is no name: use letters, digits, _, . and -."
            )
        workers = Fleet().max_workers
        if "max_workers" in keys:
            workers = self.doc.whole(keys["max_workers"], "max_workers", least=1)
        return Fleet(
            image=self.doc.text(keys["image"], "image") if "image" in keys else "",
            event=event,
            max_workers=workers,
        )

    def placement(self, node: yaml.Node, name: str) -> Placement:
        what = f"deploy of '{name}'"
        keys = self.doc.mapping(node, what, {"image", "node_selector", "tolerations", "queue"})
        labels: dict[str, str] = {}
        if "node_selector" in keys:
            for label, (value, _) in self.doc.entries(
                keys["node_selector"], f"node_selector of '{name}'"
            ).items():
                labels[label] = self.doc.text(value, label)
        tolerations = []
        if "tolerations" in keys:
            if not isinstance(keys["tolerations"], yaml.SequenceNode):
                raise self.doc.fail(
                    keys["tolerations"], f"tolerations of '{name}' must be a list of mappings."
                )
            known = {"key", "operator", "value", "effect", "tolerationSeconds"}
            for each in keys["tolerations"].value:
                self.doc.mapping(each, f"a toleration of '{name}'", known)
                tolerations.append(MappingProxyType(self.doc.plain(each)))
        return Placement(
            image=self.doc.text(keys["image"], "image") if "image" in keys else "",
            node_selector=MappingProxyType(labels),
            tolerations=tuple(tolerations),
            queue=self.doc.text(keys["queue"], "queue") if "queue" in keys else "",
        )

    def params(self, node: yaml.Node | None, name: str) -> dict[str, Any]:
        if node is None:
            return {}
        found = {}
        for key, (value, _) in self.doc.entries(node, f"params of '{name}'").items():
            found[key] = self.doc.plain(value)
            try:
                json.dumps(found[key], allow_nan=False)
            except (TypeError, ValueError, RecursionError):
                raise self.doc.fail(
                    value,
                    f"param '{key}' of '{name}' has no place in a recipe: use text, finite "
                    "numbers, true, false, lists and mappings.",
                ) from None
        return found
