"""Silhouettes by a model: random weights in a file, through the code that loads real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from copal.errors import MissingWeights
from features import shot_silhouette
from features.shot_silhouette import COLUMNS, ROWS, ShotSilhouette
from tests.unit.features.arrays import encode_of, noise, shots_of

MODEL = "maskrcnn_resnet50_fpn"


def test_a_model_masks_what_it_is_sure_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A Mask R-CNN's weights load from a file, and what it is sure of comes as a mask of the
    default's form; where it is sure of nothing the mask is 0, and other weights are refused.
    """
    import torch
    from torchvision.models import get_model

    torch.manual_seed(0)
    path = tmp_path / "mask.pth"
    net = get_model(MODEL, weights=None, weights_backbone=None)
    torch.save(net.state_dict(), path)
    encode, shots = encode_of(noise(1, 1)), shots_of((0, 1))

    def mask() -> np.ndarray:
        rows = ShotSilhouette(MODEL, str(path)).compute(encode, shots)
        assert rows.schema == ShotSilhouette.columns
        return np.array(rows["vector"].to_pylist()[0]).reshape(ROWS, COLUMNS)

    monkeypatch.setattr(shot_silhouette, "SURE", 1.0)
    assert not mask().any()
    monkeypatch.setattr(shot_silhouette, "SURE", 0.0)
    assert np.linalg.norm(mask()) == pytest.approx(1, abs=1e-5)
    digest = ShotSilhouette(MODEL, str(path)).weights_digests()["weights"]

    torch.save({"conv.weight": torch.zeros(1)}, path)
    assert ShotSilhouette(MODEL, str(path)).weights_digests()["weights"] != digest
    with pytest.raises(
        MissingWeights, match=r"mask\.pth holds no weights of 'maskrcnn_resnet50_fpn'"
    ):
        mask()
