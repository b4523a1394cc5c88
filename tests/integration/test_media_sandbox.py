"""Files that nobody trusts are read in a process that may break, and that holds nothing of ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from copal.errors import UnreadableMedia
from copal.media import essence, jail, probe, sandbox, sandboxed
from tests.media import counted, footage

EVIL = """
import ctypes, os, signal, time
from pathlib import Path
from copal.media import sandboxed

def reach(kind, place):
    try:
        if kind == "read":
            return Path(place).read_text()
        if kind == "list":
            return os.listdir(place)
        if kind == "kill":
            os.kill(int(place), signal.SIGTERM)
        if kind == "run":
            os.spawnv(os.P_WAIT, place, [place])
    except OSError as error:
        return type(error).__name__
    return "done"

def evil(path, name):
    word = Path(path).read_text()
    if word == "crash":
        ctypes.string_at(0)
    if word == "abort":
        os.abort()
    if word == "exit":
        os._exit(3)
    if word == "hang":
        time.sleep(100)
    if word == "spin":
        while True:
            pass
    if word == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 32))
        time.sleep(100)
    if word == "memory":
        return len(bytearray(8 << 30))
    if word == "talk":
        return "x" * (64 << 20)
    if word.startswith("forge"):
        for fd in os.listdir("/proc/self/fd"):
            link = Path("/proc/self/fd", fd)
            if link.is_symlink() and os.readlink(link).startswith("pipe:"):
                os.write(int(fd), word.partition(" ")[2].encode())
        os._exit(0)
    if word == "write":
        with open(str(path) + ".out", "wb") as out:
            out.write(bytes(100))
    if word.startswith("reach"):
        return [reach(*each.split("=")) for each in word.split()[1:]]
    if word == "network":
        import socket
        return [n for _, n in socket.if_nameindex()], [
            line for line in open("/proc/self/net/route").read().splitlines()[1:]
        ]
    if word == "look":
        print("not a reply")
        return [sorted(os.environ), os.read(0, 1).decode(), os.getpid()]
    raise ValueError(f"no such word: {word}")

sandboxed.TASKS["evil"] = evil
sandboxed.main()
"""


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A sandbox with a reader that does to itself what a file says."""
    sandbox.close()
    start = subprocess.Popen

    def started(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return start([*command[:2], "-c", EVIL], **options)

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setattr(subprocess, "Popen", started)
    path = tmp_path / "film.mp4"

    def read(word: str, seconds: float = 20.0) -> Any:
        path.write_text(word)
        return sandbox._read("evil", path, None, sandbox.Limits(seconds, 2 << 30))

    yield read
    sandbox.close()


def _children() -> set[int]:
    """Processes that the server's readers are; there are none between two files."""
    assert sandbox._server is not None
    pid = sandbox._server.process.pid
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


ENDS = {
    "crash": r"film\.mp4: reading it took its reader down \(SIGSEGV\)",
    "abort": r"film\.mp4: reading it took its reader down \(SIGABRT\)",
    "exit": r"film\.mp4: reading it took its reader down \(exit code 3\)",
    "memory": r"film\.mp4: reading it takes more than 2 GiB of memory",
    "talk": r"film\.mp4: reading it took its reader down \(no reply\)",
    "write": r"film\.mp4: damaged in a way nobody foresaw \((PermissionError|OSError): ",
    "gibberish": r"film\.mp4: damaged in a way nobody foresaw \(ValueError: no such word: gibber",
}


@pytest.mark.parametrize("word", ENDS)
def test_what_a_file_does_to_its_reader_stays_its_own(word: str, evil: Any) -> None:
    """
    A crash, an abort, a memory bomb or a flood is a refusal, and the next file is read.
    """
    with pytest.raises(UnreadableMedia, match=ENDS[word]) as caught:
        evil(word)
    assert str(caught.value).endswith("Check that the file plays, and supply it again.")
    server = sandbox._server
    assert evil("look")[1] == "" and sandbox._server is server and not _children()


@pytest.mark.parametrize(
    "said",
    [
        '{"done": 1}\n{"done": 2}\n',
        '{"done": 1}',
        "[]\n",
        "{}\n",
        '{"error": "Mine"}\n',
        "{\n",
        "[" * 99999 + "\n",
        '{"done": [1, 3, 3], "bytes": 9}\n12345678',
        '{"done": [1, 3, 3], "bytes": 9}\n1234567890',
        '{"ended": "memory", "bytes": 2}\n12',
    ],
)
def test_a_reader_gives_one_reply_or_none(said: str, evil: Any) -> None:
    """
    What a taken-over reader writes that is not one reply is refused, and nothing of it is the
    next file's.
    """
    with pytest.raises(UnreadableMedia, match=r"took its reader down \(no reply\)"):
        evil(f"forge {said}")
    assert evil("look")[1] == ""


@pytest.mark.parametrize("word", ["hang", "spin", "deaf"])
def test_a_reader_that_does_not_end_is_ended(word: str, evil: Any) -> None:
    """
    Sleeping, spinning or deaf to signals: after its time a reader is gone and its file refused.
    """
    started = time.monotonic()
    with pytest.raises(UnreadableMedia, match="reading it took longer than 1 seconds"):
        evil(word, seconds=1.0)
    assert time.monotonic() - started < 8 and not _children()


def test_nothing_of_ours_is_in_reach(evil: Any) -> None:
    """
    No variable of our environment, no input, and no network where the kernel allows it.
    """
    names, given, _ = evil("look")
    assert given == "" and not [name for name in names if "AWS" in name or name == "HOME"]
    allowed = subprocess.run(
        [sys.executable, "-c", "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(1 << 30))"],
        check=False,
    )
    if sys.platform == "linux" and allowed.returncode == 0:
        assert evil("network") == [["lo"], []]


def test_a_reader_reaches_its_file_and_nothing_else(evil: Any, tmp_path: Path) -> None:
    """
    The file beside it, the folder, who asked and what that one holds are out of a reader's reach.
    """
    if jail.version() < 6:
        pytest.skip("this kernel has no Landlock, or one that lets signals out")
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    (tmp_path / "way_out").symlink_to(secret)
    me = os.getpid()
    tried = [
        f"read={tmp_path / 'film.mp4'}", f"read={secret}", f"read={tmp_path / 'way_out'}",
        f"list={tmp_path}", "read=/etc/passwd", f"read=/proc/{me}/environ", f"kill={me}",
    ]  # fmt: skip
    own, *others = evil(" ".join(["reach", *tried]))
    assert own.startswith("reach ") and others == ["PermissionError"] * 6


def test_without_landlock_files_are_read_and_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A kernel without Landlock costs the jail, not the reading, and a warning says so once.
    """
    monkeypatch.setattr(jail, "version", lambda: 0)
    assert not jail.confine(["/nowhere"])
    assert Path("/etc/passwd").read_text()
    sandbox.close()
    with capture_logs() as said:
        assert sandbox.probe(counted()).kind == "video"
        sandbox.probe(counted())
    assert [each["event"] for each in said] == ["sandbox.started_without_jail"]
    sandbox.close()


def test_a_server_that_died_is_started_again(evil: Any) -> None:
    """
    The server is no file's victim: when it is killed, the next file gets another one.
    """
    first = evil("look")
    assert sandbox._server is not None
    os.kill(sandbox._server.process.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert evil("look")[:2] == first[:2]


def test_readers_end_with_who_asked(tmp_path: Path) -> None:
    """
    kill -9 of the process that asked leaves neither the server nor a reader.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux shows its processes in /proc")
    hanging = tmp_path / "film.mp4"
    hanging.write_text("hang")
    script = (
        "import subprocess, sys\nstart = subprocess.Popen\n"
        f"subprocess.Popen = lambda c, **o: start([*c[:2], '-c', {EVIL!r}], **o)\n"
        "from pathlib import Path\nfrom copal.media import sandbox\n"
        f"sandbox._read('evil', Path({str(hanging)!r}), None, sandbox.Limits(60))"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])

    def children(pid: int) -> list[int]:
        found = Path(f"/proc/{pid}/task/{pid}/children")
        return [int(each) for each in found.read_text().split()] if found.exists() else []

    try:
        for _ in range(100):
            time.sleep(0.1)
            server = children(parent.pid)
            reader = children(server[0]) if server else []
            if reader:
                break
    finally:
        parent.kill()
        parent.wait()
    for _ in range(100):
        if not any(Path(f"/proc/{pid}").exists() for pid in (*server, *reader)):
            break
        time.sleep(0.1)
    assert reader and not any(Path(f"/proc/{pid}").exists() for pid in (*server, *reader))


