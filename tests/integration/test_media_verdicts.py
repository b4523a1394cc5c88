"""Every file is encoded as it should be, or refused for the right reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copal.errors import MediaError
from copal.fingerprint import AssetId
from copal.media import Source
from features.standard_encode import StandardEncode
from tests.conftest import SNAPSHOTS, UPDATE
from tests.media import X264, copied, counted, ffmpeg, folder, footage

TABLE = SNAPSHOTS / "standard_encode_verdicts.txt"


def verdict(path: Path, workspace: Path) -> list[str]:
    """What the standard encode makes of a file, in lines: a summary, and each finding."""
    workspace.mkdir(parents=True, exist_ok=True)
    source = Source(AssetId("0" * 32), path, path.name)
    try:
        output = StandardEncode().compute(source=source, workspace=workspace)
    except MediaError as error:
        return [f"{type(error).__name__}: {error}"]
    (row,) = output.rows.to_pylist()
    rate = f"{row['rate_numerator']}/{row['rate_denominator']}".removesuffix("/1")
    summary = f"{row['width']} × {row['height']}, {row['frame_count']} frames at {rate}"
    if row["audio_samples"] is not None:
        summary += f", {row['audio_samples'] / 16000:.2f} s of sound"
    assert ("audio.flac" in output.files) == (row["audio_samples"] is not None)
    assert max(row["small_width"], row["small_height"]) == 256
    return [summary, *(f"{f['level']} {f['code']}: {f['message']}" for f in row["findings"])]


def kept() -> dict[str, list[str]]:
    """The table of verdicts: file → lines."""
    found: dict[str, list[str]] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines() if TABLE.exists() else ():
        if line.startswith("    "):
            found[list(found)[-1]].append(line.strip())
        else:
            found[line] = []
    return found


ASL = "again bird book eat help milk no yes"
MULTISHOT = "bbb_0_30.webm nasa_13013.mp4 tos_battle.webm"
ROBUST = """
    bbb_2500ms.ts bear-vp9-odd-dimensions.webm dolbyVision-hdr.MOV edit_list_positive_shift.mp4
    hdr10-av1.mp4 hlg10-color-test.mp4 internal_emulator_transformer_output_270_rotated.mp4
    invalid-bitstream.webm roadtrip-vp92-10bit.webm sample_audio_only.mp4 sample_h264.ts
    sample_missing_stsd.mp4 sample_portrait.mp4 sample_video_only.mp4
    sample_with_invalid_nalu.mp4 sample_with_srt.mkv silent-black-10s.mp4
