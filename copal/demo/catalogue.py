"""The demo catalogue: three painted films with known cuts, set-ups that return, and rhymes."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from pathlib import Path

from copal.demo import clockmaker, harbour, night_train
from copal.demo.film import Film, Shot
from copal.demo.sound import SAMPLE_RATE, soundtrack
from copal.errors import MediaError
from copal.media.ffmpeg import binary
from copal.timeline import FrameRange

FILMS = (harbour.FILM, night_train.FILM, clockmaker.FILM)
VERSION = 1
"""Raised when the films' pictures or sound change, so that old files are made again."""

_SIZE = (640, 360)
_RHYMES = (
    ("sun", "moon", "face"),
    ("lighthouse", "figure", "tall_clock"),
    ("pier", "rails", "corridor"),
    ("windows", "coach", "shelf"),
    ("helm", "driving_wheel", "gears"),
    ("lantern", "signal", "pendulum"),
    ("waves", "hills", "town"),
    ("low_sun", "far_moon", "loupe"),
)
"""Set-ups of the three films with one framing; each film's first shot of it counts."""

_SAMPLE_SETUPS = (
    (harbour.FILM, "sun"),
    (night_train.FILM, "snow"),
    (clockmaker.FILM, "face"),
    (harbour.FILM, "waves"),
    (night_train.FILM, "driving_wheel"),
    (clockmaker.FILM, "town"),
)


@dataclass(frozen=True, slots=True)
class DemoTitle:
    """One film of the catalogue, as a file, and what is true of it."""

    path: Path
    title: str
    year: int
    frame_rate: Fraction
    shots: tuple[FrameRange, ...]
    """Every shot; they tile the film, and a fade is split in its middle."""
    cuts: tuple[int, ...]
    """First frame of each shot that begins with a cut."""
    fades: tuple[FrameRange, ...]
    """Frames of each fade through black."""
    returning: tuple[tuple[int, int], ...]
    """Pairs of shot indices with one camera set-up, the earlier first."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The demo films and what is true of them."""

    folder: Path
    titles: tuple[DemoTitle, ...]
    rhymes: tuple[tuple[tuple[str, int], tuple[str, int]], ...]
    """Pairs of shots of two films with one framing: (title, shot index) twice."""


def make_catalogue(folder: Path) -> Catalogue:
    """Make the three films, ``titles.yaml`` and ``truth.json`` in a folder.

    A film that is there already is kept, unless an older Copal made it. A film appears under its
    name only when it is whole.

    Raises
    ------
    MediaError
        ffmpeg could not write a film.
    """
    folder.mkdir(parents=True, exist_ok=True)
    catalogue = _described(folder)
    truth = folder / "truth.json"
    current = truth.exists() and json.loads(truth.read_text()).get("version") == VERSION
    wanted = [f for f in FILMS if not (current and (folder / f.file).exists())]
    if not current:
        for film in wanted:
            (folder / film.file).unlink(missing_ok=True)
        _write(truth, json.dumps(_truth(catalogue), indent=1) + "\n")
    _write(folder / "titles.yaml", _titles_yaml())
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda film: encode(film, folder / film.file, _SIZE), wanted))
    return catalogue


def sample_film(
    path: Path,
    shots: Sequence[int] = (26, 34, 22),
    *,
    frame_rate: Fraction = Fraction(24),
    size: tuple[int, int] = (320, 180),
    sound: bool = True,
) -> tuple[int, ...]:
    """Make a film of a few seconds, one set-up a shot, and return its cuts.

    Parameters
    ----------
    shots
        Frames in each shot. After six the set-ups return.
    """
    setups = [_SAMPLE_SETUPS[i % len(_SAMPLE_SETUPS)] for i in range(len(shots))]
    film = Film(
        file=path.name,
        title="Sample",
        year=2026,
        frame_rate=frame_rate,
        scenes={name: film.scenes[name] for film, name in setups},
        shots=tuple(Shot(s, n) for (_, s), n in zip(setups, shots, strict=True)),
    )
    encode(film, path, size, sound=sound)
    return tuple(frames.start for frames in film.ranges[1:])


