"""A lock on a file, which the system lets go of when its process ends in whatever way."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self


class Lock:
    """A held lock on a file, alone or together with others; let go of when it is dropped."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path, *, alone: bool, wait: bool = True) -> Self:
        """The lock, once nobody else is in the way.

        Raises
        ------
        BlockingIOError
            Somebody is, and ``wait`` is false.
        """
        kind = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | (0 if wait else fcntl.LOCK_NB)
        while True:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                continue  # the folder was removed just now
            try:
                fcntl.flock(descriptor, kind)
                # Whoever removes a copy removes its lock too: this one may be of the past.
                if path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return cls(descriptor)
                os.close(descriptor)
            except FileNotFoundError:
                os.close(descriptor)
            except BaseException:
                os.close(descriptor)
                raise

    def share(self) -> None:
        """From alone to together with others. Somebody may get between."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        """Let go; more than once does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()
