import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from copal.errors import MissingWeights
from features.shot_embedding import DIMENSIONS, ShotEmbedding
from tests.unit.features.arrays import encode_of, noise, shots_of

torch = pytest.importorskip("torch")


def saved(path, name, classes=400):
    """Random weights of a model, as torchvision would save them."""
    from torchvision.models import get_model

    torch.manual_seed(0)
    torch.save(get_model(name, weights=None, num_classes=classes).state_dict(), path)
    return path


def test_weights_are_loaded_from_a_file_and_the_head_is_left_aside(tmp_path):
    """
    Any file of the model's weights does, whatever number of classes it was trained for; one
    vector of length 1 per shot comes out, the same one at every batch size.
    """
    path = str(saved(tmp_path / "random.pth", "r2plus1d_18", classes=7))
    encode = encode_of(np.concatenate([noise(1, 30), noise(2, 3), noise(3, 1)]))
    shots = shots_of((0, 30), (30, 33), (33, 34))
    one = ShotEmbedding(weights=path, frames=4, side=32, device="cpu")
    rows = one.compute(encode, shots)
    vectors = np.stack(rows["vector"].to_numpy())
    assert rows.schema == one.columns
    assert vectors.shape == (3, 512)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    single = ShotEmbedding(weights=path, frames=4, side=32, device="cpu", batch_size=1)
    again = np.stack(single.compute(encode, shots)["vector"].to_numpy())
    assert np.allclose(again, vectors, atol=1e-4)
    assert one.compute(encode, shots_of()).equals(one.columns.empty_table())


def test_the_digest_is_of_the_file(tmp_path):
    """
    Other weights are another recipe.
    """
    first = ShotEmbedding(weights=str(tmp_path / "a.pth"))
    second = ShotEmbedding(weights=str(tmp_path / "b.pth"))
    (tmp_path / "a.pth").write_bytes(b"one")
    (tmp_path / "b.pth").write_bytes(b"other")
    assert first.weights_digests().keys() == {"weights"}
    assert first.weights_digests() != second.weights_digests()


def test_every_video_model_of_torchvision_is_known_by_its_length():
    """
    The lengths that columns promise are those of torchvision's models without their heads.
    """
    from torchvision.models import get_model, list_models, video

    assert set(DIMENSIONS) == set(list_models(video))
    for name, length in DIMENSIONS.items():
        with torch.device("meta"):
            model = get_model(name, weights=None)
        last = [m for m in model.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv3d)][-1]
        assert getattr(last, "in_features", getattr(last, "in_channels", None)) == length


@pytest.mark.parametrize("name", ["s3d", "mvit_v2_s", "swin3d_t", "r3d_18", "mc3_18"])
def test_each_family_of_models_loses_its_head(tmp_path, name):
    """
    Without its head a model hands over a vector of the promised length.
    """
    feature = ShotEmbedding(model=name, weights=str(saved(tmp_path / "w.pth", name)), device="cpu")
    model, _, _, _ = feature._loaded
    side, frames = (224, 16) if name in ("mvit_v2_s", "s3d") else (64, 8)
    with torch.inference_mode():
        out = model(torch.zeros(1, 3, frames, side, side))
    assert out.shape == (1, DIMENSIONS[name])


def test_missing_weights_say_which_file_where_and_how(tmp_path, monkeypatch):
    """
    The error names the file, the folder it belongs in and the command that fetches it.
    """
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("copal.weights._folder", Path())
    with pytest.raises(MissingWeights) as error:
        ShotEmbedding(weights="KINETICS400_V1").weights_digests()
    path = tmp_path / "hub" / "checkpoints" / "r2plus1d_18-91a641e6.pth"
    assert str(error.value) == (
        f"'r2plus1d_18' needs the weights 'KINETICS400_V1', and there is no file {path}. "
        f"To have it: curl --create-dirs -Lo '{path}' "
        "https://download.pytorch.org/models/r2plus1d_18-91a641e6.pth"
    )
    with pytest.raises(MissingWeights, match=r"no file nowhere\.pth\. To have it: put it there"):
        ShotEmbedding(weights="nowhere.pth").weights_digests()


