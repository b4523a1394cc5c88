"""The flow file, written from the registry: one visible step for each feature."""

from __future__ import annotations

from collections.abc import Container, Sequence
from pathlib import Path

from copal.errors import RegistryError
from copal.graph import Graph
from copal.registry import Declaration

FLOW_FILE = Path("flows") / "feature_flow.py"

_HEAD = '''"""The features of {where} as a flow. Written by 'copal flow write': do not edit.

Steps pass the number of a chunk and counts, never media or vectors. Resources, retries, timeouts
and the schedule come from the registry when the flow starts.
"""

from metaflow import Config, FlowSpec, Parameter, step

from copal.flow import steps
from copal.flow.mutator import from_registry


@from_registry
class FeatureFlow(FlowSpec):
    """What is missing of every feature, chunk by chunk of assets, then of pairs of assets."""

    registry = Config("registry", default="registry.yaml", parser="yaml.safe_load")
    plan_id = Parameter("plan_id", default="", help="A run planned already; plans when empty.")

    asset_features = {asset_features}
    pair_features = {pair_features}

    @step
    def start(self):
        """Take the plan that was given, or make one."""
        self.tallies = []
        self.run_id, self.asset_chunks = steps.begin(self.plan_id)
        self.next({first})
'''

_FEATURE = '''
    @step
    def {name}(self):
        """{summary}"""
        self.{name}_tally = steps.compute("{name}", self.run_id, "{kind}", self.input)
        self.next(self.{after})
'''

_JOIN_ASSETS = '''
    @step
    def join_assets(self, inputs):
        """Gather how the cells of assets went."""
        self.run_id = steps.run_of(inputs, self.plan_id)
        self.tallies = steps.gather(inputs, self.asset_features, "assets", self.run_id)
        self.next(self.{after})
'''

_PAIRS = '''
    @step
    def plan_pairs(self):
        """Hand out the chunks of pairs, now that what they need is stored."""
        self.pair_chunks = steps.pair_chunks(self.run_id)
        self.next(self.{first}, foreach="pair_chunks")
'''

_JOIN_PAIRS = '''
    @step
    def join_pairs(self, inputs):
        """Gather how the cells of pairs went."""
        self.run_id = steps.run_of(inputs, self.plan_id)
        self.tallies = steps.tallies_of(inputs) + steps.gather(
            inputs, self.pair_features, "pairs", self.run_id
        )
        self.next(self.end)
'''

_TAIL = '''
    @step
    def end(self):
        """Keep the run's report; fail when a worker died."""
        steps.finish(self.run_id, self.tallies)


if __name__ == "__main__":
    FeatureFlow()
'''


def flow_source(graph: Graph, only: Container[str] | None = None) -> str:
    """Python source of the flow.

    Parameters
    ----------
    only
        Features to make steps of; all of them in the file that is committed and deployed. A run
        on this machine has steps for what it computes, since a step costs a process a chunk.

    Raises
    ------
    RegistryError
        No feature covers assets, so there is nothing to start from.
    """
    declarations = [graph.declaration(n) for n in graph.order if only is None or n in only]
    assets = [each for each in declarations if each.unit == "asset"]
    pairs = [each for each in declarations if each.unit == "pair"]
    if not assets and not (pairs and only is not None):
        raise RegistryError(f"{graph.registry.where}: no feature covers assets; nothing to run.")
    head = _HEAD.format(
        where=graph.registry.where,
        asset_features=_names(assets),
        pair_features=_names(pairs),
        first=f'self.{assets[0].name}, foreach="asset_chunks"' if assets else "self.plan_pairs",
    )
    source = head
    if assets:
        source += _chain(assets, "assets", "join_assets")
        source += _JOIN_ASSETS.format(after="plan_pairs" if pairs else "end")
    if pairs:
        source += _PAIRS.format(first=pairs[0].name)
        source += _chain(pairs, "pairs", "join_pairs") + _JOIN_PAIRS
    return source + _TAIL


def step_names(graph: Graph) -> list[str]:
    """The flow's steps in the order in which they follow one another."""
    declarations = [graph.declaration(name) for name in graph.order]
    assets = [str(each.name) for each in declarations if each.unit == "asset"]
    pairs = [str(each.name) for each in declarations if each.unit == "pair"]
    own = ["plan_pairs", *pairs, "join_pairs"] if pairs else []
    return ["start", *assets, "join_assets", *own, "end"]


def _chain(features: Sequence[Declaration], kind: str, last: str) -> str:
    following = [*(each.name for each in features[1:]), last]
    return "".join(
        _FEATURE.format(
            name=each.name,
            summary=_docstring(each.summary or f"Compute {each.name}."),
            kind=kind,
            after=after,
        )
        for each, after in zip(features, following, strict=True)
    )


def _docstring(text: str) -> str:
    return " ".join(text.split()).replace("\\", "/").replace('"', "'")


def _names(features: Sequence[Declaration]) -> str:
    return "[" + ", ".join(f'"{each.name}"' for each in features) + "]"


def check_flow(graph: Graph, root: Path) -> Path:
    """The committed flow file, once it is known to be up to date.

    Raises
    ------
    RegistryError
        It is missing or does not match the registry.
    """
    path = root / FLOW_FILE
    if not path.exists():
        raise RegistryError(f"{FLOW_FILE} is not there. Run 'copal flow write' and commit it.")
    if path.read_text() != flow_source(graph):
        raise RegistryError(
            f"{FLOW_FILE} is older than {graph.registry.where}. Run 'copal flow write'."
        )
    return path


def write_flow(graph: Graph, root: Path) -> Path:
    """Write the flow file."""
    path = root / FLOW_FILE
    source = flow_source(graph)
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    return path
