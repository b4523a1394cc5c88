"""Image files become arrays: the right way up, within bounds, or refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from copal.errors import UnreadableMedia, UnsupportedMedia
from copal.fingerprint import AssetId
from copal.media import Picture, Source

CORNERS = np.zeros((40, 60, 3), np.uint8)
CORNERS[:20, :30], CORNERS[:20, 30:] = (200, 30, 30), (30, 200, 30)
CORNERS[20:, :30], CORNERS[20:, 30:] = (30, 30, 200), (200, 200, 30)


def _saved(path: Path, **options: object) -> Picture:
    Image.fromarray(CORNERS).save(path, **options)
    return Picture.of(Source(AssetId("0" * 32), path, path.name))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_formats(name: str, tmp_path: Path) -> None:
    """
    Every format gives the same colours, at its size and smaller, in three orders of samples.
    """
    picture = _saved(tmp_path / name)
    assert picture.size == (60, 40)
    whole = picture.pixels()
    assert whole.shape == (40, 60, 3) and whole.dtype == np.uint8 and whole.flags.writeable
    for y, x in ((8, 12), (8, 48), (32, 12), (32, 48)):
        assert abs(whole[y, x].astype(int) - CORNERS[y, x]).max() <= 8
    small = picture.pixels((6, 4))
    assert small.shape == (4, 6, 3) and abs(small[0, 0].astype(int) - CORNERS[0, 0]).max() <= 8
    assert np.array_equal(picture.pixels(format="bgr24"), whole[..., ::-1])
    gray = picture.pixels((12, 8), "gray")
    assert gray.shape == (8, 12) and abs(int(gray[1, 1]) - 81) <= 8
    with pytest.raises(ValueError, match="pixel format 'rgba'"):
        picture.pixels(format="rgba")  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int, tmp_path: Path) -> None:
    """
    However the camera was held, up is up: all eight of Exif's orientations.
    """
    turns = {
        1: CORNERS, 2: CORNERS[:, ::-1], 3: CORNERS[::-1, ::-1], 4: CORNERS[::-1],
        5: CORNERS.transpose(1, 0, 2), 6: np.rot90(CORNERS, 1),
        7: np.rot90(CORNERS, 2).transpose(1, 0, 2), 8: np.rot90(CORNERS, -1),
    }  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(turns[orientation])).save(path, exif=exif)
    picture = Picture(path, path.name)
    assert picture.size == (60, 40)
    assert np.array_equal(picture.pixels(), CORNERS)


def test_modes(tmp_path: Path) -> None:
    """
    Palettes, transparency, 16 bits, CMYK and black-and-white come out as RGB in 8 bits.
    """
    path = tmp_path / "a.png"
    layers = np.dstack([CORNERS, np.full((40, 60), 255, np.uint8)])
    layers[:20, :30, 3] = 0
    Image.fromarray(layers).save(path)
    found = Picture(path, "a").pixels()
    assert not found[5, 5].any() and np.array_equal(found[20:], CORNERS[20:])
    Image.fromarray((np.arange(60, dtype=np.uint16) * 1000).reshape(6, 10)).save(path)
    assert Picture(path, "a").pixels()[5, 9].tolist() == [59000 >> 8] * 3
    Image.fromarray(CORNERS).convert("P").save(path)
    assert abs(Picture(path, "a").pixels()[5, 5].astype(int) - CORNERS[5, 5]).max() < 60
    Image.fromarray(CORNERS).convert("1").save(path)
    assert set(np.unique(Picture(path, "a").pixels())) <= {0, 255}
    tiff = tmp_path / "a.tif"
    Image.fromarray(CORNERS).convert("CMYK").save(tiff)
    assert abs(Picture(tiff, "a").pixels()[5, 5].astype(int) - CORNERS[5, 5]).max() <= 4
    Image.fromarray(np.ones((4, 4), np.float32)).save(tiff)
    with pytest.raises(UnsupportedMedia, match="a: its floating-point samples"):
        Picture(tiff, "a").pixels()


def test_a_picture_is_decoded_in_the_sandbox(tmp_path: Path, monkeypatch: Any) -> None:
    """
    This process never opens the file: pixels come from a reader, however many there are.
    """
    monkeypatch.setattr("PIL.Image.open", None)
    path = tmp_path / "wide.png"
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), np.uint8)
    Image.fromarray(noise).save(path)
    assert np.array_equal(Picture(path, path.name).pixels(), noise)
    for size in ((0, 5), (200_000, 1000)):
        with pytest.raises(ValueError, match="need 1 pixel or more"):
            Picture(path, path.name).pixels(size)


def _png(width: int, height: int) -> bytes:
    """The head of a PNG of any size, and one empty row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_bombs_and_damage_are_refused(tmp_path: Path) -> None:
    """
    Too many pixels are refused from the header alone; what is cut or no picture says so.
    """
    path = tmp_path / "bomb.png"
    for side in (11_000, 30_000, 200_000):
        path.write_bytes(_png(side, side))
        with pytest.raises(UnsupportedMedia, match=r"bomb\.png: .*Scale it down"):
            Picture(path, path.name).pixels((10, 10))
    path.write_bytes(_png(100, 100))
    with pytest.raises(UnreadableMedia, match=r"bomb\.png: damaged"):
        Picture(path, path.name).pixels()
    _saved(tmp_path / "cut.jpg")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(cut.read_bytes()[:500])
    with pytest.raises((UnreadableMedia, UnsupportedMedia), match=r"cut\.jpg: "):
        Picture(cut, "cut.jpg").pixels()
    for name, data in (("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n"), ("b.png", b"GIF89a" + bytes(99))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UnsupportedMedia, match="no picture that Copal reads"):
            Picture(tmp_path / name, name).pixels()
    with pytest.raises(UnreadableMedia, match="no such file"):
        Picture(tmp_path / "gone.png", "gone.png").pixels()
