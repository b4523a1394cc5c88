"""Dedup: of shots from one camera set-up, the earliest stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa

from copal.matching import earliest_kept, nearest_earlier
from copal.media import Encode

if TYPE_CHECKING:
    import numpy.typing as npt

VECTORS = ("first_vector", "vector", "last_vector")
FRAMES = ("first_frame", "middle_frame", "last_frame")  # that they describe, in the same order
RATIO = 0.85  # Lowe's test: the best match is this much nearer than the second best
REACH_PIXELS, APART_PIXELS = 5.0, 8.0  # points agree; points are far enough to tell a turn
SCALES, TURN = (0.7, 1.4), np.radians(15)  # a set-up may reframe, but not zoom or roll more
COMPARED = 3  # of the 3 × 3 pictures of two shots, the pairs most alike
TRIED = 60  # matches, nearest first, of which every two are tried


class Points(NamedTuple):
    """Corners of a picture: where they are, (n, 2) pixels, and how they look, (n, 128)."""

    at: npt.NDArray[np.float32]
    looks: npt.NDArray[np.uint8]  # whole numbers: a film of 2,000 shots keeps 230 MB of them


@dataclass(frozen=True)
class Dedup:
    """Which shots repeat an earlier one. Shots keep their indices; nothing is renumbered.

    Vectors propose, geometry confirms: of each shot's most alike earlier shots, those are
    duplicates in which the same points lie in the same arrangement, shifted, scaled or turned a
    little. Pictures all but equal by their vectors, such as black or a haze of hills, are
    duplicates without points.

    Measured on Tears of Steel's battle: true pairs have 95, 66, 12 and 10 points in common, all
    other proposals at most 4, while by vectors alone the weakest true pair (.41) stands behind
    six false ones. Four shots of 25 are dropped, each seen to be the same set-up; so is the
    NASA clip's second shot, where only the light comes on. None of Big Buck Bunny's opening.
    0.8 CPU-seconds for 70 s of film with 25 shots.
    """

    min_points: int = 6
    """Points in common that make two shots duplicates."""
    candidates: int = 2
    """Earlier shots looked at for each shot, most alike first."""
    min_score: float = 0.3
    """Shots less alike than this are not looked at."""
    same_score: float = 0.98
    """What makes duplicates without any points in common."""

    columns: ClassVar[pa.Schema] = pa.schema(
        [
            ("shot_index", pa.int32()),
            ("kept", pa.bool_()),
            ("duplicate_of", pa.int32()),  # shot_index of the earliest kept one; null when kept
            ("score", pa.float32()),  # cosine with that shot's nearest picture; null when kept
        ]
    )
    tools: ClassVar[tuple[str, ...]] = ("opencv-python-headless", "numpy", "av")

    def compute(self, encode: Encode, shots: pa.Table, vectors: pa.Table) -> pa.Table:
        """Go through the shots in order and drop those that repeat one that was kept.

        Parameters
        ----------
        vectors
            Rows of ``shot_composition``: vectors, and the frames they describe.

        Returns
        -------
        One row per shot, same order.

        Notes
        -----
        Source: Lowe 2004, doi:10.1023/B:VISI.0000029664.99615.94 (SIFT), and the similarity
        that most points agree on. Greedy by earliest representative.
        """
        if not len(shots):
            return self.columns.empty_table()
        parts = [np.stack(vectors[name].to_numpy()) for name in VECTORS]
        rows = np.stack(parts, axis=1).astype(np.float32)  # (shots, 3, d)
        earlier, scores = nearest_earlier(rows, self.candidates)
        frames = list(zip(*(vectors[name].to_pylist() for name in FRAMES), strict=True))
        proposals: dict[tuple[int, int], float] = {}
        looks: dict[tuple[int, int], list[tuple[int, int]]] = {}  # pairs of frames to compare
        for shot, place in np.argwhere(scores >= self.min_score).tolist():
            one = int(earlier[shot, place])
            nearest = np.argsort(-(rows[one] @ rows[shot].T).ravel(), kind="stable")[:COMPARED]
            proposals[one, shot] = float(scores[shot, place])
            looks[one, shot] = [(frames[one][n // 3], frames[shot][n % 3]) for n in nearest]
        wanted = sorted({frame for pairs in looks.values() for pair in pairs for frame in pair})
        points = {i: _points(p) for i, p in encode.small.frames_at(wanted, format="gray")}
        alike = [
            pair
            for pair, score in proposals.items()
            if any(self._same(score, points[a], points[b]) for a, b in looks[pair])
        ]
        kept_as = earliest_kept(len(shots), alike).tolist()
        index = shots["shot_index"].to_pylist()
        kept = [other < 0 for other in kept_as]
        others = [None if other < 0 else index[other] for other in kept_as]
        score = [None if o < 0 else proposals[o, shot] for shot, o in enumerate(kept_as)]
        return pa.table([shots["shot_index"], kept, others, score], schema=self.columns)

    def _same(self, score: float, one: Points, other: Points) -> bool:
        if score >= self.same_score or min(len(one.at), len(other.at)) < self.min_points:
            return score >= self.same_score
        return _in_common(one, other) >= self.min_points


def _points(picture: npt.NDArray[np.uint8]) -> Points:
    import cv2

    sift: Any = cv2.SIFT  # missing from OpenCV's own type hints
    found, looks = sift.create(300, contrastThreshold=0.02).detectAndCompute(picture, None)
    at = np.array([point.pt for point in found], np.float32).reshape(-1, 2)
    return Points(at, np.zeros((0, 128), np.uint8) if looks is None else looks.astype(np.uint8))


def _in_common(one: Points, other: Points) -> int:
    """How many points of two pictures look alike and agree on one shift, scale and turn."""
    import cv2

    looks = [points.looks.astype(np.float32) for points in (one, other)]
    found: Any = cv2.BFMatcher(cv2.NORM_L2).knnMatch(looks[0], looks[1], k=2)
    near = sorted((m[0].distance / m[-1].distance, m[0].queryIdx, m[0].trainIdx) for m in found)
    pairs = [(here, there) for ratio, here, there in near if ratio < RATIO]
    if len(pairs) < 2:
        return 0
    here = one.at[[here for here, _ in pairs]] @ (1, 1j)  # as complex numbers
    there = other.at[[there for _, there in pairs]] @ (1, 1j)
    # Every two of the best matches say how the picture moved: there = turn · here + shift. All
    # are tried, since what a random sample finds depends on the order in which points arrive.
    i, j = np.triu_indices(min(len(pairs), TRIED), 1)
    far = np.abs(here[j] - here[i]) > APART_PIXELS
    i, j = i[far], j[far]
    turn = (there[j] - there[i]) / (here[j] - here[i])
    scale = np.abs(turn)
    fits = (scale > SCALES[0]) & (scale < SCALES[1]) & (np.abs(np.angle(turn)) < TURN)
    turn, shift = turn[fits], (there[i] - turn * here[i])[fits]
    votes = np.abs(turn[:, None] * here + shift[:, None] - there) < REACH_PIXELS
    return max((len(np.unique(here[vote].round())) for vote in votes), default=0)
