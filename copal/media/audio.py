"""Audio: the 16 kHz mono sound of an encode, sample by sample."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Any

import numpy as np

from copal.errors import UnreadableMedia
from copal.feature import File
from copal.media.derivative import decoded, opened
from copal.timeline import FrameRange

if TYPE_CHECKING:
    import numpy.typing as npt

SAMPLE_RATE = 16000


@dataclass(frozen=True, slots=True)
class Audio:
    """Mono sound at 16 kHz; sample 0 is heard when frame 0 is shown."""

    file: File
    sample_count: int
    sample_rate: int = SAMPLE_RATE
    frame_rate: Fraction | None = None
    """Frames per second of the pictures that it belongs to."""

    def sample_at(self, frame: int) -> int:
        """The first sample heard while a frame shows; ranges that meet share none.

        Raises
        ------
        ValueError
            It belongs to no pictures.
        """
        if self.frame_rate is None:
            raise ValueError("this sound belongs to no pictures; ask for it by its samples")
        return floor(frame * self.sample_rate / self.frame_rate)

    def samples(
        self, start: int | FrameRange = 0, end: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Samples ``[start, end)``; to the last one when ``end`` is left out.

        Parameters
        ----------
        start
            The first sample; or a range of frames, whose sound is then returned whole: there is
            silence where the pictures go on and the sound has ended.

        Returns
        -------
        (samples,) float32, full scale is ±1.

        Raises
        ------
        ValueError
            The range is empty or reaches beyond the sound.
        UnreadableMedia
            The file does not hold the samples it should.
        """
        if isinstance(start, FrameRange):
            if end is not None:
                raise ValueError("samples of a range of frames take no end")
            first, after = self.sample_at(start.start), self.sample_at(start.end)
            there = min(after, self.sample_count)
            whole = np.zeros(after - first, np.float32)
            if first < there:
                whole[: there - first] = self.samples(first, there)
            return whole
        stop = self.sample_count if end is None else end
        if not 0 <= start < stop <= self.sample_count:
            raise ValueError(
                f"samples [{start}, {stop}) asked of sound with {self.sample_count} samples"
            )
        blocks: list[npt.NDArray[np.int16]] = []
        path = self.file.path()
        with opened(path, "flac") as container:
            stream: Any = container.streams.audio[0]
            per_tick = stream.time_base * self.sample_rate
            if start:
                container.seek(int(start / per_tick), stream=stream)
            for frame in decoded(container, stream, path):
                first = int(frame.pts * per_tick)
                if not blocks and first > start:
                    raise UnreadableMedia(
                        f"{path}: sample {start} cannot be reached. Encode again."
                    )
                block = frame.to_ndarray().reshape(-1)[max(0, start - first) : stop - first]
                if block.size:
                    blocks.append(block)
                if first + frame.samples >= stop:
                    break
        found = np.concatenate(blocks) if blocks else np.empty(0, np.int16)
        if found.size != stop - start:
            raise UnreadableMedia(
                f"{path}: {found.size} of {stop - start} samples from {start} were read. "
                "The file is damaged; encode again."
            )
        return found.astype(np.float32) / np.float32(32768)
