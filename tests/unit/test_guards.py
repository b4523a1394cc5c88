"""Small guards that keep the house honest: errors are raised, commands have help, words stand."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from copal import errors
from copal.cli.command import copal
from copal.errors import CopalError, suggestion
from copal.registry import load

ROOT = Path(__file__).parents[2]
REGISTRY = load(ROOT / "registry.yaml")
FAMILIES = {"CopalError", "MediaError", "FeatureError"}
"""Named to be caught; what is raised says more."""

ERRORS = {
    name: found
    for name, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, CopalError)
}


def source(*folders: str) -> str:
    return "\n".join(
        path.read_text()
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__)
    )


ENGINE = source("copal", "features")
TESTS = source("tests")
MADE = {
    node.func.id
    for node in ast.walk(ast.parse(ENGINE))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
}


@pytest.mark.parametrize("name", sorted(set(ERRORS) - FAMILIES))
def test_each_error_is_raised_and_tested(name: str) -> None:
    """
    An error class that nothing raises, or that no test knows, is a promise nobody keeps.
    """
    assert name in MADE, f"nothing raises {name}"
    assert re.search(rf"\b{name}\b", TESTS), f"no test knows {name}"


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_each_error_says_who_can_act(name: str) -> None:
    """
    Each error has a sentence of its own and stands in the tree at the top of its module.
    """
    assert (ERRORS[name].__doc__ or "").endswith(".")
    assert name in (errors.__doc__ or "")


def test_which_errors_may_pass_by_themselves() -> None:
    """
    Flows try nothing again but what says so.
    """
    assert {name for name, error in ERRORS.items() if error.retryable} == {
        "MissingMedia", "StoreUnavailable", "WorkerDied", "WriteConflict",
    }  # fmt: skip


def test_a_suggestion_is_near_or_not_made() -> None:
    """
    A slip is put right; a word like no other is left alone.
    """
    known = ["shots", "dedup", "shot_embeddings"]
    assert suggestion("shot_embeding", known) == " Did you mean 'shot_embeddings'?"
    assert suggestion("subtitles", known) == suggestion("x", []) == ""


# The command line


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        yield f"{path} {name}", found
        if isinstance(found, click.Group):
            yield from commands(found, f"{path} {name}")


def test_each_command_has_help() -> None:
    """
    The first line of a command's help says what it does, in a sentence that fits a line.
    """
    first = {
        path: (found.help or "").partition("\n")[0] for path, found in commands(copal, "copal")
    }
    assert {p: line for p, line in first.items() if not line.endswith(".")} == {}
    assert {p: line for p, line in first.items() if len(line) > 100} == {}


@pytest.mark.parametrize(
    "name", ["plan", "run", "status", "show", "match", "why", "check", "graph"]
)
def test_each_table_has_json(name: str) -> None:
    """
    Whatever prints a table for people prints objects for programs.
    """
    found = copal.get_command(click.Context(copal), name)
    assert found is not None
    assert any("--json" in option.opts for option in found.params)


# The registry


@pytest.mark.parametrize("name", REGISTRY.features)
def test_each_feature_has_a_summary(name: str) -> None:
    """
    What is declared is described, in one sentence.
    """
    assert REGISTRY.feature(name).summary.endswith(".")


@pytest.mark.parametrize("name", REGISTRY.features)
def test_each_feature_stands_in_the_readme(name: str) -> None:
    """
    What is computed by default can be read about.
    """
    assert f"`{name}`" in (ROOT / "README.md").read_text()
