"""The messages that STYLE shows as examples, as they are said today."""

from __future__ import annotations

import pyarrow as pa
import pytest

from copal.arrivals.reconcile import _note
from copal.asset import Essence
from copal.contracts import _check_ranges
from copal.errors import BrokenContract, CopalError, RegistryError
from tests.builders import asset_of, graph_of

NEED = """
shot_embeddings: {version: 1, compute: f:E, of: video}
match_pairs: {version: 1, compute: f:M, unit: pair, needs: {vectors: shot_embeding}}
"""
CIRCLE = """
shots: {version: 1, compute: f:S, needs: {vectors: shot_embeddings}}
dedup: {version: 1, compute: f:D, needs: {shots: shots}}
shot_embeddings: {version: 1, compute: f:E, needs: {dedup: dedup}}
"""


def shots(*ranges: tuple[int, int]) -> pa.Table:
    starts, ends = zip(*ranges, strict=True)
    return pa.table({"shot_index": range(len(ranges)), "start_frame": starts, "end_frame": ends})


def test_the_words_of_the_examples(snapshot):
    """
    Where, what, and what to do, for the author of a registry, of a feature, and of a file.
    """
    sound = asset_of("a", kind="audio", essences=(Essence("audio", "1"), Essence("audio", "2")))
    told = []

    def tell(kind: type[CopalError], ask, *arguments) -> None:
        with pytest.raises(kind) as caught:
            ask(*arguments)
        told.append(str(caught.value))

    tell(RegistryError, graph_of, NEED)
    tell(RegistryError, graph_of, CIRCLE)
    tell(BrokenContract, _check_ranges, "shots", shots((0, 1180), (1180, 1203), (1199, 1240)))
    tell(BrokenContract, _check_ranges, "shots", shots((7, 7)))
    told.append(_note(sound))
    snapshot("examples", "\n".join(told))


def test_disjoint_shots_keep_the_contract():
    """
    Ranges that touch are in order; rows without ranges have nothing to keep.
    """
    _check_ranges("shots", shots((0, 10), (10, 20), (25, 30)))
    _check_ranges("words", pa.table({"word": ["a"]}))