"""
FOOTAGE = [
    *(f"asl/{name}.mkv" for name in ASL.split()),
    *(f"multishot/{name}" for name in MULTISHOT.split()),
    *(f"robust/{name}" for name in ROBUST.split()),
    "speech/jfk.flac",
    *(f"subtitles/elephantsdream.captions.{language}.vtt" for language in ("ar", "en", "ja")),
]


@pytest.mark.parametrize("name", FOOTAGE)
def test_verdict_of_each_real_file(name: str, tmp_path: Path) -> None:
    """
    Geometry, rate, frames, sound and findings of each real clip are those in the table.
    """
    found = verdict(footage(name), tmp_path)
    table = kept()
    if os.environ.get(UPDATE) == "1":
        table[name] = found
        lines = (f"{n}\n" + "".join(f"    {line}\n" for line in table[n]) for n in sorted(table))
        TABLE.write_text("".join(lines), encoding="utf-8")
        return
    assert found == table.get(name), f"{UPDATE}=1 accepts the new words"


def test_the_table_holds_every_real_file() -> None:
    """
    No file of the footage folder is without a verdict, and none in the table is gone.
    """
    root = footage("truth.json").parent
    files = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
    assert files - {"README.md", "truth.json"} == set(FOOTAGE) == set(kept())


WORDS: dict[str, tuple[str, ...]] = {
    "CHART": ("-f", "lavfi", "-i", "testsrc2=s=320x240:r=30:d=1"),
    "TONE": ("-f", "lavfi", "-i", "sine=r=48000:d=1"),
    "X264": X264,
    "X265": ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:pools=1"),
}


def made(name: str, folder: Path, words: str | None = None) -> Path:
    """One of ``MADE``: ``ffmpeg WORDS NAME``; ``chart:SIZE:RATE:SECONDS`` is a moving chart."""
    arguments: list[str] = []
    for word in (words or MADE[name][0]).split():
        if word.startswith("chart:"):
            _, size, rate, seconds = word.split(":")
            arguments += ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}"]
        else:
            arguments += WORDS.get(word, (word,))
    ffmpeg(*arguments, folder / name)
    return folder / name


PICTURES = "480 × 360, 30 frames at 30"
SOUND = "loudness true_peak"
# file: arguments of ffmpeg, what it is encoded as, codes of the findings
MADE = {
    "vvc.mp4": (
        "CHART -c:v libvvenc -preset faster -t 0.3",
        "480 × 360, 9 frames at 30",
        "no_audio",
    ),
    "pq_4k.mp4": (
        "chart:3840x2160:24:0.1 -vf setparams=color_trc=smpte2084:color_primaries=bt2020"
        ":colorspace=bt2020nc,format=yuv420p10le X265",
        "640 × 360, 3 frames at 24",
        "hdr no_audio",
    ),
    "hlg_4k.mov": (
        "chart:3840x2160:24:0.1 -vf setparams=color_trc=arib-std-b67:color_primaries=bt2020"
        ":colorspace=bt2020nc,format=yuv420p10le X265",
        "640 × 360, 3 frames at 24",
        "hdr no_audio",
    ),
    "mpeg4.avi": (
        "CHART TONE -c:v mpeg4 -bf 2 -c:a libmp3lame",
        f"{PICTURES}, 1.00 s of sound",
        SOUND,
    ),
    "motion_jpeg.avi": (
        "CHART TONE -c:v mjpeg -c:a pcm_s16le",
        f"{PICTURES}, 1.00 s of sound",
        SOUND,
    ),
    "slow_120.mp4": ("chart:320x240:120:1 X264", PICTURES, "halved_rate no_audio"),
    "slow_240.mov": ("chart:320x240:240:1 X264", PICTURES, "halved_rate no_audio"),
    "prores.mov": (
        "CHART TONE -c:v prores_ks -c:a pcm_s16le",
        f"{PICTURES}, 1.00 s of sound",
        SOUND,
    ),
    "dnxhd.mxf": (
        "chart:1280x720:25:0.4 -c:v dnxhd -b:v 90M -pix_fmt yuv422p",
        "640 × 360, 10 frames at 25",
        "no_audio",
    ),
    "camera.dv": (
        "chart:720x576:25:0.4 TONE -c:v dvvideo -pix_fmt yuv420p -ac 2 -t 0.4",
        "480 × 360, 10 frames at 25, 0.40 s of sound",
        "interlaced loudness true_peak",
    ),
    "flash.flv": (
        "CHART TONE -c:v flv -ar 44100 -c:a libmp3lame",
        f"{PICTURES}, 1.02 s of sound",
        SOUND,
    ),
    "windows.wmv": (
        "CHART TONE -c:v wmv2 -c:a wmav2",
        f"{PICTURES}, 1.02 s of sound",
        "loudness true_peak silence",
    ),
    "dvd.mpg": (
        "CHART TONE -c:v mpeg2video -b:v 4M -c:a mp2",
        f"{PICTURES}, 1.00 s of sound",
        SOUND,
    ),
    "theora.ogv": (
        "CHART TONE -c:v libtheora -c:a libvorbis",
        f"{PICTURES}, 1.00 s of sound",
        SOUND,
    ),
    "alpha.webm": (
        "CHART -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuva420p",
        PICTURES,
        "no_audio",
    ),
    "open_gops.mp4": ("CHART X264 -x264-params open-gop=1:bframes=3", PICTURES, "no_audio"),
    "flagged.ts": (
        "chart:720x576:50:1 -vf interlace=scan=tff -c:v mpeg2video -flags +ilme+ildct -b:v 8M",
        "450 × 360, 25 frames at 25",
        "interlaced no_audio",
    ),
    "top_first.ts": (
        "chart:720x576:50:1 -vf interlace=scan=tff,setfield=prog -c:v mpeg2video -b:v 8M",
        "450 × 360, 25 frames at 25",
        "no_audio unflagged_fields",
    ),
    "bottom_first.mp4": (
        "chart:720x480:60000/1001:1 -vf interlace=scan=bff,setfield=prog X264",
        "540 × 360, 30 frames at 30000/1001",
        "no_audio unflagged_fields",
    ),
    "pulldown.mp4": (
        "chart:720x480:24000/1001:2 -vf telecine,setfield=prog X264",
        "540 × 360, 60 frames at 30000/1001",
        "no_audio unflagged_fields",
    ),
    "letterbox.mp4": (
        "chart:320x180:30:1 -vf pad=320:240:0:30 X264",
        PICTURES,
        "no_audio letterbox",
    ),
    "pillarbox.mp4": (
        "chart:240x240:30:1 -vf pad=426:240:92:0 X264",
        "640 × 360, 30 frames at 30",
        "no_audio pillarbox",
    ),
    "surround.mkv": (
        "CHART TONE -filter_complex [1:a]pan=5.1|c0=c0|c1=c0|c5=c0[a] -map 0 -map [a] X264 "
        "-c:a ac3",
        f"{PICTURES}, 1.00 s of sound",
        SOUND,
    ),
    "sixteen.mov": (
        "CHART TONE -filter_complex [1:a]pan=16c|c0=c0|c15=c0[a] -map 0 -map [a] X264 "
        "-c:a pcm_s24le",
        f"{PICTURES}, 1.00 s of sound",
        SOUND,
    ),
    "moving.gif": ("chart:160x120:10:1", "480 × 360, 10 frames at 10", "no_audio"),
    "tiny.mkv": (
        "-f lavfi -i color=red:s=2x2:r=25:d=0.4 -c:v ffv1",
        "360 × 360, 10 frames at 25",
        "no_audio frozen",
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_verdict_of_each_kind_of_file(name: str, tmp_path: Path) -> None:
    """
    Codecs, containers, rates, fields, bars and channels of many kinds come out as they should.
    """
    _, summary, codes = MADE[name]
    found, *findings = verdict(made(name, tmp_path), tmp_path / "out")
    assert found == summary
    assert " ".join(line.split()[1].rstrip(":") for line in findings) == codes


def test_fields_are_joined_only_when_it_is_certain(tmp_path: Path) -> None:
    """
    Fields that do not say so are joined, the right one first; those of pulldown are left.
    """
    words = {"top_first.ts": "joined (tff)", "bottom_first.mp4": "joined (bff)"}
    words["pulldown.mp4"] = "left as they are"
    for name, done in words.items():
        assert verdict(made(name, tmp_path), tmp_path / "out")[-1].endswith(done)


def test_bars_are_told_in_the_encode_s_rows(tmp_path: Path) -> None:
    """
    A picture of 16:9 in a frame of 4:3 takes 270 of the encode's 360 rows.
    """
    path = made("letterbox.mp4", tmp_path)
    *_, rows = verdict(path, tmp_path / "out")
    first, end = (int(word) for word in rows.split() if word.isdigit() and word != "360")
    # a small picture's row is 1.9 of the encode's
    assert rows.startswith("note letterbox: ") and abs(first - 45) <= 2 and abs(end - 315) <= 2


def _pgs() -> bytes:
    """Two Blu-ray subtitles: each a composition of one object of 8 × 2 pixels, then none."""
    import struct

    def segment(kind: int, at: int, data: bytes) -> bytes:
        return b"PG" + struct.pack(">IIBH", at, 0, kind, len(data)) + data

    window = struct.pack(">BBHHHH", 1, 0, 100, 200, 8, 2)
    lines = b"\x00\x88\x01\x00\x00" * 2
    made = b""
    for number, (at, shown) in enumerate(((9000, 1), (30000, 0), (50000, 1), (80000, 0))):
        head = struct.pack(">HHBHBBBB", 320, 240, 16, number, 128 * shown, 0, 0, shown)
        made += segment(22, at, head + struct.pack(">HBBHH", 0, 0, 0, 100, 200) * shown)
        made += segment(23, at, window)
        if shown:
            made += segment(20, at, bytes([0, 0, 1, 235, 128, 128, 255]))
            size = (len(lines) + 4).to_bytes(3, "big") + struct.pack(">HH", 8, 2)
            made += segment(21, at, struct.pack(">HBB", 0, 0, 0xC0) + size + lines)
        made += segment(128, at, b"")
    return made


def test_pictures_of_words_do_no_harm(tmp_path: Path) -> None:
    """
    Tracks of PGS, VobSub and DVB subtitles are counted and otherwise left alone.
    """
    from copal.media.sandbox import probe

    words = tmp_path / "words.sup"
    words.write_bytes(_pgs())
    for name, codec in (("pgs.mkv", "copy"), ("vobsub.mkv", "dvdsub"), ("dvb.ts", "dvbsub")):
        path = tmp_path / name
        both = ("-i", counted("sound.mp4", sound=True), "-i", words, "-map", "0", "-map", "1")
        ffmpeg(*both, "-c:v", "copy", "-c:a", "copy", "-c:s", codec, path)
        assert len(probe(path).texts) == 1, name
        found = verdict(path, tmp_path / "out")
        assert found[0].startswith("480 × 360, 90 frames at 30, "), name


def test_damaged_indexes(tmp_path: Path) -> None:
    """
    Without its table of keyframes a film is whole; without its chunk offsets it is empty.
    """
    data = counted("sound.mp4", sound=True).read_bytes()
    (tmp_path / "no_keyframes.mp4").write_bytes(data.replace(b"stss", b"free"))
    found = verdict(tmp_path / "no_keyframes.mp4", tmp_path / "out")
    assert found[0].startswith("480 × 360, 90 frames at 30")
    (tmp_path / "no_offsets.mp4").write_bytes(data.replace(b"stco", b"free", 1))
    assert verdict(tmp_path / "no_offsets.mp4", tmp_path / "out") == [
        "UnreadableMedia: no_offsets.mp4: its video track holds no pictures (found: 1 video, "
        "1 audio). Was it copied whole? Supply it again."
    ]


def test_empty_tracks(tmp_path: Path) -> None:
    """
    A track that is declared and holds nothing is as if it were not there.
    """
    import av

    for name, kind in (("silent.mp4", "video"), ("blind.mp4", "audio")):
        path = tmp_path / name
        flags = {"movflags": "empty_moov+frag_keyframe"}
        whole = str(counted("sound.mp4", sound=True))
        with av.open(whole) as source, av.open(str(path), "w", options=flags) as into:
            streams = {s.type: into.add_stream_from_template(s) for s in source.streams}
            for packet in source.demux(**{kind: 0}):
                if packet.dts is not None:
                    packet.stream = streams[kind]
                    into.mux(packet)
    assert verdict(tmp_path / "silent.mp4", tmp_path / "out") == [
        "480 × 360, 90 frames at 30",
        "note no_audio: no sound",
    ]
    assert "holds no pictures" in verdict(tmp_path / "blind.mp4", tmp_path / "out")[0]


STILLS = ("png", "jpg", "webp", "tiff", "bmp", "gif")


def test_stills_and_covers_are_not_films(tmp_path: Path) -> None:
    """
    A picture file is a still picture, whatever its format; a song with a cover is sound.
    """
    for suffix in STILLS:
        path = tmp_path / f"still%03d.{suffix}"  # a name that image readers take for a pattern
        ffmpeg(*WORDS["CHART"], "-frames:v", "1", "-update", "1", tmp_path / f"a.{suffix}")
        (tmp_path / f"a.{suffix}").rename(path)
        assert "a still picture (found: 1 video)" in verdict(path, tmp_path / "out")[0], suffix
    for song, codec in (("song.mp3", "libmp3lame"), ("song.m4a", "aac"), ("song.flac", "flac")):
        cover = tmp_path / "still%03d.png"
        (tmp_path / "cover.png").write_bytes(cover.read_bytes())
        both = (
            *WORDS["TONE"],
            "-i",
            tmp_path / "cover.png",
            "-map",
            "0",
            "-map",
            "1",
            "-c:a",
            codec,
        )
        ffmpeg(*both, "-c:v", "copy", "-disposition:v", "attached_pic", tmp_path / song)
        assert "no video stream (found: 1 audio)" in verdict(tmp_path / song, tmp_path / "out")[0]


def test_sound_is_measured(tmp_path: Path) -> None:
    """
    A tone of known level has its loudness and peak, and half of it silent is half silent.
    """
    path = tmp_path / "half.mp4"
    tone = ("-f", "lavfi", "-i", "sine=f=1000:r=48000:d=8,volume='if(lt(t,4),8,0)':eval=frame")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:d=8", *tone, *X264, "-c:a", "pcm_s16le",
           tmp_path / "half.mov")  # fmt: skip
    (tmp_path / "half.mov").rename(path)
    output = StandardEncode().compute(
        source=Source(AssetId("0" * 32), path, path.name), workspace=tmp_path
    )
    (row,) = output.rows.to_pylist()
    found = {f["code"]: f["measure"] for f in row["findings"]}
    # sine is 1/8 of full scale, here 8 times: 0 dBFS, and so −3.0 LUFS (EBU Tech 3341, mono)
    assert found["loudness"] == pytest.approx(-3.0, abs=0.3)
    assert found["true_peak"] == pytest.approx(0.0, abs=0.1)
    assert found["silence"] == pytest.approx(0.5, abs=0.01)


def test_a_cut_off_film_says_what_is_left() -> None:
    """
    Of a film that was copied halfway what is there is encoded, and what is missing is told.
    """
    whole = copied("index_first.mp4", counted(), "", "-movflags +faststart")
    path = folder() / "cut_off.mp4"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    found = verdict(path, folder() / "cut_off")
    assert found[0].startswith("480 × 360, ")
    assert any(line.startswith("warn declared_frames: 90 frames declared") for line in found)


def test_broken_sound_does_not_cost_the_pictures(tmp_path: Path) -> None:
    """
    A film whose sound cannot be decoded is encoded without it, and says so.
    """
    import random

    import av

    whole = counted("sound.mp4", sound=True)
    data = bytearray(whole.read_bytes())

    rng = random.Random(7)
    with av.open(str(whole)) as container:
        packets = [bytes(p) for p in container.demux(audio=0) if p.size > 8][2:]
    for packet in packets:
        at = data.find(packet)
        data[at : at + len(packet)] = rng.randbytes(len(packet))
    path = tmp_path / "noise.mp4"
    path.write_bytes(data)
    found = verdict(path, tmp_path / "out")
    assert found[0] == "480 × 360, 90 frames at 30"
    assert "warn audio_unreadable: none of 1 audio can be decoded" in found


REFUSED = {
    "moving.webp": (
        "chart:64x64:10:1 -c:v libwebp_anim",
        "an animated WebP. Convert it to MP4 or GIF, or its first picture to PNG.",
    ),
    "still.avif": (
        "chart:64x64:1:1 -frames:v 1 -c:v libaom-av1 -cpu-used 8",
        "a still picture in AVIF or HEIC. Convert it to PNG, JPEG, WebP or TIFF.",
    ),
    "moving.png": (
        "chart:64x64:10:1 -f apng",  # one that PNG's readers see the first picture of
        "a still picture (found: 1 video). Features that need 'encode' skip this asset.",
    ),
    "bare.h264": (
        "CHART X264 -f h264",
        "a bare h264 stream, whose pictures carry no times. "
        "Put it into MP4 or MKV at its rate, and supply that.",
    ),
    "bare.hevc": (
        "CHART X265 -f hevc",
        "a bare hevc stream, whose pictures carry no times. "
        "Put it into MP4 or MKV at its rate, and supply that.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_film_is_told_for_what_it_is(name: str, tmp_path: Path) -> None:
    """
    A file of a kind that is not encoded is refused by its kind, not as damaged.
    """
    words, message = REFUSED[name]
    found = verdict(made(name, tmp_path, words), tmp_path / "out")
    assert found == [f"UnsupportedMedia: {name}: {message}"]


def test_subtitles_that_are_pictures_are_told_so(tmp_path: Path) -> None:
    """
    A Blu-ray subtitle file is refused with what to supply instead.
    """
    path = tmp_path / "words.sup"
    path.write_bytes(_pgs())
    assert verdict(path, tmp_path / "out") == [
        "UnsupportedMedia: words.sup: subtitles that are pictures (PGS). "
        "Supply them as SRT, VTT, TTML or ASS."
    ]


def test_captions_within_the_pictures_are_noted(tmp_path: Path) -> None:
    """
    Captions by CEA-608, which travel in the pictures, are not read, and that is said.
    """
    bare = made("bare.h264", tmp_path, "CHART X264 -bf 0 -f h264")
    pairs = bytes([0xFC, 0x94, 0x20]) * 2  # "resume caption loading", twice as is the custom
    said = b"\xb5\x00\x31GA94\x03" + bytes([0xC0 | 2, 0xFF]) + pairs + b"\xff"
    message = b"\x00\x00\x00\x01\x06\x04" + bytes([len(said)]) + said + b"\x80"
    data = bare.read_bytes()
    at = data.index(b"\x00\x00\x01\x65")  # the first picture's slice
    at -= data[at - 1] == 0
    bare.write_bytes(data[:at] + message + data[at:])
    ffmpeg("-r", "30", "-i", bare, "-c", "copy", tmp_path / "captioned.mp4")
    assert verdict(tmp_path / "captioned.mp4", tmp_path / "out") == [
        PICTURES,
        "note captions_unread: its CEA-608 or 708 captions are not read",
        "note no_audio: no sound",
    ]
