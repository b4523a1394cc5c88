"""What a hostile file may try: to open others, to grow, to hang, to lead elsewhere by its name."""

from __future__ import annotations

import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from copal.errors import MediaError, UnreadableMedia, UnsupportedMedia
from copal.fingerprint import AssetId
from copal.media import Encode, Source, command, encoding, ffmpeg, sandbox, transcode
from tests.integration.repository import Repository
from tests.media import counted, folder, number_in
from tests.media import ffmpeg as ffmpeg_tool


def _source(path: Path) -> Source:
    return Source(AssetId("0" * 32), path, path.name)


def _encode(path: Path, workspace: Path) -> Encode:
    from copal.feature import LocalFile, Value
    from features.standard_encode import StandardEncode

    workspace.mkdir(exist_ok=True)
    output = StandardEncode(threads=1).compute(source=_source(path), workspace=workspace)
    files = {name: LocalFile(made) for name, made in output.files.items()}
    return Encode.from_value(Value(output.rows, files))


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A port where nobody may knock."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        yield listening


PLAYLISTS = {
    "ffconcat, relative": "ffconcat version 1.0\nfile secret.mp4\n",
    "ffconcat, absolute": "ffconcat version 1.0\nfile '{folder}/secret.mp4'\n",
    "HLS, file": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{folder}/secret.mp4\n",
    "HLS, relative": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nsecret.mp4\n#EXT-X-ENDLIST\n",
    "HLS, web": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nhttp://{host}/a.ts\n",
    "HLS, key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="http://{host}/k"\n#EXTINF:3,\na.ts\n',
    "DASH": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
    "<AdaptationSet><Representation><BaseURL>http://{host}/a.mp4</BaseURL></Representation>"
    "</AdaptationSet></Period></MPD>",
    "SDP": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "redirection": "[Reference]\nRef1=http://{host}/a.mp4\n",
}


