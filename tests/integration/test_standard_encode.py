"""Every video is brought to one form, or refused for the right reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copal.fingerprint import AssetId, file_digest, rows_digest
from copal.media import Source
from features.standard_encode import StandardEncode
from tests.media import X264, colours, copied, counted, encoded, ffmpeg, folder, number_in


def _encode(path: Path, workspace: Path, **params: Any) -> tuple[dict[str, Any], set[str]]:
    workspace.mkdir(parents=True, exist_ok=True)
    source = Source(AssetId("0" * 32), path, path.name)
    output = StandardEncode(**params).compute(source=source, workspace=workspace)
    (row,) = output.rows.to_pylist()
    return row, set(output.files)


def test_same_file_same_bytes(tmp_path: Path) -> None:
    """
    Two encodes with the same ffmpeg and as many threads are equal, byte for byte.
    """
    source = counted("sound.mp4", sound=True)
    for threads in (1, 2):
        for turn in ("once", "again"):
            _encode(source, tmp_path / f"{threads}{turn}", threads=threads)
        for name in ("video.mp4", "small.mp4", "audio.flac"):
            once, again = (tmp_path / f"{threads}{t}" / name for t in ("once", "again"))
            assert file_digest(once) == file_digest(again)


def test_other_threads_or_another_ffmpeg_are_another_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What changes the bytes changes the recipe: threads, ffmpeg's version, and its build.
    """
    import sys

    from copal.binding import bind, ingredients, tool_version
    from copal.media import ffmpeg as tool
    from copal.registry import FeatureName, load

    root = Path(__file__).parents[2]
    declared = load(root / "registry.yaml").features[FeatureName("standard_encode")]

    def recipe(threads: int = 2) -> object:
        tool.binary.cache_clear()
        tool.version.cache_clear()
        tool_version.cache_clear()
        params = {**declared.params, "threads": threads}
        return ingredients(bind(replace(declared, params=params), root))

    pinned = recipe()
    assert recipe() == pinned != recipe(threads=1)
    made = [pinned]
    for version, built in (("9.0.1", "a"), ("9.0.2", "a"), ("9.0.2", "b")):
        other = tmp_path / "ffmpeg"
        words = f"ffmpeg version {version} Copyright\\nbuilt with {built}"
        other.write_text(f"#!{sys.executable}\nprint('{words}')\n")
        other.chmod(0o755)
        monkeypatch.setenv("COPAL_FFMPEG", str(other))
        made.append(recipe())
    monkeypatch.undo()
    assert recipe() == pinned
    assert all(a != b for i, a in enumerate(made) for b in made[:i])


def test_rows_do_not_depend_on_the_run(tmp_path: Path) -> None:
    """
    The rows of a damaged file, whose decoder complains, are the same each time.
    """
    damaged = tmp_path / "damaged.mp4"
    data = bytearray(copied("fast.mp4", counted(), "", "-movflags +faststart").read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 3000, 75):
        data[at] ^= 0xFF
    damaged.write_bytes(data)
    source = Source(AssetId("0" * 32), damaged, "damaged.mp4")
    outputs = []
    for turn in ("once", "again"):
        (tmp_path / turn).mkdir()
        outputs.append(StandardEncode().compute(source=source, workspace=tmp_path / turn))
    assert rows_digest(outputs[0].rows) == rows_digest(outputs[1].rows)
    (row,) = outputs[0].rows.to_pylist()
    assert row["frame_count"] == 90
    assert "decode_errors" in [finding["code"] for finding in row["findings"]]


def test_gops_are_closed_and_a_second_long() -> None:
    """
    A keyframe comes at least once a second in both sizes, and decoding can start at each.
    """
    import av

    encode = encoded(counted())
    for video in (encode.video, encode.small):
        with av.open(str(video.file.path())) as container:
            packets = [p for p in container.demux(video=0) if p.size]
            keys = sorted(p.pts for p in packets if p.is_keyframe)
            step = sorted(p.pts for p in packets)[1]
        starts = [key // step for key in keys]
        assert starts[0] == 0
        assert max(b - a for a, b in zip(starts, [*starts[1:], 90], strict=True)) <= 30
        assert [number_in(video.frame(start)) for start in starts] == starts


def test_colours_survive() -> None:
    """
    Pure colours come out as Rec.709 says, from sources in 601, 709 and full range.
    """
    for name, size, out, tag in (
        ("sd.mp4", "640x480", "out_color_matrix=bt601:out_range=tv", "unknown"),
        ("hd.mp4", "1280x720", "out_color_matrix=bt709:out_range=tv", "unknown"),
        ("tagged.mp4", "640x480", "out_color_matrix=bt709:out_range=tv", "bt709"),
    ):
        path = folder() / name
        ffmpeg(
            *("-f", "lavfi", "-i", f"color=0xC03020:s={size}:r=25:d=0.4"),
            *("-vf", f"scale={out},format=yuv420p,setparams=colorspace={tag}", *X264, path),
        )
        for video in (encoded(path).video, encoded(path).small):
            found = video.frame(5)[video.height // 2, video.width // 2].astype(int)
            assert abs(found - [0xC0, 0x30, 0x20]).max() <= 6, (name, found)


def test_cuts_stay_where_they_are() -> None:
    """
    A colour that changes every 20 frames changes at frames 20, 40, … of the encode.
    """
    encode = encoded(colours())
    assert encode.frame_count == 120 and encode.audio is not None
    for video in (encode.video, encode.small):
        means = [p.reshape(-1, 3).mean(axis=0) for p in video.frames(size=(16, 12))]
        changes = [i for i in range(1, 120) if abs(means[i] - means[i - 1]).max() > 20]
        assert changes == [20, 40, 60, 80, 100]


def test_rotation_rate_and_interlacing_are_told(tmp_path: Path) -> None:
    """
    What was done to a source beyond scaling stands in the findings.
    """
    turned = copied("turned.mp4", counted(), "-display_rotation 90")
    fast = counted("fast_60.mp4", rate="60")
    told = [
        finding["message"]
        for path in (turned, fast)
        for finding in _encode(path, tmp_path)[0]["findings"]
        if finding["code"] != "no_audio"
    ]
    assert told == ["turned by 270 degrees", "60 brought to 30"]
