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

from copal.errors import RegistryError, UnknownFeature, suggestion

FeatureName = NewType("FeatureName", str)
"""A feature's name: a Python identifier, since it names an argument and a step."""

KINDS = ("video", "audio", "image", "text")
UNITS = ("asset", "pair")
PAIR_SCOPES = ("title", "show", "catalog")
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
    default: bool = True
    """Whether the feature is computed when none is named."""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything that ``registry.yaml`` declares."""

    project: str
    store: str
    features: Mapping[FeatureName, Declaration]
    schedule: str | None = None
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

    def fail(self, node: yaml.Node | int, message: str) -> RegistryError:
        line = node if isinstance(node, int) else node.start_mark.line + 1
        return RegistryError(f"{self.where}:{line}: {message}")

    def registry(self, text: str) -> Registry:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 1
            raise RegistryError(f"{self.where}:{line}: not YAML: {exc.problem}.") from exc
        except (yaml.YAMLError, RecursionError) as exc:
            raise RegistryError(f"{self.where}: not YAML: {exc}.") from exc
        if root is None:
            raise RegistryError(f"{self.where}: empty. It needs 'project' and 'features'.")
        known = {"project", "store", "schedule", "features"}
        top = self.mapping(root, "the registry", known)
        if "project" not in top:
            raise self.fail(root, "no 'project'. Give it a short name: project: heist")
        project = self.text(top["project"], "project")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", project):
            raise self.fail(
                top["project"],
                f"project '{project}' is not a name: use a-z, 0-9 and _, a letter first.",
            )
        if "features" not in top:
            raise self.fail(root, "no 'features'.")
        features = {
            FeatureName(name): self.declaration(name, node, line)
            for name, (node, line) in self.entries(top["features"], "features").items()
        }
        for declaration in features.values():
            self.check_needs(declaration, features)
        return Registry(
            project=project,
            store=self.text(top["store"], "store") if "store" in top else ".copal",
            features=MappingProxyType(features),
            schedule=self.cron(top["schedule"]) if "schedule" in top else None,
            where=self.where,
        )

    def declaration(self, name: str, node: yaml.Node, line: int) -> Declaration:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise self.fail(
                line, f"'{name}' cannot name a feature: use a-z, 0-9 and _, a letter first."
            )
        if name in STEP_NAMES or name in FLOW_NAMES or keyword.iskeyword(name):
            raise self.fail(
                line, f"'{name}' cannot name a feature: Python or the flow uses this name itself."
            )
        known = {
            "summary", "version", "compute", "of", "needs", "unit", "pairs", "params",
            "resources", "retries", "timeout_minutes", "default",
        }  # fmt: skip
        keys = self.mapping(node, f"'{name}'", known)
        for must in ("version", "compute"):
            if must not in keys:
                raise self.fail(line, f"'{name}' has no '{must}'.")
        compute = self.text(keys["compute"], "compute")
        if not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", compute):
            raise self.fail(
                keys["compute"], f"'{name}': compute '{compute}' is not 'module.path:ClassName'."
            )
        unit = self.choice(keys, "unit", UNITS, "asset", name)
        scope = "catalog"
        if "pairs" in keys:
            if unit != "pair":
                raise self.fail(keys["pairs"], f"'{name}' has 'pairs' but its unit is an asset.")
            inner = self.mapping(keys["pairs"], f"pairs of '{name}'", {"within"})
            scope = self.choice(inner, "within", PAIR_SCOPES, "catalog", name) or scope
        of = self.kinds(keys["of"], name) if "of" in keys else ()
        needs = {}
        if "needs" in keys:
            for argument, (need, _) in self.entries(keys["needs"], f"needs of '{name}'").items():
                needs[argument] = FeatureName(self.text(need, argument))
        if not of and not needs:
            raise self.fail(line, f"'{name}' starts from nothing: give it 'of' or 'needs'.")
        if unit == "pair" and of:
            raise self.fail(keys["of"], f"'{name}' covers pairs, which start from 'needs'.")
        return Declaration(
            name=FeatureName(name),
            compute=compute,
            version=self.whole(keys["version"], f"version of '{name}'", least=1),
            summary=self.text(keys["summary"], "summary") if "summary" in keys else "",
            of=of,
            needs=MappingProxyType(needs),
            unit=unit or "asset",
            pairs=scope,
            params=MappingProxyType(self.params(keys.get("params"), name)),
            resources=self.resources(keys.get("resources"), name),
            retries=self.whole(keys["retries"], "retries") if "retries" in keys else 0,
            timeout_minutes=(
                self.whole(keys["timeout_minutes"], "timeout_minutes", least=1)
                if "timeout_minutes" in keys
                else 60
            ),
            default=self.flag(keys["default"], "default") if "default" in keys else True,
            line=line,
        )

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
                raise self.fail(
                    declaration.line,
                    f"'{declaration.name}' covers one asset but needs '{need}' ('{argument}'), "
                    "which covers pairs.",
                )

    def cron(self, node: yaml.Node) -> str:
        line = self.text(node, "schedule")
        fields = line.split()
        if len(fields) not in (5, 6) or not all(re.fullmatch(r"[\dA-Z*?/,#-]+", f) for f in fields):
            raise self.fail(
                node, f"schedule '{line}' is no cron line: five fields, or six with the year, "
                'such as "0 3 * * ? *".',
            )  # fmt: skip
        return line

    def kinds(self, node: yaml.Node, name: str) -> tuple[str, ...]:
        given = self.plain(node)
        listed = given if isinstance(given, list) else [given]
        for each in listed:
            if each not in KINDS:
                known = ", ".join(KINDS)
                raise self.fail(node, f"'{name}': of '{each}' is none of {known}.")
        return tuple(listed)

    def resources(self, node: yaml.Node | None, name: str) -> Resources:
        if node is None:
            return Resources()
        keys = self.mapping(node, f"resources of '{name}'", {"cpu", "gpu", "memory_gib"})
        memory = Resources().memory_gib
        if "memory_gib" in keys:
            given = self.plain(keys["memory_gib"])
            if isinstance(given, bool) or not isinstance(given, int | float) or given <= 0:
                raise self.fail(keys["memory_gib"], f"memory_gib '{given}' is not a size in GiB.")
            memory = float(given)
        return Resources(
            cpu=self.whole(keys["cpu"], "cpu", least=1) if "cpu" in keys else 1,
            gpu=self.whole(keys["gpu"], "gpu") if "gpu" in keys else 0,
            memory_gib=memory,
        )

    def params(self, node: yaml.Node | None, name: str) -> dict[str, Any]:
        if node is None:
            return {}
        found = {}
        for key, (value, _) in self.entries(node, f"params of '{name}'").items():
            found[key] = self.plain(value)
            try:
                json.dumps(found[key], allow_nan=False)
            except (TypeError, ValueError, RecursionError):
                raise self.fail(
                    value,
                    f"param '{key}' of '{name}' has no place in a recipe: use text, finite "
                    "numbers, true, false, lists and mappings.",
                ) from None
        return found

    def entries(self, node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, int]]:
        if not isinstance(node, yaml.MappingNode):
            raise self.fail(node, f"{what} must be a mapping of names to values.")
        found: dict[str, tuple[yaml.Node, int]] = {}
        for key, value in node.value:
            word = self.text(key, f"a key of {what}")
            if word in found:
                raise self.fail(key, f"{what} has '{word}' twice.")
            found[word] = (value, key.start_mark.line + 1)
        return found

    def mapping(self, node: yaml.Node, what: str, known: set[str]) -> dict[str, yaml.Node]:
        keys = self.entries(node, what)
        for key, (_, line) in keys.items():
            if key not in known:
                raise self.fail(
                    line, f"{what} has an unknown key '{key}'." + suggestion(key, known)
                )
        return {key: value for key, (value, _) in keys.items()}

    def choice(
        self,
        keys: Mapping[str, yaml.Node],
        key: str,
        known: tuple[str, ...],
        otherwise: str | None,
        name: str,
    ) -> str | None:
        if key not in keys:
            return otherwise
        word = self.text(keys[key], key)
        if word not in known:
            choices = ", ".join(known)
            raise self.fail(keys[key], f"'{name}': {key} '{word}' is none of {choices}.")
        return word

    def text(self, node: yaml.Node, what: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            raise self.fail(node, f"{what} must be a word or a line of text.")
        return str(node.value)

    def whole(self, node: yaml.Node, what: str, least: int = 0) -> int:
        value = self.plain(node)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.fail(node, f"{what} must be a whole number, {least} or more; got '{value}'.")
        return value

    def flag(self, node: yaml.Node, what: str) -> bool:
        value = self.plain(node)
        if not isinstance(value, bool):
            raise self.fail(node, f"{what} must be true or false; got '{value}'.")
        return value

    def plain(self, node: yaml.Node) -> Any:
        try:
            return yaml.SafeLoader("").construct_object(node, deep=True)
        except yaml.MarkedYAMLError as exc:
            raise self.fail(node, f"not a plain value: {exc.problem}.") from exc
