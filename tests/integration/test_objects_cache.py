"""Copies of remote objects are whole, shared, bounded, and right whatever breaks on the way."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlparse

import pytest

from copal.errors import MissingValue, RequestError, StoreUnavailable
from copal.objects import Cache, S3Locator
from copal.objects import download as downloading
from copal.objects.cache import RECENT, keep_recent
from copal.objects.s3 import read_range, s3_client
from copal.store.s3 import S3File
from tests.integration.repository import until

MIB = 1 << 20
DATA = random.Random(7).randbytes(3 * MIB)


class Between(ThreadingHTTPServer):
    """A server that passes requests on to S3, and cuts answers where it is told to."""

    daemon_threads = True

    def __init__(self, beyond: str) -> None:
        self.beyond = urlparse(beyond)
        self.gets: list[dict[str, str]] = []
        self.cut: Callable[[int], int | None] = lambda number: None
        """Number of a GET, from 0 → bytes of its answer that pass."""
        self.before: Callable[[int], None] = lambda number: None
        self.slow_seconds = 0.0
        super().__init__(("127.0.0.1", 0), _Passing)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever was cut off has hung up."""


class _Passing(BaseHTTPRequestHandler):
    server: Between
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def pass_on(self) -> None:
        number = len(self.server.gets)
        passing = None
        if self.command == "GET":
            self.server.before(number)
            passing = self.server.cut(number)
            self.server.gets.append({k.lower(): v for k, v in self.headers.items()})
        beyond = http.client.HTTPConnection(str(self.server.beyond.netloc), timeout=30)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        beyond.request(self.command, self.path, body, dict(self.headers))
        answer = beyond.getresponse()
        data = answer.read()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.headers["Content-Length"] if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if self.command != "HEAD":
            data = data if passing is None else data[:passing]
            for start in range(0, len(data), 1 << 16):
                self.wfile.write(data[start : start + (1 << 16)])
                self.wfile.flush()
                time.sleep(self.server.slow_seconds)
        beyond.close()

    do_GET = do_HEAD = do_PUT = pass_on  # noqa: N815


@pytest.fixture
def between(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Between]:
    """S3, reached through a server that can misbehave."""
    server = Between(s3["AWS_ENDPOINT_URL"])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
    s3_client().close()
    s3_client.cache_clear()
    yield server
    s3_client().close()
    s3_client.cache_clear()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def place(s3: dict[str, str]) -> S3Locator:
    """Where DATA is."""
    bucket = s3["COPAL_STORE"].split("/")[2]
    s3_client().put_object(Bucket=bucket, Key="films/a film.mp4", Body=DATA)
    return S3Locator(bucket, "films/a film.mp4")


@pytest.fixture
def cache(s3: dict[str, str]) -> Cache:
    return Cache(Path(s3["COPAL_CACHE"]) / "objects", 100 * MIB)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "LONGEST_PAUSE_SECONDS", 0.01)


def put(place: S3Locator, data: bytes) -> str:
    found = s3_client().put_object(Bucket=place.bucket, Key=place.key, Body=data)
    return found["ETag"].strip('"')


def leftovers(cache: Cache) -> list[str]:
    return sorted(path.name for path in cache.folder.rglob("part"))


def test_a_copy_is_whole_and_made_once(place: S3Locator, cache: Cache, between: Between) -> None:
    """
    An object is fetched once, with its suffix kept; with its ETag known, nothing is asked again.
    """
    with cache.fetch(place) as path:
        assert path.read_bytes() == DATA and path.suffix == ".mp4"
    etag = hashlib.md5(DATA).hexdigest()
    assert between.gets[0]["if-match"] == f'"{etag}"'
    assert len(between.gets) == 1
    between.shutdown()  # nobody answers any more
    with cache.fetch(place, etag) as again:
        assert again == path


