"""ffmpeg runs on hostile files with nothing of ours in reach, and never stays behind."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copal.errors import StoreError, UnreadableMedia, UnsupportedMedia
from copal.media import ffmpeg, jail
from copal.media.essence import inspect
from tests.media import X264
from tests.media import ffmpeg as ffmpeg_tool


def _program(path: Path, body: str) -> str:
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def _gone(process: int) -> bool:
    """Whether a process ends within five seconds; one that only waits to be reaped has ended."""
    for _ in range(50):
        try:
            os.kill(process, 0)
            state = Path(f"/proc/{process}/stat")
            if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


def test_no_credentials_reach_the_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The environment holds nothing of ours, stdin is closed, and core files are off.
    """
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    found = tmp_path / "found"
    script = _program(
        tmp_path / "tool",
        "import os, sys, resource\n"
        f"open({str(found)!r}, 'w').write(repr((sorted(os.environ), sys.stdin.read(), "
        "resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_FSIZE)[0])))",
    )
    ffmpeg.run([script], name="film.mp4", limits=ffmpeg.Limits(file_bytes=1 << 20))
    names, given, core, size = eval(found.read_text())
    assert "AWS_SECRET_ACCESS_KEY" not in names and "HOME" not in names
    assert (given, core, size) == ("", (0, 0), 1 << 20)


def test_ffmpeg_reads_its_source_and_writes_beside_its_own(tmp_path: Path) -> None:
    """
    Whatever a source makes ffmpeg try, it opens no other file and writes to no other folder.
    """
    if not jail.version():
        pytest.skip("this kernel has no Landlock")
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    source, secret = tmp_path / "film.mkv", tmp_path / "secret.mkv"
    ffmpeg_tool("-f", "lavfi", "-i", "color=s=64x64:d=0.2", *X264, source)
    secret.write_bytes(source.read_bytes())

    def run(read: Path, written: Path) -> None:
        command = [str(ffmpeg.binary()), "-v", "error", "-i", str(read), "-c", "copy", str(written)]
        ffmpeg.run(command, name="film.mkv", jailed=(source, own))

    run(source, own / "a.mkv")
    assert (own / "a.mkv").stat().st_size
    for read, written in ((secret, own / "b.mkv"), (source, other / "c.mkv")):
        with pytest.raises(UnreadableMedia, match="Permission denied"):
            run(read, written)
    assert [path.name for path in own.iterdir()] == ["a.mkv"] and not list(other.iterdir())


def test_a_command_past_its_time_is_ended_with_its_children(tmp_path: Path) -> None:
    """
    After the timeout neither the program nor what it started is running.
    """
    pids = tmp_path / "pids"
    script = _program(
        tmp_path / "tool",
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "time.sleep(60)",
    )
    started = time.monotonic()
    with pytest.raises(UnreadableMedia, match=r"film\.mp4: ffmpeg was stopped after 1\.5 seconds"):
        ffmpeg.run([script], name="film.mp4", limits=ffmpeg.Limits(seconds=1.5))
    assert time.monotonic() - started < 10
    assert all(_gone(int(pid)) for pid in pids.read_text().split())


def test_a_closed_stderr_does_not_end_the_watch(tmp_path: Path) -> None:
    """
    A program that closes stderr and hangs is ended all the same.
    """
    script = _program(tmp_path / "tool", "import os, time\nos.close(2)\ntime.sleep(60)")
    with pytest.raises(UnreadableMedia, match="was stopped after 1 seconds"):
        ffmpeg.run([script], name="film.mp4", limits=ffmpeg.Limits(seconds=1))


def test_endless_complaints_are_kept_short(tmp_path: Path) -> None:
    """
    Megabytes of complaints cost neither memory nor a hang; equal ones count once.
    """
    script = _program(
        tmp_path / "tool",
        "import sys\nfor _ in range(50):\n    sys.stderr.write('[h264 @ 0x55aa] bad\\n' * 50000)",
    )
    outcome = ffmpeg.run([script], name="film.mp4")
    assert outcome.complaints == ("[h264] bad",)


