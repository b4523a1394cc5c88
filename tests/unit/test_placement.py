"""What the registry says of clusters: read with its lines, and no part of any recipe."""

from __future__ import annotations

import pytest

from copal.errors import RegistryError
from copal.graph import Graph, Ingredients
from copal.registry import FeatureName, parse

LEVELS = FeatureName("levels")
HEAD = "project: films\n"
FEATURE = """features:
  levels:
    version: 1
    compute: quick.features:Levels
    of: video
"""


def test_a_feature_says_where_its_tasks_run() -> None:
    """
    Image, nodes, taints and queue of a feature, disk and shared memory, and what holds for all.
    """
    registry = parse(
        HEAD
        + "deploy: {image: 'example.org/copal:1', event: arrivals, max_workers: 9}\n"
        + FEATURE
        + """    resources: {disk_gib: 50, shared_memory_gib: 0.5}
    deploy:
      image: example.org/gpu:1
      node_selector: {pool: gpu}
      tolerations: [{key: gpu, operator: Exists}]
      queue: gpus
"""
    )
    levels = registry.feature("levels")
    assert (registry.deploy.image, registry.deploy.event) == ("example.org/copal:1", "arrivals")
    assert registry.deploy.max_workers == 9
    assert (levels.deploy.image, levels.deploy.queue) == ("example.org/gpu:1", "gpus")
    assert dict(levels.deploy.node_selector) == {"pool": "gpu"}
    assert [dict(each) for each in levels.deploy.tolerations] == [
        {"key": "gpu", "operator": "Exists"}
    ]
    assert (levels.resources.disk_gib, levels.resources.shared_memory_gib) == (50, 0.5)


def test_machines_are_no_part_of_a_recipe() -> None:
    """
    Whatever is said of machines, the recipe stays what it was, so nothing is computed again.
    """
    placed = FEATURE + "    resources: {cpu: 8, disk_gib: 9}\n    deploy: {image: other}\n"
    ids = []
    for text in (FEATURE, "deploy: {image: a}\n" + placed):
        graph = Graph(parse(HEAD + text))
        ids.append(graph.recipes([LEVELS], {LEVELS: Ingredients()})[LEVELS].id)
    assert ids[0] == ids[1]


@pytest.mark.parametrize(
    ("top", "feature", "said"),
    [
        ("deploy: {imag: a}\n", "", "registry.yaml:2: deploy has an unknown key 'imag'."),
        ("deploy: {event: 'a b'}\n", "", "registry.yaml:2: event 'a b' is no name"),
        ("deploy: {max_workers: 0}\n", "", "registry.yaml:2: max_workers must be a whole number"),
        ("", "    deploy: {node: a}\n", "7: deploy of 'levels' has an unknown key 'node'."),
        (
            "",
            "    deploy: {node_selector: gpu}\n",
            "7: node_selector of 'levels' must be a mapping",
        ),
        ("", "    deploy: {tolerations: gpu}\n", "7: tolerations of 'levels' must be a list"),
        ("", "    deploy: {tolerations: [{k: a}]}\n", "7: a toleration of 'levels' has an unknown"),
        ("", "    resources: {disk_gib: -1}\n", "7: disk_gib '-1' is not a size in GiB."),
        (
            "",
            "    resources: {shared_memory_gib: big}\n",
            "7: shared_memory_gib 'big' is not a size",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(top: str, feature: str, said: str) -> None:
    """
    Unknown keys and values that cannot be are errors of the registry, with the line.
    """
    with pytest.raises(RegistryError) as caught:
        parse(HEAD + top + FEATURE + feature)
    assert said in str(caught.value)
