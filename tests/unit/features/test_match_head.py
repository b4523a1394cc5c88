import numpy as np
import pytest

from copal.errors import MissingWeights
from features.match_head import MatchHead
from tests.unit.features.arrays import vectors_of


def weights(path, given=4, made=3, seed=0):
    dice = np.random.default_rng(seed)
    layers = {"matrix_0": (5, given), "bias_0": (5,), "matrix_1": (made, 5), "bias_1": (made,)}
    arrays = {n: dice.normal(size=s).astype(np.float32) for n, s in layers.items()}
    np.savez(path, **arrays)
    return arrays


def vectors(count=6, dims=4):
    rows = np.random.default_rng(1).normal(size=(count, dims)).astype(np.float32)
    return vectors_of({"vector": rows, "last_vector": rows[::-1].copy()}), rows


def test_vectors_go_through_the_layers(tmp_path):
    """
    Each column is turned by the two layers, with a leak between them, and brought to length 1.
    """
    given = weights(tmp_path / "head.npz")
    table, rows = vectors()
    head = MatchHead(str(tmp_path / "head.npz"), 3, ("vector", "last_vector"))
    found = head.compute(table)
    hidden = rows @ given["matrix_0"].T + given["bias_0"]
    hidden = np.where(hidden > 0, hidden, 0.01 * hidden)
    made = hidden @ given["matrix_1"].T + given["bias_1"]
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    assert np.allclose(np.array(found["vector"].to_pylist()), made, atol=1e-6)
    assert np.allclose(np.array(found["last_vector"].to_pylist()), made[::-1], atol=1e-6)
    assert found.schema == head.columns
    assert head.compute(table.slice(0, 0)).equals(head.columns.empty_table())


def test_other_weights_are_another_recipe(tmp_path):
    """
    The digest of the weights is the file's: it moves with the weights and with nothing else.
    """
    digests = []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        weights(tmp_path / f"{name}.npz", seed=seed)
        digests.append(MatchHead(str(tmp_path / f"{name}.npz")).weights_digests()["weights"])
    assert digests[0] == digests[1] != digests[2]


def test_weights_that_do_not_fit_are_told(tmp_path):
    """
    No file, no head in it, or a head for other vectors: each says what to do.
    """
    table, _ = vectors()
    with pytest.raises(MissingWeights, match=r"no weights at .*head\.npz'\. Train it: python flow"):
        MatchHead(str(tmp_path / "head.npz")).weights_digests()
    (tmp_path / "text.npz").write_text("these are no weights")
    with pytest.raises(MissingWeights, match=r"text\.npz holds no match head"):
        MatchHead(str(tmp_path / "text.npz"), 3, ("vector",)).compute(table)
    weights(tmp_path / "head.npz", given=9)
    with pytest.raises(MissingWeights, match="from 9 to 3 components, but the vectors have 4"):
        MatchHead(str(tmp_path / "head.npz"), 3, ("vector",)).compute(table)


def test_weights_cannot_bring_code_with_them(tmp_path):
    """
    An archive with a Python object in it is refused unread.
    """

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    trap = np.array([Trap()], dtype=object)
    np.savez(tmp_path / "trap.npz", matrix_0=trap, bias_0=trap)
    with pytest.raises(MissingWeights, match="holds no match head"):
        MatchHead(str(tmp_path / "trap.npz"), 3, ("vector",)).compute(vectors()[0])
    assert not (tmp_path / "sprung").exists()