def test_failure_says_what_ffmpeg_said() -> None:
    """
    The last line of stderr stands in the message, without addresses.
    """
    command = [str(ffmpeg.binary()), "-v", "error", "-i", "file:/nowhere.mp4", "-f", "null", "-"]
    with pytest.raises(UnreadableMedia) as caught:
        ffmpeg.run(command, name="film.mp4")
    assert str(caught.value) == (
        "film.mp4: ffmpeg could not decode it (Error opening input files: No such file or "
        "directory). Check that the file plays, and supply it again."
    )


def test_limits_stop_a_disk_bomb(tmp_path: Path) -> None:
    """
    An output larger than allowed ends the command, and is reported as the source's fault.
    """
    out = tmp_path / "out.yuv"
    command = [str(ffmpeg.binary()), "-v", "error", "-f", "lavfi", "-i", "color=s=1280x720:d=60"]
    limits = ffmpeg.Limits(file_bytes=4 << 20)
    with pytest.raises(UnreadableMedia):
        ffmpeg.run([*command, "-f", "rawvideo", str(out)], name="bomb.mp4", limits=limits)
    assert out.stat().st_size <= 4 << 20


def test_ffmpeg_ends_with_the_process_that_started_it() -> None:
    """
    kill -9 of the parent leaves no ffmpeg at work.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux ends a child with its parent")
    arguments = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=d=100000", "-f", "null", "-"]
    parent = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "from copal.media import ffmpeg\n"
            f"ffmpeg.run([str(ffmpeg.binary()), *{arguments!r}], name='x')",
        ]
    )
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    try:
        for _ in range(100):
            time.sleep(0.1)
            pids = children.read_text().split()
            if pids and "ffmpeg" in Path(f"/proc/{pids[0]}/comm").read_text():
                break
    finally:
        parent.kill()
        parent.wait()
    assert _gone(int(pids[0]))


def test_pixel_bombs_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    """
    A small file that would unfold to 108 million pixels is refused for its size.
    """
    bomb = tmp_path / "bomb.mp4"
    ffmpeg_tool("-f", "lavfi", "-i", "color=s=12000x9000:r=5", "-frames:v", "1", *X264, bomb)
    with pytest.raises(UnsupportedMedia) as caught:
        inspect(bomb)
    assert str(caught.value) == (
        "bomb.mp4: 12000 × 9000 pixels, more than the 100 million that Copal decodes. "
        "Scale it down."
    )


def test_an_ffmpeg_that_cannot_run_in_the_jail_is_told_of_before_it_encodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The operator hears of it at once, and no file is blamed for it.
    """
    (tmp_path / "ffmpeg").write_bytes(b"\x7fELF not one")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("COPAL_FFMPEG", str(tmp_path / "ffmpeg"))
    ffmpeg.binary.cache_clear()
    ffmpeg.version.cache_clear()
    try:
        with pytest.raises(StoreError, match=r"ffmpeg' cannot be run \(OSError: .*\)\. Install"):
            ffmpeg.version()
    finally:
        monkeypatch.undo()
        ffmpeg.binary.cache_clear()
        ffmpeg.version.cache_clear()


def test_the_binary_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    $COPAL_FFMPEG wins, and is refused when it cannot be run; the version is one token.
    """
    assert ffmpeg.version() and " " not in ffmpeg.version()
    monkeypatch.setenv("COPAL_FFMPEG", "/nowhere/ffmpeg")
    ffmpeg.binary.cache_clear()
    try:
        with pytest.raises(StoreError, match="'/nowhere/ffmpeg' is no program that can be run"):
            ffmpeg.binary()
    finally:
        monkeypatch.undo()
        ffmpeg.binary.cache_clear()