def test_a_cut_connection_goes_on_where_it_stopped(
    place: S3Locator, cache: Cache, between: Between
) -> None:
    """
    Answers that end half-way are gone on with by ranges of the same object, not begun again.
    """
    between.cut = lambda number: (MIB, 0, 700_000, 0)[number] if number < 4 else None
    with cache.fetch(place) as path:
        assert path.read_bytes() == DATA
    starts = [int(get.get("range", "bytes=0-")[6:-1]) for get in between.gets]
    assert starts == sorted(starts) and starts[0] == 0
    assert starts[1] >= MIB // 2 and starts[-1] > starts[1]
    assert {get["if-match"] for get in between.gets} == {f'"{hashlib.md5(DATA).hexdigest()}"'}
    assert leftovers(cache) == []


def test_a_read_that_keeps_failing_is_an_error_and_no_file(
    place: S3Locator, cache: Cache, between: Between
) -> None:
    """
    When nothing comes any more the error says how far it got; the next fetch goes on from there.
    """
    between.cut = lambda number: MIB if number == 0 else 0
    with pytest.raises(StoreUnavailable, match=r"reading it stopped at byte \d+ of 3145728, 6 ti"):
        cache.fetch(place)
    assert not list(cache.folder.rglob("content*")) and leftovers(cache) == ["part"]
    tried = len(between.gets)
    between.cut = lambda number: None
    with cache.fetch(place) as path:
        assert path.read_bytes() == DATA
    assert int(between.gets[tried]["range"][6:-1]) > 0


def test_an_object_replaced_while_it_is_read(
    place: S3Locator, cache: Cache, between: Between
) -> None:
    """
    No copy is half one object and half another: the read starts over, or says that it was replaced.
    """
    other = random.Random(8).randbytes(2 * MIB)
    first = hashlib.md5(DATA).hexdigest()

    def replace(number: int) -> None:
        if number == 1:
            put(place, other)

    between.before = replace
    between.cut = lambda number: MIB if number == 0 else None
    with cache.fetch(place) as path:
        assert path.read_bytes() == other
    with pytest.raises(MissingValue, match="was replaced: it is no longer the object with ETag"):
        cache.fetch(place, first)
    put(place, DATA)
    with cache.fetch(place, first) as path:
        assert path.read_bytes() == DATA


