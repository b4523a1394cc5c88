"""The flow file that is written from the registry."""

from __future__ import annotations

import ast
import inspect
import json
import warnings
from pathlib import Path

import pytest

from copal.errors import RegistryError
from copal.flow.generate import FLOW_FILE, check_flow, flow_source, write_flow
from copal.graph import Graph
from copal.registry import FLOW_NAMES, STEP_NAMES, load, parse
from tests.builders import graph_of

ROOT = Path(__file__).parents[2]

ASSETS = """
encode: {version: 1, compute: f:C, of: video, summary: One encode.}
shots: {version: 1, compute: f:S, needs: {encode: encode}}
"""
PAIRS = ASSETS + "pairs: {version: 1, compute: f:M, unit: pair, needs: {shots: shots}}"


def steps(source: str) -> dict[str, str]:
    """Step → its last line, where it says what comes next."""
    (flow,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    found = [node for node in flow.body if isinstance(node, ast.FunctionDef)]
    return {step.name: ast.unparse(step.body[-1]) for step in found}


def test_the_flow_is_python():
    """
    What is written compiles, and is the same each time.
    """
    compile(flow_source(graph_of(PAIRS)), "flow.py", "exec")
    assert flow_source(graph_of(PAIRS)) == flow_source(graph_of(PAIRS))


def test_every_feature_is_a_step_and_leads_to_the_next():
    """
    Assets are split, walked feature by feature and joined; then pairs; then the end.
    """
    found = steps(flow_source(graph_of(PAIRS)))
    assert list(found) == [
        "start", "encode", "shots", "join_assets", "plan_pairs", "pairs", "join_pairs", "end",
    ]  # fmt: skip
    for step, following in {
        "start": "self.next(self.encode, foreach='asset_chunks')",
        "encode": "self.next(self.shots)",
        "shots": "self.next(self.join_assets)",
        "join_assets": "self.next(self.plan_pairs)",
        "plan_pairs": "self.next(self.pairs, foreach='pair_chunks')",
        "pairs": "self.next(self.join_pairs)",
        "join_pairs": "self.next(self.end)",
    }.items():
        assert found[step] == following


def test_without_pair_features_the_assets_are_all():
    """
    A registry of asset features has no steps for pairs.
    """
    source = flow_source(graph_of(ASSETS))
    assert list(steps(source)) == ["start", "encode", "shots", "join_assets", "end"]
    assert steps(source)["join_assets"] == "self.next(self.end)"
    assert "pair_features = []" in source


def test_a_run_has_steps_for_what_it_computes():
    """
    A flow of some features leaves out the others' steps, and one of pairs alone starts with them.
    """
    graph = graph_of(PAIRS)
    some = steps(flow_source(graph, only={"shots"}))
    assert list(some) == ["start", "shots", "join_assets", "end"]
    pairs = steps(flow_source(graph, only={"pairs"}))
    assert list(pairs) == ["start", "plan_pairs", "pairs", "join_pairs", "end"]
    assert pairs["start"] == "self.next(self.plan_pairs)"


def test_without_asset_features_there_is_no_flow():
    """
    Pairs need assets to start from.
    """
    with pytest.raises(RegistryError, match="no feature covers assets; nothing to run"):
        flow_source(Graph(parse("project: test\nfeatures: {}\n")))


@pytest.mark.parametrize(
    "summary",
    ['He said """stop"""', 'ends with a "', "a \\ backslash \\", "two\nlines", "ünï", "{name}", ""],
)
def test_any_summary_may_be_a_docstring(summary):
    """
    Quotes, backslashes and line breaks in a summary leave the flow as it is.
    """
    text = json.dumps(summary)
    graph = graph_of(f"encode: {{version: 1, compute: f:C, of: video, summary: {text}}}")
    assert list(steps(flow_source(graph))) == ["start", "encode", "join_assets", "end"]


def test_no_feature_hides_what_the_flow_is_made_of():
    """
    Whatever a flow, ours or Metaflow's own, calls its attributes and steps cannot name a feature.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Metaflow's own
        from metaflow import FlowSpec

    source = flow_source(graph_of(PAIRS))
    (flow,) = (node for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    own = {
        target.attr if isinstance(target, ast.Attribute) else target.id
        for node in ast.walk(flow)
        if isinstance(node, ast.Assign)
        for each in node.targets
        for target in (each.elts if isinstance(each, ast.Tuple) else [each])
    }
    theirs = {name for name, _ in inspect.getmembers(FlowSpec) if not name.startswith("_")}
    tallies = {name for name in own if name.endswith("_tally")}
    assert own - tallies | theirs <= FLOW_NAMES | STEP_NAMES


# The committed file


def test_the_committed_flow_is_the_registrys():
    """
    flows/feature_flow.py in this repository is what 'copal flow write' would write.
    """
    graph = Graph(load(ROOT / "registry.yaml"))
    assert check_flow(graph, ROOT) == ROOT / FLOW_FILE


def test_a_stale_flow_is_refused(tmp_path):
    """
    A registry that moved on, or a file that is not there, is told with what to do.
    """
    with pytest.raises(RegistryError) as caught:
        check_flow(graph_of(ASSETS), tmp_path)
    expected = "flows/feature_flow.py is not there. Run 'copal flow write' and commit it."
    assert str(caught.value) == expected
    assert check_flow(graph_of(ASSETS), write_flow(graph_of(ASSETS), tmp_path).parents[1])
    with pytest.raises(RegistryError) as caught:
        check_flow(graph_of(PAIRS), tmp_path)
    expected = "flows/feature_flow.py is older than registry.yaml. Run 'copal flow write'."
    assert str(caught.value) == expected


def test_a_changed_param_leaves_the_flow_as_it_is(tmp_path):
    """
    Versions, params, resources and retries come from the registry when the flow starts.
    """
    write_flow(graph_of(ASSETS), tmp_path)
    changed = ASSETS.replace("version: 1", "version: 2, params: {a: 1}, resources: {cpu: 4}")
    check_flow(graph_of(changed), tmp_path)
