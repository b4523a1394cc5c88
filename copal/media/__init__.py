"""Media: what a file holds, its standard encode, and the frames and samples read from it.

Importing this package opens no codec; PyAV and ffmpeg are loaded when something is read.
"""

from copal.media.audio import Audio
from copal.media.captions import CaptionLine, Captions
from copal.media.encode import Encode
from copal.media.picture import Picture
from copal.media.source import Source
from copal.media.technical import Technical
from copal.media.video import PixelFormat, Video

__all__ = [
    "Audio",
    "CaptionLine",
    "Captions",
    "Encode",
    "Picture",
    "PixelFormat",
    "Source",
    "Technical",
    "Video",
]
