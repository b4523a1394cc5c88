"""Encoding: the plan carried out, and once more where its first run shows that it was wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from copal.errors import UnreadableMedia
from copal.media import ffmpeg, qc
from copal.media.command import compile_command
from copal.media.ffmpeg import Outcome
from copal.media.transcode import Transcode

_OF_SOUND = re.compile(r"\[aist#|\[enc:flac\]")
"""What ffmpeg says when sound, and nothing else, made it give up."""


def encode(
    source: Path, plan: Transcode, paths: tuple[Path, Path, Path], name: str
) -> tuple[Transcode, Outcome]:
    """Encode and measure in one pass; the plan as it was carried out, and what ffmpeg said.

    A second pass leaves out sound that cannot be decoded, or joins the fields of pictures that turn
    out to be two. Both are rare, and looking first would cost every other source a pass.

    Parameters
    ----------
    paths
        Of the full rendition, the small one, and the sound.

    Raises
    ------
    UnreadableMedia
        ffmpeg gave up, or needed more than the plan's limits.
    """
    try:
        outcome = _run(source, plan, paths, name)
    except UnreadableMedia as error:
        if plan.audio is None or not _OF_SOUND.search(str(error)):
            raise
        plan = replace(plan, audio=None)
        paths[2].unlink(missing_ok=True)
        outcome = _run(source, plan, paths, name)
    fields = qc.fields_unflagged(plan, outcome.measures)
    if fields is not None:
        plan = replace(plan, fields=fields)
        outcome = _run(source, plan, paths, name)
    return plan, outcome


def _run(source: Path, plan: Transcode, paths: tuple[Path, Path, Path], name: str) -> Outcome:
    command = compile_command(source, plan, *paths, measuring=True)
    jailed = (source, paths[0].parent)
    return ffmpeg.run(command, name=name, limits=plan.limits, jailed=jailed)
