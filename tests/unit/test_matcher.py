"""Rules that sort failures: which one decides, and what becomes of the cell."""

from __future__ import annotations

import pytest

from copal.errors import ComputeFailed, RegistryError, UnreadableMedia, WriteConflict
from copal.matcher import Rule, Then, verdict
from copal.plan import Failure, Held, plan
from copal.registry import parse
from tests.builders import asset_of, graph_of, recipes_of

REGISTRY = """\
project: test
errors:
  - {class: WorkerDied, then: fail}
features:
  shots:
    version: 1
    compute: f:S
    of: video
    errors:
      - {class: OutOfMemoryError, message: "CUDA out of memory", then: retry}
      - {class: MediaError, message: 'no (moving )?pictures', then: skip}
  dedup: {version: 1, compute: f:D, needs: {shots: shots}}
"""


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


def wrapped(cause: Exception) -> ComputeFailed:
    failed = ComputeFailed(f"'shots' on a: {type(cause).__name__}: {cause}")
    failed.__cause__ = cause
    return failed


def test_the_first_rule_that_matches_decides():
    """
    A failure is sorted by the class of what was raised, or of a base of it, and by its message;
    a feature's own rules come before the registry's.
    """
    registry = parse(REGISTRY)
    rules = registry.feature("shots").errors
    assert [rule.then for rule in rules] == ["retry", "skip", "fail"]
    assert [rule.then for rule in registry.feature("dedup").errors] == ["fail"]
    full = wrapped(OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert verdict(rules, full) is Then.RETRY
    assert verdict(rules, UnreadableMedia("a.mov: no moving pictures.")) is Then.SKIP
    assert verdict(rules, UnreadableMedia("a.mov: damaged.")) is Then.FAIL
    assert verdict(rules, wrapped(OutOfMemoryError("host"))) is Then.FAIL


def test_without_a_rule_the_error_says_for_itself():
    """
    What no rule matches is tried again only if the error itself says that it may pass.
    """
    assert verdict((), WriteConflict("busy")) is Then.RETRY
    assert verdict((), ValueError("no")) is Then.FAIL
    assert verdict([Rule(Then.FAIL, "StoreError")], WriteConflict("busy")) is Then.FAIL


@pytest.mark.parametrize(
    "rule, told",
    [
        ("then: retry", "a class, a message, or both"),
        ("class: X", "has no 'then'"),
        ("class: X, then: again", "then 'again' is none of retry, skip, fail"),
        ("message: '(', then: fail", "is no pattern"),
        ("klass: X, then: fail", "unknown key 'klass'. Did you mean 'class'?"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_line(rule: str, told: str):
    """
    Each mistake in a rule is one message with file and line.
    """
    with pytest.raises(RegistryError) as caught:
        parse(REGISTRY.replace("class: WorkerDied, then: fail", rule))
    assert str(caught.value).startswith("registry.yaml:3: ")
    assert told in str(caught.value)


def test_rules_are_no_part_of_a_recipe():
    """
    Sorting failures otherwise computes nothing again.
    """
    chain = "shots: {version: 1, compute: f:S, of: video}"
    ruled = chain.replace("of: video", "of: video, errors: [{class: X, then: skip}]")
    assert recipes_of(graph_of(chain)) == recipes_of(graph_of(ruled))


def test_what_needs_a_skipped_cell_is_skipped_with_it():
    """
    A skipped cell is neither to compute nor quarantined, and what follows from it is not blocked.
    """
    graph = graph_of("""
        shots: {version: 1, compute: f:S, of: video}
        dedup: {version: 1, compute: f:D, needs: {shots: shots}}
        pairs: {version: 1, compute: f:M, unit: pair, needs: {dedup: dedup}}
    """)
    skipped = Failure("a: black from end to end.", "X", retryable=False, tries=1, skipped=True)
    assets = [asset_of("a"), asset_of("b")]
    found = plan(graph, recipes_of(graph), assets, {"shots": Held(failures={"a": skipped})})
    assert (found.skipped, found.quarantined, found.blocked) == (1 + 1 + 2, 0, 0)
    assert [cell.unit for part in found for cell in part.cells] == ["b", "b", "b+b"]
    assert found.feature("pairs").skipped["a+b"] == (
        "waits for 'dedup', which is skipped: waits for 'shots', which is skipped: "
        "a: black from end to end."
    )
    forced = plan(
        graph, recipes_of(graph), assets, {"shots": Held(failures={"a": skipped})}, force=["shots"]
    )
    assert forced.skipped == 0