def test_a_sandboxed_reading_is_the_same() -> None:
    """
    What the sandbox says of a file, its record and its essences, is what reading it here says.
    """
    for path in (
        counted("sound.mp4", sound=True),
        footage("multishot/nasa_13013.mp4"),
        footage("subtitles/elephantsdream.captions.ja.vtt"),
    ):
        assert sandbox.inspect(path) == essence.inspect(path)
        assert sandbox.probe(path, name="x") == probe.probe(path)


def test_refusals_come_through_word_for_word(tmp_path: Path) -> None:
    """
    A refusal in the sandbox is the same error with the same message.
    """
    noise = tmp_path / "noise \udce9\n.mp4"
    noise.write_bytes(bytes(range(256)) * 64)
    with pytest.raises(UnreadableMedia) as here:
        essence.inspect(noise)
    with pytest.raises(UnreadableMedia) as there:
        sandbox.inspect(noise)
    assert str(here.value) == str(there.value)


def test_many_files_cost_little_more_than_few() -> None:
    """
    One server reads file after file, each in a process of its own that has ended by the next.
    """
    path = counted()
    sandbox.probe(path)
    server = sandbox._server
    started = time.monotonic()
    for _ in range(20):
        sandbox.probe(path)
    assert sandbox._server is server and not _children()
    assert (time.monotonic() - started) / 20 < 0.25  # importing alone takes that long


def test_pipes_devices_and_sockets_are_refused_unopened(tmp_path: Path) -> None:
    """
    /dev/zero has no end, and opening a pipe waits for a writer: neither is opened.
    """
    import socket

    os.mkfifo(tmp_path / "pipe.mp4")
    held = socket.socket(socket.AF_UNIX)
    held.bind(str(tmp_path / "socket.mp4"))
    (tmp_path / "link.mp4").symlink_to("/dev/zero")
    for name in ("pipe.mp4", "socket.mp4", "link.mp4"):
        with pytest.raises(UnreadableMedia) as caught:
            sandbox.inspect(tmp_path / name, limits=sandbox.Limits(5))
        assert str(caught.value) == f"{name}: a device, pipe or socket, not a file. Copy it to one."
    held.close()


def test_the_server_says_nothing_but_replies() -> None:
    """
    One request, one line of JSON; it ends when its input does.
    """
    asked = {"task": "probe", "path": str(counted()), "name": "x", "wanted": {}, "limits": {}}
    asked["limits"] = {"seconds": 20, "memory_bytes": 4 << 30}
    with subprocess.Popen(
        [sys.executable, "-m", "copal.media.sandboxed"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        assert json.loads(server.stdout.readline())["done"]["kind"] == "video"
        server.stdin.close()
        assert server.stdout.read() == "" and server.wait(10) == 0
    assert sandboxed.TASKS.keys() == {"inspect", "probe", "measure", "pixels"}