@pytest.mark.parametrize("name", ["film.mp4", "film.m3u8", "film.ts", "film"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_in_disguise_open_nothing(
    kind: str, name: str, tmp_path: Path, server: socket.socket
) -> None:
    """
    A list of other files is refused, whatever it calls itself, and nothing it names is opened.
    """
    (tmp_path / "secret.mp4").write_bytes(counted("one.mp4", frames=1).read_bytes())
    host, port = server.getsockname()
    text = PLAYLISTS[kind].format(folder=tmp_path, host=f"{host}:{port}", port=port)
    (tmp_path / name).write_text(text)
    with pytest.raises(MediaError):
        sandbox.inspect(tmp_path / name)
    with pytest.raises(MediaError):  # and ffmpeg refuses it, were it ever asked
        asked = [str(ffmpeg.binary()), "-v", "error"]
        for option, value in ffmpeg.INPUT_OPTIONS.items():
            asked += [f"-{option}", value]
        ffmpeg.run([*asked, "-i", f"file:{tmp_path / name}", "-f", "null", "-"], name=name)
    with pytest.raises(TimeoutError):
        server.accept()


NAMES = (
    *("-i.mp4", "concat:a|b.mp4", "it's 50%d, [0:v];x=1.mp4", "a\nb.mp4", "é#.mp4"),
    *("film%03d.mp4", "http:", "pipe:0", "subfile,,start,0,end,9,,:a.mp4", "data:,x", "*.mp4"),
    "\udcff.mp4",
)


def test_names_are_only_names(tmp_path: Path) -> None:
    """
    Dashes, protocols, patterns, filter syntax, line breaks and bytes that are no text mean nothing.
    """
    content = counted("one.mp4", frames=1).read_bytes()
    for name in NAMES:
        path = tmp_path / name
        path.write_bytes(content)
        assert _encode(path, tmp_path / "out").frame_count == 1, name


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        size = struct.unpack(">I", data[:4])[0]
        yield data[4:8], data[8:size]
        data = data[size:]


def _led_out(data: bytes, locator: bytes) -> bytes:
    """An mp4 whose tracks say that their data is in another file."""
    made = b""
    for kind, body in _boxes(data):
        if kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            body = _led_out(body, locator)
        elif kind == b"dref":
            entry = b"url \0\0\0\0" + locator + b"\0"
            body = body[:8] + struct.pack(">I", len(entry) + 4) + entry
        elif kind == b"mdat":
            body = bytes(len(body))
        made += struct.pack(">I", len(body) + 8) + kind + body
    return made


def test_tracks_that_lie_in_other_files_are_not_followed(tmp_path: Path) -> None:
    """
    A QuickTime reference to another film is no way to its pictures.
    """
    secret = counted("secret.mp4", frames=30)
    for locator in (str(secret), f"file://{secret}", "secret.mp4"):
        path = folder() / "references.mp4"
        path.write_bytes(_led_out(secret.read_bytes(), locator.encode()))
        try:
            encode = _encode(path, tmp_path / "out")
        except MediaError:
            continue
        seen = {number_in(picture) for picture in encode.video.frames(format="gray")}
        assert len(seen) == 1  # not the thirty numbers of the other film


def _timed(name: str, times: str) -> Path:
    """Twenty small pictures at times of their own, made by one filter."""
    path = folder() / name
    ffmpeg_tool(
        *("-f", "lavfi", "-i", "color=s=64x64:r=10:d=2", "-vf", times, "-fps_mode", "vfr"),
        *("-c:v", "mpeg4", path),
    )
    return path


BOMBS = {
    "hole.mkv": ("setpts='if(gte(N,10),PTS+7200/TB,PTS)'", "2.0 hours go by without a picture"),
    "slides.mkv": (
        "setpts='(N+30000*floor(N/2))/TB/10'",
        "its encode would repeat 20 pictures over ",
    ),
    "years.mkv": ("setpts='N*30000/TB'", "its pictures last 158.3 hours, over 24.0 hours"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_time_bombs_are_refused(name: str, tmp_path: Path) -> None:
    """
    A few pictures that claim hours are refused before they are repeated a million times.
    """
    times, words = BOMBS[name]
    with pytest.raises(UnsupportedMedia) as caught:
        _encode(_timed(name, times), tmp_path)
    assert str(caught.value).startswith(f"{name}: {words}")
    assert not list(tmp_path.iterdir())


def test_pictures_that_start_hours_late_are_refused(tmp_path: Path) -> None:
    """
    The first picture is not repeated for hours until it is due.
    """
    path = tmp_path / "late.mkv"
    ffmpeg_tool(
        *("-itsoffset", "8000", "-f", "lavfi", "-i", "color=s=64x64:d=1"),
        *("-f", "lavfi", "-i", "sine=d=1", "-c:v", "mpeg4", path),
    )
    with pytest.raises(UnsupportedMedia, match=r"late\.mkv: 2\.2 hours go by without a picture"):
        _encode(path, tmp_path / "out")


def test_an_encode_is_cut_off_where_it_should_have_ended(tmp_path: Path) -> None:
    """
    Should ffmpeg see other times than the probe, it stops at the plan's end all the same.
    """
    path = _timed("hole.mkv", BOMBS["hole.mkv"][0])
    plan = transcode.plan_transcode(
        sandbox.probe(counted("sound.mp4", sound=True)), "x",
        short_side=36, long_side=64, crf=30, threads=1,
    )  # fmt: skip
    assert plan.longest_seconds < 20
    plan = replace(plan, audio=None)
    video, small = tmp_path / "video.mp4", tmp_path / "small.mp4"
    encoding.encode(path, plan, (video, small, tmp_path / "audio.flac"), "x")
    assert sandbox.probe(video).duration_seconds <= plan.longest_seconds + 1 / plan.frame_rate


def test_what_an_encode_may_use_follows_from_its_length() -> None:
    """
    Seconds and bytes have limits, and those of a short film are small.
    """
    technical = sandbox.probe(counted())
    plan = transcode.plan_transcode(
        technical, "x", short_side=360, long_side=256, crf=20, threads=1
    )
    assert plan.limits.seconds < 30 * 60
    assert plan.limits.file_bytes < 256 << 20
    assert plan.limits.memory_bytes == 8 << 30


def test_strips_and_pixel_bombs_are_refused(tmp_path: Path) -> None:
    """
    Neither 108 million pixels nor a line of 4,000 is scaled.
    """
    strip, png = tmp_path / "strip.mkv", tmp_path / "bomb.png"
    ffmpeg_tool("-f", "lavfi", "-i", "color=s=4000x100:d=0.2", "-c:v", "ffv1", strip)
    with pytest.raises(UnsupportedMedia, match="show as 4000 × 100: one side is over 20 times"):
        _encode(strip, tmp_path / "out")
    ffmpeg_tool("-f", "lavfi", "-i", "color=s=12000x9000:r=5", "-frames:v", "1", png)
    with pytest.raises(UnreadableMedia, match="damaged, or has more than 100 million pixels"):
        sandbox.inspect(png)


def test_a_hundred_streams_are_refused(tmp_path: Path) -> None:
    """
    More streams than any film has are not opened.
    """
    path = tmp_path / "many.mkv"
    tone = tmp_path / "tone.flac"
    ffmpeg_tool("-f", "lavfi", "-i", "sine=d=0.1", tone)
    ffmpeg_tool("-i", tone, *(("-map", "0") * 100), "-c", "copy", path)
    with pytest.raises(UnsupportedMedia, match=r"many\.mkv: over 64 streams\."):
        sandbox.inspect(path)


def test_a_decoder_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An encode past its time is a refusal, and neither process nor file is left.
    """
    film, pid = counted(), tmp_path / "pid"
    tool = tmp_path / "ffmpeg"
    tool.write_text(
        f"#!{sys.executable}\nimport os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\n"
        "time.sleep(100)\n"
    )
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("COPAL_FFMPEG", str(tool))
    monkeypatch.setattr(
        transcode.Transcode, "limits", property(lambda plan: ffmpeg.Limits(seconds=2))
    )
    ffmpeg.binary.cache_clear()
    try:
        with pytest.raises(UnreadableMedia, match="ffmpeg was stopped after 2 seconds"):
            _encode(film, tmp_path / "out")
    finally:
        monkeypatch.undo()
        ffmpeg.binary.cache_clear()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not list((tmp_path / "out").iterdir())


def test_memory_has_a_limit(tmp_path: Path) -> None:
    """
    A decoder that wants more memory than it may have gives up, and its file is refused.
    """
    wanted = command.compile_command(
        counted(),
        transcode.plan_transcode(
            sandbox.probe(counted()), "x", short_side=360, long_side=256, crf=20, threads=1
        ),
        *(tmp_path / name for name in ("v.mp4", "s.mp4", "a.flac")),
    )
    with pytest.raises(UnreadableMedia, match=r"counted\.mp4: ffmpeg could not decode it"):
        ffmpeg.run(wanted, name="counted.mp4", limits=ffmpeg.Limits(memory_bytes=300 << 20))


def test_links_out_of_a_folder_are_told_and_not_followed(
    repository: Repository, tmp_path: Path
) -> None:
    """
    Of a folder's links those that stay in it are added; the others are refused by name.
    """
    media, outside = tmp_path / "media", tmp_path / "outside"
    (media / "deep").mkdir(parents=True)
    outside.mkdir()
    film = counted("one.mp4", frames=1).read_bytes()
    (media / "deep" / "film.mp4").write_bytes(film)
    (outside / "secret.mp4").write_bytes(counted("two.mp4", frames=2).read_bytes())
    (media / "inside.mp4").symlink_to("deep/film.mp4")
    (media / "leak.mp4").symlink_to("../outside/secret.mp4")
    (media / "folder").symlink_to(outside)
    (media / "zero.mp4").symlink_to("/dev/zero")
    (media / "gone.mp4").symlink_to("/nowhere.mp4")
    (media / "round.mp4").symlink_to("round.mp4")
    found = [(a.locator.rpartition("/")[2], a) for a in repository.lake().add([media])]
    assert sorted((name, arrival.decision) for name, arrival in found) == [
        ("film.mp4", "new"), ("film.mp4", "unchanged"),  # once by its link
        ("folder", "refused"), ("leak.mp4", "refused"), ("round.mp4", "refused"),
    ]  # fmt: skip
    assert dict(found)["leak.mp4"].note == (
        "leak.mp4: cannot be read: a link that leads out of the folder; to add what it leads to, "
        "name the link itself."
    )
    assert dict(found)["round.mp4"].note == (
        "round.mp4: cannot be read: a link that leads back to itself; remove it, or let it lead to "
        "a file."
    )
    (named,) = repository.lake().add([media / "leak.mp4"])
    assert named.decision == "new" and named.locator.endswith("/outside/secret.mp4")