def encode(film: Film, path: Path, size: tuple[int, int], *, sound: bool = True) -> None:
    """Paint a film into an MP4 file (H.264, AAC); the name appears when the file is whole.

    Raises
    ------
    MediaError
        ffmpeg could not write it.
    """
    with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as folder:
        part, tune = Path(folder) / "film.mp4", Path(folder) / "sound.wav"
        if sound:
            _write_wave(tune, film)
        command = _command(film, size, tune if sound else None, part)
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=complaints)
            assert process.stdin is not None
            try:
                with process.stdin as pipe:
                    for picture in film.frames(*size):
                        pipe.write(picture.data)
            except BrokenPipeError:
                pass  # ffmpeg has stopped; it says why below
            except BaseException:
                process.kill()
                raise
            finally:
                process.wait()
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip()
        if process.returncode:
            raise MediaError(
                f"{path}: ffmpeg could not write this demo film (exit {process.returncode}): "
                f"{said[-300:] or 'it said nothing'}. Is the disk full?"
            )
        part.replace(path)


def _command(film: Film, size: tuple[int, int], tune: Path | None, part: Path) -> list[str]:
    width, height = size
    pictures = ["-f", "rawvideo", "-pix_fmt", "gbrp", "-s", f"{width}x{height}"]
    pictures += ["-r", str(film.frame_rate), "-i", "pipe:0"]
    colour = "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"
    tags = ["-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
    # Two encoder threads everywhere: the number of threads is part of what x264 writes.
    video = ["-c:v", "libx264", "-preset", "superfast", "-crf", "22", "-threads", "2"]
    exact = ["-flags", "+bitexact", "-fflags", "+bitexact", "-metadata", f"title={film.title}"]
    return [
        *(str(binary()), "-hide_banner", "-v", "error", "-y", *pictures),
        *(("-i", str(tune)) if tune else ()),
        *("-vf", colour, *video, *tags, "-color_range", "tv"),
        *(("-c:a", "aac", "-b:a", "128k") if tune else ()),
        *(*exact, "-movflags", "+faststart", "-f", "mp4", str(part)),
    ]


def _write_wave(path: Path, film: Film) -> None:
    samples = soundtrack(film)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(2)
        stream.setsampwidth(2)
        stream.setframerate(SAMPLE_RATE)
        stream.writeframes(samples.astype("<i2").tobytes())


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


def _described(folder: Path) -> Catalogue:
    return Catalogue(folder, tuple(_title(folder, film) for film in FILMS), tuple(_rhymes()))


def _title(folder: Path, film: Film) -> DemoTitle:
    setups = [shot.setup for shot in film.shots]
    middle = film.fade_after
    return DemoTitle(
        path=folder / film.file,
        title=film.title,
        year=film.year,
        frame_rate=film.frame_rate,
        shots=film.ranges,
        cuts=tuple(f.start for i, f in enumerate(film.ranges) if i > 0 and i - 1 != middle),
        fades=(film.fade,) if film.fade else (),
        returning=tuple(
            (i, j) for i, j in combinations(range(len(setups)), 2) if setups[i] == setups[j]
        ),
    )


def _rhymes() -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    for setups in _RHYMES:
        shots = [
            (film.title, [shot.setup for shot in film.shots].index(setup))
            for film, setup in zip(FILMS, setups, strict=True)
        ]
        yield from combinations(shots, 2)


def _truth(catalogue: Catalogue) -> dict[str, object]:
    films: dict[str, object] = {
        title.path.name: {
            "title": title.title,
            "frame_rate": str(title.frame_rate),
            "frames": title.shots[-1].end,
            "shots": [[f.start, f.end] for f in title.shots],
            "cuts": list(title.cuts),
            "fades": [[f.start, f.end] for f in title.fades],
            "returning": [list(pair) for pair in title.returning],
        }
        for title in catalogue.titles
    }
    return {"version": VERSION, "films": films, "rhymes": catalogue.rhymes}


def _titles_yaml() -> str:
    head = "# What people call these files; keys as for any catalogue of yours.\n"
    films = (f"{f.file}:\n  title: {f.title}\n  year: {f.year}\n  kind: film\n" for f in FILMS)
    return "\n".join([head, *films])