def test_bytes_that_are_not_the_etags_are_refused(
    place: S3Locator, cache: Cache, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Damage on the way is noticed by the MD5, fetched again, and never handed out.
    """
    real = downloading._blocks
    damaged = [True, True, True]

    def flipped(*arguments: object) -> Iterator[bytes]:
        blocks = real(*arguments)  # type: ignore[arg-type]
        if damaged and damaged.pop():
            first = bytearray(next(blocks))
            first[100] ^= 1
            yield bytes(first)
        yield from blocks

    monkeypatch.setattr(downloading, "_blocks", flipped)
    with pytest.raises(StoreUnavailable, match="its bytes arrived damaged 2 times"):
        cache.fetch(place)
    with cache.fetch(place) as path:
        assert path.read_bytes() == DATA
    assert leftovers(cache) == []


FETCH = """
import hashlib, sys
from pathlib import Path
from copal.objects import Cache, S3Locator
cache = Cache(Path(sys.argv[1]), int(sys.argv[2]))
with cache.fetch(S3Locator(sys.argv[3], sys.argv[4])) as path:
    print(hashlib.md5(path.read_bytes()).hexdigest(), flush=True)
    if len(sys.argv) > 5:
        sys.stdin.read()
"""


def fetching(cache: Cache, place: S3Locator, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, str(cache.folder), str(cache.limit_bytes),
         place.bucket, place.key, *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip


def test_two_processes_fetch_once(place: S3Locator, cache: Cache, between: Between) -> None:
    """
    Of processes that want one object at once, one fetches and the others wait for it.
    """
    between.slow_seconds = 0.01
    both = [fetching(cache, place) for _ in range(3)]
    said = {process.communicate(timeout=60)[0].split()[-1] for process in both}
    assert said == {hashlib.md5(DATA).hexdigest()}
    assert len(between.gets) == 1


def test_a_filler_that_is_killed_leaves_nothing_wrong(
    place: S3Locator, cache: Cache, between: Between
) -> None:
    """
    After kill -9 half-way the next process goes on from what had arrived, and gets all of it.
    """
    between.slow_seconds = 0.05
    process = fetching(cache, place)
    arrived = until(
        lambda: [p for p in cache.folder.rglob("part") if p.stat().st_size > MIB // 2], "a part"
    )
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = arrived[0].stat().st_size
    assert not list(cache.folder.rglob("content*"))
    between.slow_seconds = 0.0
    with cache.fetch(place) as path:
        assert path.read_bytes() == DATA
    assert int(between.gets[-1]["range"][6:-1]) >= kept > 0


def test_the_longest_unused_goes_first(place: S3Locator, s3: dict[str, str], cache: Cache) -> None:
    """
    The cache stays within its limit; using a copy keeps it, one that is in use is never removed.
    """
    small = Cache(cache.folder, 3 * MIB)
    places = [S3Locator(place.bucket, f"{name}.bin") for name in "abcd"]
    for each in places:
        put(each, each.key[:1].encode() * MIB)
    paths = []
    for age, each in zip((40, 30, 20), places[:3], strict=True):
        with small.fetch(each) as path:
            paths.append(path)
        os.utime(path, (time.time() - age,) * 2)
    with small.fetch(places[0]):  # used now: the second is the oldest
        pass
    with small.fetch(places[1]), small.fetch(places[3]) as last:
        assert [path.exists() for path in paths] == [True, True, False]
        assert last.read_bytes() == b"d" * MIB
    # held by another process, as by this one
    holder = fetching(Cache(cache.folder, 3 * MIB), places[1], "hold")
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == hashlib.md5(b"b" * MIB).hexdigest()
    os.utime(paths[1], (time.time() - 99,) * 2)
    with small.fetch(places[2]):
        assert paths[1].exists() and not paths[0].exists()
    holder.communicate("done")


HAMMER = """
import random, sys
from pathlib import Path
from copal.objects import Cache, S3Locator
folder, limit, bucket, seed = sys.argv[1:]
cache, chance = Cache(Path(folder), int(limit)), random.Random(int(seed))
for _ in range(40):
    name = chance.choice("pqrstu")
    with cache.fetch_lasting(S3Locator(bucket, f"{name}.bin")) as path:
        assert path.read_bytes() == name.encode() * 100_000, name
"""


def test_processes_that_fetch_and_evict_at_once(place: S3Locator, cache: Cache) -> None:
    """
    Three processes share a cache for two copies of six: each always reads whole, right files.
    """
    for name in "pqrstu":
        put(S3Locator(place.bucket, f"{name}.bin"), name.encode() * 100_000)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", HAMMER, str(cache.folder), "250000", place.bucket, str(seed)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ),
        )
        for seed in range(3)
    ]  # fmt: skip
    for process in started:
        said = process.communicate(timeout=120)[0]
        assert process.returncode == 0, said[-2000:]
    kept = list(cache.folder.rglob("content*"))
    assert 1 <= len(kept) <= 3  # two fit; three may be in use at once
    assert leftovers(cache) == []


def test_a_file_larger_than_the_cache(place: S3Locator, cache: Cache) -> None:
    """
    A file that cannot fit is fetched all the same, makes room by what it can, and goes next.
    """
    tiny = Cache(cache.folder, MIB)
    other = S3Locator(place.bucket, "small.bin")
    put(other, b"x" * 1000)
    with tiny.fetch(other) as before:
        pass
    with tiny.fetch(place) as path:
        assert path.read_bytes() == DATA and not before.exists()
    with tiny.fetch(other) as before:
        assert before.exists() and not path.exists()
    assert sorted(p.name for p in cache.folder.iterdir()) == [before.parent.name, "room.lock"]


def test_empty_objects(place: S3Locator, cache: Cache) -> None:
    """
    An object without bytes is a file without bytes.
    """
    empty = S3Locator(place.bucket, "empty.vtt")
    put(empty, b"")
    with cache.fetch(empty) as path:
        assert path.read_bytes() == b"" and path.suffix == ".vtt"


def test_objects_in_parts_are_checked_by_size(place: S3Locator, cache: Cache) -> None:
    """
    The ETag of an object sent in parts is no MD5; its copy is right all the same.
    """
    key = {"Bucket": place.bucket, "Key": "parts.bin"}
    upload = s3_client().create_multipart_upload(**key)["UploadId"]
    parts = []
    for number, body in enumerate((DATA + DATA, DATA), 1):
        sent = s3_client().upload_part(**key, UploadId=upload, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    s3_client().complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})
    with cache.fetch(S3Locator(place.bucket, "parts.bin")) as path:
        assert path.read_bytes() == DATA * 3


def test_errors_say_what_to_do(
    place: S3Locator, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Nothing there, no such bucket, no credentials, nobody listening: each has its own words.
    """
    with pytest.raises(MissingValue, match=r"s3://.*/gone\.mp4 is not there"):
        cache.fetch(S3Locator(place.bucket, "gone.mp4"))
    with pytest.raises(MissingValue, match=r"is not there|no such bucket"):
        cache.fetch(S3Locator("no-such-bucket", "a.mp4"))
    with monkeypatch.context() as changed:
        changed.setenv("AWS_MAX_ATTEMPTS", "1")
        changed.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        s3_client.cache_clear()
        with pytest.raises(
            StoreUnavailable, match=r"cannot be reached\. Is AWS_ENDPOINT_URL right"
        ):
            cache.fetch(place)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            changed.delenv(name)
        changed.setenv("AWS_EC2_METADATA_DISABLED", "true")
        changed.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        changed.setenv("AWS_CONFIG_FILE", os.devnull)
        s3_client.cache_clear()
        with pytest.raises(
            StoreUnavailable, match=r"no credentials for S3\. Set AWS_ACCESS_KEY_ID"
        ):
            cache.fetch(place)
    s3_client.cache_clear()


def test_access_denied(place: S3Locator, cache: Cache, between: Between) -> None:
    """
    A server that says 403 is told apart from an object that is not there.
    """
    refusing = "/denied.mp4"

    class Refusing(_Passing):
        def pass_on(self) -> None:
            if self.path.endswith(refusing):
                self.send_response(403)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            super().pass_on()

        do_GET = do_HEAD = pass_on  # noqa: N815

    between.RequestHandlerClass = Refusing  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable, match=r"access denied .*These credentials may not read"):
        cache.fetch(S3Locator(place.bucket, "denied.mp4"))


