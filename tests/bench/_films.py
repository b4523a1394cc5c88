"""Films for benchmarks: shots whose vectors come from real footage, and a store of them.

A few thousand pictures are cut out of real clips: a random third to the whole of a frame, at a
random place, mirrored or not, darker or lighter; flat frames are left out, since black would match
black. A shot is a convex mixture of two such pictures' vectors (the second with 10 to 50 %), so
that no two shots are one picture; its first, middle and last vectors each drift from that by a
fifth of a third picture's vector and noise of length 0.15. So the spread of cosines and the energy
in leading directions are those of real pictures; ``spread`` prints both.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from _common import ROOT, footage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float32]

CLIPS = ("multishot/tos_battle.webm", "multishot/bbb_0_30.webm", "multishot/nasa_13013.mp4")
PICTURES = 3000
EVERY = 6  # frames
FLAT = 25.0  # standard deviation of grey below which a frame is left out
NAMES = ("vector", "first_vector", "last_vector")
FEATURE = "match_pairs_composition"
FRAMES = 30  # of every shot


def pictures(count: int = PICTURES) -> Floats | None:
    """Composition vectors of pictures cut out of real frames; None without footage."""
    sys.path.insert(0, str(ROOT))
    import av
    import cv2
    import numpy as np

    from features.shot_composition import ShotComposition, describe

    frames = []
    for name in CLIPS:
        clip = footage(name)
        if clip is None:
            return None
        with av.open(str(clip)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % EVERY == 0:
                    height = 256 * frame.height // frame.width // 2 * 2
                    picture = frame.reformat(256, height, "bgr24").to_ndarray()
                    if cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).std() > FLAT:
                        frames.append(picture)
    dice = np.random.default_rng(7)

    def cut_out() -> Any:
        picture = frames[dice.integers(len(frames))]
        height, width = picture.shape[:2]
        share, stretch = dice.uniform(0.33, 1), np.exp(dice.uniform(-0.25, 0.25))
        h, w = int(height * share), min(width, int(width * share * stretch))
        y, x = dice.integers(height - h + 1), dice.integers(width - w + 1)
        picture = picture[y : y + h, x : x + w, :: dice.choice([-1, 1])]
        tones = 255 * (np.arange(256) / 255) ** dice.uniform(0.6, 1.6)
        small = cv2.resize(np.ascontiguousarray(picture), (128, 72), interpolation=cv2.INTER_AREA)
        return cv2.LUT(small, tones.astype(np.uint8))

    return np.array([describe(cut_out(), ShotComposition.colour) for _ in range(count)], np.float32)


def shots(real: Floats, count: int, seed: int) -> dict[str, Floats]:
    """The vectors of so many shots, by column, each (count, d) float32 of length 1."""
    import numpy as np

    dice = np.random.default_rng(seed)

    def some() -> Floats:
        return real[dice.integers(len(real), size=count)]

    def unit(rows: Floats) -> Floats:
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    share = dice.uniform(0.1, 0.5, (count, 1)).astype(np.float32)
    shot = unit((1 - share) * some() + share * some())
    size = (count, real.shape[1])
    noise = np.float32(0.15 / np.sqrt(real.shape[1]))
    return {
        name: unit(shot + 0.2 * some() + noise * dice.standard_normal(size, np.float32))
        for name in NAMES
    }


def spread(rows: Floats) -> dict[str, float]:
    """How cosines of unlike rows are spread, and the energy in leading directions."""
    import numpy as np

    some = rows[:4000]
    cosines = (some @ some.T)[np.triu_indices(len(some), 1)]
    energy = np.linalg.eigvalsh(some.T.astype(np.float64) @ some)[::-1]
    return {
        "cosine_deviation": round(float(cosines.std()), 3),
        "cosine_one_in_10000": round(float(np.quantile(cosines, 0.9999)), 3),
        "energy_in_64": round(float(energy[:64].sum() / energy.sum()), 3),
    }


def sizes(films: int, total: int) -> list[int]:
    """How many shots each film has: 1 to 3 as likely, as many as ``total`` in all."""
    import numpy as np

    weights = np.random.default_rng(3).uniform(1, 3, films)
    ends = np.round(np.cumsum(weights) / weights.sum() * total).astype(int)
    return [int(n) for n in np.diff(ends, prepend=0)]


def fill(store: str, real: Floats, counts: list[int]) -> list[str]:
    """A store that holds what match pairs need of films with so many shots; their ids, in order."""
    sys.path.insert(0, str(ROOT))
    import numpy as np
    import pyarrow as pa

    from copal.asset import Asset, Title
    from copal.fingerprint import AssetId, Digest, TitleId, UnitId, fingerprint
    from copal.project import Project
    from copal.store.base import new_value

    project = Project(ROOT, store)
    ids = [AssetId(fingerprint("film", n=n)) for n in range(len(counts))]
    titles = [Title(TitleId(f"film-{n:03}"), f"Film {n:03}") for n in range(len(counts))]
    project.catalog.keep(
        [Asset(each, "video", title.id, f"{title.id}.mp4", duration_seconds=5400.0)
         for each, title in zip(ids, titles, strict=True)], titles,
    )  # fmt: skip

    def column(kind: pa.DataType, name: str, count: int, known: dict[str, Any]) -> pa.Array:
        if name in known:
            return known[name]
        if pa.types.is_integer(kind):
            return pa.array(np.zeros(count), kind)
        return pa.nulls(count, kind)

    for start in range(0, len(ids), 16):
        values: dict[str, list[Any]] = {}
        for number in range(start, min(start + 16, len(ids))):
            count = counts[number]
            index = pa.array(np.arange(count), pa.int32())
            starts = pa.array(np.arange(count) * FRAMES, pa.int32())
            ends = pa.array((np.arange(count) + 1) * FRAMES, pa.int32())
            vectors = {
                name: pa.FixedSizeListArray.from_arrays(rows.ravel(), rows.shape[1])
                for name, rows in shots(real, count, 1000 + number).items()
            }
            ranges = {"start_frame": starts, "clear_start": starts, "end_frame": ends}
            known: dict[str, dict[str, Any]] = {
                "standard_encode": {
                    "rate_numerator": pa.array([24000]), "rate_denominator": pa.array([1001]),
                    "frame_count": pa.array([count * FRAMES]),
                },
                "shots": ranges | {"clear_end": ends, "shot_index": index,
                                   "transition": pa.array(["cut"] * count)},
                "dedup": {"shot_index": index, "kept": pa.array([True] * count)},
                "shot_composition": {"shot_index": index, **vectors},
            }  # fmt: skip
            for feature, given in known.items():
                schema = project.bound(feature).columns
                rows = 1 if feature == "standard_encode" else count
                table = pa.table(
                    [column(f.type, f.name, rows, given).cast(f.type) for f in schema],
                    schema=schema,
                )
                digest = Digest(fingerprint("made", feature=feature, film=number))
                values.setdefault(feature, []).append(
                    new_value(UnitId(ids[number]), table, {}, inputs_digest=digest, run_id="bench")
                )
        for feature, some in values.items():
            project.table(feature).publish(some)
    return [str(each) for each in ids]
