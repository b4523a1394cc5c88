"""A YAML document read node by node, so that every complaint knows its line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from copal.errors import RegistryError, suggestion


@dataclass(frozen=True, slots=True)
class Document:
    """Nodes of one YAML document as values; each mistake is one error with file and line."""

    where: str
    """The file's name, for people."""

    def root(self, text: str) -> yaml.Node | None:
        """The outermost node; None when there is nothing.

        Raises
        ------
        RegistryError
            It is no YAML.
        """
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 1
            raise RegistryError(f"{self.where}:{line}: not YAML: {exc.problem}.") from exc
        except (yaml.YAMLError, RecursionError) as exc:
            raise RegistryError(f"{self.where}: not YAML: {exc}.") from exc

    def fail(self, node: yaml.Node | int, message: str) -> RegistryError:
        """An error about a node, or about a line."""
        line = node if isinstance(node, int) else node.start_mark.line + 1
        return RegistryError(f"{self.where}:{line}: {message}")

    def entries(self, node: yaml.Node, what: str) -> dict[str, tuple[yaml.Node, int]]:
        """Key → its value and its line; a key that stands twice is refused."""
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
        """Key → its value, all of them known."""
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
        """One of a few words."""
        if key not in keys:
            return otherwise
        word = self.text(keys[key], key)
        if word not in known:
            choices = ", ".join(known)
            raise self.fail(keys[key], f"'{name}': {key} '{word}' is none of {choices}.")
        return word

    def text(self, node: yaml.Node, what: str) -> str:
        """A word or a line of text."""
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            raise self.fail(node, f"{what} must be a word or a line of text.")
        return str(node.value)

    def whole(self, node: yaml.Node, what: str, least: int = 0) -> int:
        """A whole number."""
        value = self.plain(node)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.fail(node, f"{what} must be a whole number, {least} or more; got '{value}'.")
        return value

    def flag(self, node: yaml.Node, what: str) -> bool:
        """True or false."""
        value = self.plain(node)
        if not isinstance(value, bool):
            raise self.fail(node, f"{what} must be true or false; got '{value}'.")
        return value

    def plain(self, node: yaml.Node) -> Any:
        """The value as YAML means it."""
        try:
            return yaml.SafeLoader("").construct_object(node, deep=True)
        except yaml.MarkedYAMLError as exc:
            raise self.fail(node, f"not a plain value: {exc.problem}.") from exc
