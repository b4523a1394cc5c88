"""What integration tests may ask for: small films, small repositories, an S3."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from copal.demo import sample_film
from tests.integration.repository import Contents, Repository, contents, make_repository

FILMS = {"calm.mp4": (8, 6), "brisk.mp4": (5, 7, 4), "one_take.mp4": (9,), "busy.mp4": (4, 4, 4, 3)}
"""File name → frames of each shot."""


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four films of less than a second each."""
    folder = tmp_path_factory.mktemp("films")
    for name, shots in FILMS.items():
        sample_film(folder / name, shots)
    return folder


@pytest.fixture
def own_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Features that the test imports from other folders are forgotten after it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = {name for name in sys.modules if name.partition(".")[0] == "quick"}
    yield
    for name in [n for n in sys.modules if n.partition(".")[0] == "quick"]:
        if name not in before:
            del sys.modules[name]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Address of a server that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Variables that lead to an S3 with an empty bucket; they are set in this process too."""
    from copal.store.s3 import s3_client

    bucket = f"copal-{tmp_path.name.lower().replace('_', '-')}"[:60].rstrip("-")
    variables = {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "COPAL_CACHE": str(tmp_path / "cache"),
        "COPAL_STORE": f"s3://{bucket}/lake",
    }
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    s3_client.cache_clear()
    s3_client().create_bucket(Bucket=bucket)
    yield variables
    s3_client().close()
    s3_client.cache_clear()


@pytest.fixture
def repository(tmp_path: Path, own_imports: None, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A small feature repository with an empty store."""
    made = make_repository(tmp_path / "repository")
    monkeypatch.setenv("QUICK_SIGNS", str(made.signs))
    return made


@pytest.fixture
def filled(repository: Repository, films: Path) -> Repository:
    """A small repository in whose store everything is, by the inline engine."""
    lake = repository.lake()
    list(lake.add([films]))
    assert not lake.run(engine="inline").failed
    return repository


@pytest.fixture(scope="session")
def undisturbed(films: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Contents]:
    """What a store of the small repository holds after a run that nobody disturbed."""
    kept: dict[tuple[str, ...], Contents] = {}

    def make(*features: str) -> Contents:
        if features not in kept:
            with pytest.MonkeyPatch.context() as monkeypatch:
                monkeypatch.setattr(sys, "path", list(sys.path))
                made = make_repository(tmp_path_factory.mktemp("undisturbed") / "r", features)
                lake = made.lake()
                list(lake.add([films]))
                assert not lake.run(engine="inline").failed
                kept[features] = contents(lake)
        return kept[features]

    return make
