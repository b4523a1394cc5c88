"""Adding files: each becomes an asset, one more place of one, or a place that was refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from copal.arrivals.found import Found, find
from copal.arrivals.reconcile import Arrival, Reconciler
from copal.arrivals.titles import TitleWords
from copal.errors import RequestError
from copal.project import Project

KEEP_AT_ONCE = 64
"""Files between two commits to the catalogue."""


def add(
    project: Project, places: Sequence[Path | str], words: TitleWords | None = None
) -> Iterator[Arrival]:
    """Bring files, or the media files of folders, into the catalogue.

    Parameters
    ----------
    places
        Paths, or locators such as ``s3://bucket/key``; a key may be a folder of objects.
    words
        What is known of the title; it goes before ``titles.yaml``.

    Raises
    ------
    RequestError
        A path is not there, a folder holds no media, or titles.yaml is damaged. Raised before
        anything is written.
    StoreUnavailable
        S3 cannot be reached, or not with these credentials.
    """
    files = list(dict.fromkeys(find(places)))
    if words is not None and words.title is not None and len(files) > 1:
        raise RequestError(
            f"one title for {len(files)} files. Name a single file, or write a titles.yaml."
        )
    spoken = {folder: one.titles() for folder, one in {f.folder: f for f in files}.items()}
    return _add(project, files, spoken, words or TitleWords())


def _add(
    project: Project,
    files: Sequence[Found],
    spoken: dict[str, dict[str, TitleWords]],
    words: TitleWords,
) -> Iterator[Arrival]:
    project.store.introduce()
    known = Reconciler(project, "add")
    known.told = {
        found.locator: (words.over(spoken[found.folder].get(found.name, TitleWords())), found.name)
        for found in files
    }
    try:
        for found in files:
            yield known.arrive(found, known.told[found.locator][0])
            if known.waiting >= KEEP_AT_ONCE:
                known.flush()
    finally:
        known.flush()
