"""How soon the first feature starts after the last byte of a file was written.

Runs the checkout's own registry: a watcher with a store of its own, on a folder and on a queue of
moto's server; the first feature to start is the standard encode.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from copal import lake
from copal.demo import sample_film
from tests.bench._common import ROOT, parser, report
from tests.integration.repository import Repository
from tests.integration.watcher import make_queues, notify, watching


def started_at(repository: Repository, name: str) -> datetime | None:
    """When the first cell of an asset began, once one has ended."""
    project = lake.open(repository.root, store=repository.environment["COPAL_STORE"]).project
    asset = next((each.id for each in project.catalog.assets() if each.name == name), None)
    found = [
        attempt.at - timedelta(seconds=attempt.seconds)
        for recipe in project.recipes().values()
        for attempt in project.store.table(recipe).attempts()
        if asset is not None and attempt.unit == asset
    ]
    return min(found, default=None)


def measure(
    repository: Repository, where: list[str], put: Callable[[Path], None], films: list[Path]
) -> list[float]:
    """Seconds for each film, one after the other, each once the one before is done with."""
    seconds = []
    with watching(repository, *where) as watcher:
        watcher.ready()
        for film in films:
            time.sleep(2)
            runs = len(watcher.events("run.over"))
            put(film)
            written = datetime.now(UTC)
            watcher.wait(lambda n=runs: len(watcher.events("run.over")) > n, "it is computed")
            begun = started_at(repository, film.name)
            assert begun is not None, film.name
            seconds.append((begun - written).total_seconds())
    return seconds


def main() -> None:
    """Measure and print."""
    options = parser(__doc__ or "")
    options.add_argument("--files", type=int, default=3, help="files each way")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="copal-bench-") as name:
        folder = Path(name)
        films = [folder / f"film {n}.mp4" for n in range(2 * given.files)]
        for n, film in enumerate(films):
            sample_film(film, (12 + n, 18))
        incoming = folder / "incoming"
        incoming.mkdir()

        def copy(film: Path) -> None:
            with (incoming / film.name).open("wb") as stream:
                stream.write(film.read_bytes())

        here = Repository(ROOT, {"COPAL_STORE": f"{folder}/one"}, home=folder)
        by_folder = measure(here, [str(incoming)], copy, films[: given.files])

        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        queues = make_queues("bench", visibility=60)
        queues.s3.create_bucket(Bucket="copal-bench")
        notify(queues, "copal-bench")
        variables = {k: v for k, v in os.environ.items() if k.startswith("AWS_")}
        there = Repository(
            ROOT,
            {**variables, "COPAL_STORE": f"{folder}/two", "COPAL_CACHE": f"{folder}/cache"},
            home=folder,
        )

        def upload(film: Path) -> None:
            queues.s3.upload_file(str(film), "copal-bench", film.name)

        where = ["sqs://bench", "--allow", "s3://copal-bench"]
        by_queue = measure(there, where, upload, films[given.files :])
        server.stop()
    figures: dict[str, object] = {
        "folder_seconds": round(statistics.median(by_folder), 2),
        "folder_worst_seconds": round(max(by_folder), 2),
        "sqs_seconds": round(statistics.median(by_queue), 2),
        "sqs_worst_seconds": round(max(by_queue), 2),
        "files": given.files,
    }
    table = [
        ["last byte → first feature", "median", "worst"],
        *(
            [what, f"{statistics.median(found):.2f} s", f"{max(found):.2f} s"]
            for what, found in (("folder", by_folder), ("S3 and SQS", by_queue))
        ),
    ]
    report(figures, given.json, table)


if __name__ == "__main__":
    main()
