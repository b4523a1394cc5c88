"""Media: what a file holds, its standard encode, and the frames and samples read from it.

Importing this package opens no codec; PyAV and ffmpeg are loaded when something is read.
"""

from copal.media.audio import Audio
from copal.media.encode import Encode
from copal.media.probe import Technical
from copal.media.source import Source
from copal.media.video import PixelFormat, Video

__all__ = ["Audio", "Encode", "PixelFormat", "Source", "Technical", "Video"]