def test_settings_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Folder and limit come from the environment; a limit that is no number is refused.
    """
    monkeypatch.setenv("COPAL_CACHE", str(tmp_path))
    monkeypatch.setenv("COPAL_CACHE_GIB", "0.5")
    assert Cache.of_user() == Cache(tmp_path / "objects", 512 * MIB)
    for wrong in ("lots", "-1", "inf"):
        monkeypatch.setenv("COPAL_CACHE_GIB", wrong)
        with pytest.raises(RequestError, match=f"COPAL_CACHE_GIB is '{wrong}'"):
            Cache.of_user()


def test_files_of_the_store_come_through_the_same_cache(
    place: S3Locator, s3: dict[str, str], between: Between
) -> None:
    """
    A stored file is fetched once, read by ranges over cut connections, and kept while it is used.
    """
    file = S3File(place.bucket, place.key)
    assert file.size_bytes == len(DATA)
    between.cut = lambda number: 10 if number == 0 else None
    assert file.read(1000, 5000) == DATA[1000:6000]
    path = file.path()
    assert path.read_bytes() == DATA
    fetched = len(between.gets)
    assert S3File(place.bucket, place.key).path() == path and len(between.gets) == fetched
    with pytest.raises(MissingValue, match="is not there"):
        S3File(place.bucket, "gone").path()
    with pytest.raises(MissingValue, match="is not there"):
        read_range(S3Locator(place.bucket, "gone"), 0, 1)
    cache = Cache(path.parent.parent, 0)
    other = S3Locator(place.bucket, "other")
    put(other, b"1")
    with cache.fetch(other):
        assert path.exists()  # handed out lately
    for number in range(RECENT + 1):
        put(other, str(number).encode())
        keep_recent(cache.fetch(other))
    assert not path.exists()
