"""Weights: where the file of a model's weights lies on this machine, and which file it is."""

from __future__ import annotations

import json
import os
import sys
import uuid
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from copal.errors import MissingWeights
from copal.fingerprint import Digest, file_digest

_folder = Path()
"""Where relative paths of weights begin: the folder of the registry whose features are bound."""


def relative_to(folder: Path) -> None:
    """Take relative paths of weights from a folder from now on, wherever one works."""
    global _folder
    _folder = folder


def weights_digest(path: Path) -> Digest:
    """Digest of a weights file, for a feature's ``weights_digests``."""
    return file_digest(path)


def weights_file(model: str, weights: str) -> Path:
    """Where a torchvision model's weights lie on this machine; those in S3 are fetched first.

    Parameters
    ----------
    weights
        Name of one of the model's torchvision weights (``DEFAULT``, ``KINETICS400_V1``), looked
        for in torch hub's folder and never downloaded, or a path, from the registry's folder
        when it is relative, or ``s3://bucket/key``.

    Raises
    ------
    MissingWeights
        They are not there; says which file, where it belongs and how to fetch it.
    """
    folder = _checkpoints()
    if weights.startswith("s3://"):
        return _from_s3(weights, folder)
    named = _addresses(model)
    if weights in named:
        url = named[weights]
        path = folder / url.rpartition("/")[2]
        fetch = f"curl --create-dirs -Lo '{path}' {url}"
    else:
        path = _folder / weights
        fetch = f"put it there, or name one of torchvision's: {', '.join(named)}"
    if not path.is_file():
        raise MissingWeights(
            f"'{model}' needs the weights '{weights}', and there is no file {path}. "
            f"To have it: {fetch}"
        )
    return path


def _checkpoints() -> Path:
    """Where torch hub keeps weights; told without torch, which takes seconds to import."""
    if "torch" in sys.modules:
        import torch

        return Path(str(torch.hub.get_dir())) / "checkpoints"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch"
    return Path(os.environ.get("TORCH_HOME") or cache).expanduser() / "hub" / "checkpoints"


def _own() -> Path:
    """Where weights lie that were fetched from S3, and what is known of torchvision's."""
    return Path.home() / ".cache" / "copal" / "weights"


def _addresses(model: str) -> dict[str, str]:
    """Where the weights of a torchvision model come from, by name.

    Kept in the user's cache for each version of torchvision: importing that takes seconds, and
    every look at the registry asks.
    """
    kept = _own() / f"torchvision-{metadata.version('torchvision')}-{model}.json"
    try:
        found = json.loads(kept.read_text())
        if isinstance(found, dict):
            return {str(name): str(url) for name, url in found.items()}
    except (OSError, ValueError):  # not asked yet, or damaged
        pass
    from torchvision.models import get_model_weights

    named = {name: str(each.url) for name, each in get_model_weights(model).__members__.items()}
    part = kept.with_name(f".{kept.name}.{uuid.uuid4().hex[:8]}.part")
    with suppress(OSError):  # whoever cannot write there asks torchvision again
        kept.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(named))
        part.replace(kept)
    return named


def own_weights(weights: str, advice: str) -> Path:
    """Where a weights file of one's own lies; one in S3 is fetched first.

    Parameters
    ----------
    weights
        A path, from the registry's folder when it is relative, or ``s3://bucket/key``.
    advice
        How such a file is made.

    Raises
    ------
    MissingWeights
        It is not there.
    """
    if weights.startswith("s3://"):
        return _from_s3(weights, _own())
    path = _folder / weights
    if not path.is_file():
        raise MissingWeights(f"there are no weights at '{path.absolute()}'. {advice}")
    return path


def _from_s3(uri: str, folder: Path) -> Path:
    """A local copy of an object, named for its version, so that a new version is a new file."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client = boto3.client("s3")
    try:
        tag = client.head_object(Bucket=bucket, Key=key)["ETag"].strip('"')
        path: Path = folder / f"{tag}-{key.rpartition('/')[2]}"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            # Who fetches it at the same time has a part of his own; the last one's stays.
            part = folder / f".{path.name}.{uuid.uuid4().hex[:8]}.part"
            try:
                client.download_file(bucket, key, str(part))
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    except (BotoCoreError, ClientError) as exc:
        raise MissingWeights(
            f"the weights {uri} cannot be fetched: {exc}. To put them there: aws s3 cp FILE {uri}"
        ) from exc
    return path