def test_torch_is_not_imported_twice_to_say_that_weights_are_missing(tmp_path):
    """
    Where a model's weights come from is kept, so the second command that asks is quick; a kept
    answer that is damaged is asked for again.
    """
    program = (
        "import sys; from copal.weights import weights_file\n"
        "try: weights_file('r3d_18', 'DEFAULT')\n"
        "except Exception as exc: print('torch' in sys.modules, exc)"
    )
    there = {"HOME": str(tmp_path), "TORCH_HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    said = []
    for damaged in (False, False, True):
        if damaged:
            (kept,) = (tmp_path / ".cache" / "copal" / "weights").iterdir()
            kept.write_text("{")
        ran = subprocess.run(
            [sys.executable, "-c", program], env=there, capture_output=True, text=True, check=True
        )
        said.append(ran.stdout.partition(" "))
    assert [first for first, *_ in said] == ["True", "False", "True"]
    assert len({words for *_, words in said}) == 1
    assert "r3d_18-b3b3357e.pth" in said[0][2]


def test_named_weights_are_found_where_torch_keeps_them(tmp_path, monkeypatch):
    """
    A weights file in torch hub's folder is used under its torchvision name.
    """
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    saved(folder / "r3d_18-b3b3357e.pth", "r3d_18")
    feature = ShotEmbedding(model="r3d_18", frames=4, side=32, device="cpu")
    rows = feature.compute(encode_of(noise(1)), shots_of((0, 20)))
    assert rows.num_rows == 1


def test_weights_of_another_model_are_refused(tmp_path):
    """
    A file that holds another model's weights is named.
    """
    path = saved(tmp_path / "w.pth", "r3d_18")
    feature = ShotEmbedding(model="r2plus1d_18", weights=str(path), device="cpu")
    with pytest.raises(MissingWeights, match=r"w\.pth holds no weights of 'r2plus1d_18'"):
        feature.compute(encode_of(noise(1)), shots_of((0, 20)))


@pytest.mark.parametrize("params", [{"model": "r2d2"}, {"frames": 0}, {"batch_size": 0}])
def test_params_that_make_no_sense_are_refused(params):
    """
    A param is refused when the feature is declared.
    """
    with pytest.raises(ValueError, match="need"):
        ShotEmbedding(**params)


def test_weights_fetched_twice_at_once_do_not_mix(tmp_path, monkeypatch):
    """
    Two processes that fetch one file have a part each; the file is whole, and no part is left.
    """
    import boto3

    from copal.weights import own_weights

    parts = []

    class Client:
        def head_object(self, **_):
            return {"ETag": '"e"'}

        def download_file(self, bucket, key, part):
            parts.append(part)
            Path(part).write_bytes(b"whole")
            if len(parts) == 1:  # another begins, and is done before this one
                own_weights("s3://models/w.pth", "")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(boto3, "client", lambda _: Client())
    path = own_weights("s3://models/w.pth", "")
    assert len(set(parts)) == 2
    assert path.read_bytes() == b"whole" and list(path.parent.iterdir()) == [path]


def test_weights_in_s3_are_fetched_once_per_version(tmp_path, monkeypatch):
    """
    An ``s3://`` file is copied into torch hub's folder, again when it changes, and named when it
    is not there.
    """
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="models")
        client.put_object(Bucket="models", Key="video/w.pth", Body=b"one")
        uri = "s3://models/video/w.pth"
        first = ShotEmbedding(weights=uri).weights_digests()
        assert ShotEmbedding(weights=uri).weights_digests() == first
        client.put_object(Bucket="models", Key="video/w.pth", Body=b"other")
        assert ShotEmbedding(weights=uri).weights_digests() != first
        here = tmp_path / "hub" / "checkpoints"
        assert len(list(here.iterdir())) == 2
        with pytest.raises(MissingWeights, match=r"s3://models/none\.pth cannot be fetched"):
            ShotEmbedding(weights="s3://models/none.pth").weights_digests()
