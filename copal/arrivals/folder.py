"""Hints from folders that are watched: a file counts once it is whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from copal.arrivals.found import file_in, files_in, is_media_name
from copal.arrivals.hints import Hint
from copal.arrivals.reconcile import Arrival
from copal.arrivals.titles import FILE_NAME
from copal.arrivals.whole import is_open_for_writing, what_else_it_is, what_it_lacks
from copal.errors import RequestError
from copal.objects import FileLocator

log = structlog.get_logger("copal.arrivals")

SETTLE_SECONDS = 1.0
"""How long a file must rest where nobody can tell whether it is still open."""
CLOSED_SECONDS = 0.3
"""How long it must rest when nobody has it open for writing."""
TRUST_SECONDS = 30.0
"""After resting so long, a file that does not hold what it promises is looked at as it is; one that
nobody has open may have rested before it was seen."""
TELL_SECONDS = 60.0
"""How often a file that is still being written is told of; the time doubles each time."""
TICK_SECONDS = 0.1
AGAIN_SECONDS = 5.0
AT_ONCE = 50
_WRITTEN = "still being written"


@dataclass(slots=True)
class _Waiting:
    """A path where something happened."""

    since: float
    state: tuple[int, int, int] | None
    """Size, time of modification, inode; None when nothing is there."""
    first: float
    tell_at: float


class Folders:
    """Folders on this machine, as a source of hints."""

    name = "folder"

    def __init__(
        self,
        folders: Sequence[Path],
        stop: threading.Event,
        *,
        settle_seconds: float = SETTLE_SECONDS,
        tell_seconds: float = TELL_SECONDS,
        polling: bool = False,
    ) -> None:
        """Begin to watch.

        Parameters
        ----------
        polling
            Look at every file again and again, as network file systems want it.

        Raises
        ------
        RequestError
            One of them is no folder.
        """
        for folder in folders:
            if not folder.is_dir():
                raise RequestError(f"{folder}: no such folder.")
        self.folders = [(folder.absolute(), folder.resolve()) for folder in folders]
        self.stop = stop
        self.settle_seconds = settle_seconds
        self.tell_seconds = tell_seconds
        self.waiting: dict[Path, _Waiting] = {}
        self.ignored: set[Path] = set()
        """Paths that were told as ignored, and still are there."""
        self._lock = threading.Condition()
        self._begun = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, args=(polling,), name="watch", daemon=True
        )
        self._thread.start()
        self._begun.wait(10)

    def _watch(self, polling: bool) -> None:
        from watchfiles import watch

        while not self.stop.is_set():
            try:
                for changes in watch(
                    *(folder for folder, _ in self.folders), stop_event=self.stop, debounce=200,
                    step=50, rust_timeout=100, yield_on_timeout=True, force_polling=polling,
                    raise_interrupt=False, watch_filter=None, ignore_permission_denied=True,
                ):  # fmt: skip
                    self._begun.set()
                    self.expect(Path(path) for _, path in changes)
            except (OSError, RuntimeError) as exc:  # a folder was removed, or too many are watched
                log.warning("folder.not_watched", error=str(exc), again_in_seconds=5)
                self._begun.set()
                self.stop.wait(5)

    def expect(self, paths: Iterable[Path], after_seconds: float = 0.0) -> None:
        """Something may have happened at these paths; they are looked at after a while."""
        now = time.monotonic() + after_seconds
        with self._lock:
            for path in paths:
                for each in self._files(path):
                    if each not in self.waiting:
                        tell_at = now + self.tell_seconds
                        self.waiting[each] = _Waiting(now, _state(each), now, tell_at)
            self._lock.notify()

    def _files(self, path: Path) -> Iterator[Path]:
        """Files that a change of one path is about: itself, or what lies in it or beside it."""
        folder = next((f for f, _ in self.folders if path.is_relative_to(f)), None)
        if folder is None or any(p.startswith(".") for p in path.relative_to(folder).parts):
            return
        if path.name == FILE_NAME:  # what people say of the files beside it has changed
            yield from (each for each in path.parent.glob("*") if is_media_name(each.name))
        elif path.is_dir() and not path.is_symlink():
            yield from (each.path for each in files_in(path))
        elif is_media_name(path.name) or not path.exists():
            if not path.exists() and not path.is_symlink():
                self.ignored.discard(path)
            yield path
        else:
            self._ignore(path, "no media by its name")

    def _ignore(self, path: Path, note: str) -> bool:
        """Log what is passed over, once; whether this was the first time."""
        if path in self.ignored:
            return False
        self.ignored.add(path)
        # Names may hold bytes that are no UTF-8, and a log line may not.
        log.info("arrival.ignored", locator=_link(path), note=note)
        return True

    def hints(self) -> list[Hint]:
        """Files that are whole by now, and paths where nothing is any more."""
        with self._lock:
            self._lock.wait(TICK_SECONDS if self.waiting else 0.5)
            now = time.monotonic()
            found: list[Hint] = []
            for path, waiting in list(self.waiting.items()):
                if len(found) >= AT_ONCE:
                    break
                found += self._hint(path, waiting, now)
        return found

    def _hint(self, path: Path, waiting: _Waiting, now: float) -> list[Hint]:
        state = _state(path)
        if state != waiting.state:
            waiting.state, waiting.since = state, now
        if state is not None and (other := what_else_it_is(path)):
            del self.waiting[path]  # never opened: a pipe would make the watcher wait for good
            note = f"{path.name}: {other}, not a file."
            if not self._ignore(path, note):
                return []
            return [Hint(path, decided=Arrival(_link(path), "ignored", note=note))]
        why = self._why_wait(path, waiting, now)
        if not why:
            del self.waiting[path]
            if state is None:
                return [Hint(path)]
            folder, root = next(each for each in self.folders if path.is_relative_to(each[0]))
            found = file_in(folder, root, path)
            return [] if found is None else [Hint(path, found)]
        if state is not None and now > waiting.tell_at and path not in self.ignored:
            seconds = now - waiting.first
            waiting.tell_at = now + 2 * seconds
            size = f"{state[0] / 1e6:,.1f} MB"
            note = f"{path.name}: {why} after {seconds:.0f} s ({size} by now)."
            locator = str(FileLocator(path.resolve()))
            return [Hint(path, decided=Arrival(locator, "waiting", note=note))]
        return []

    def _why_wait(self, path: Path, waiting: _Waiting, now: float) -> str:
        """Why a path is not looked at yet; empty once it is to be."""
        rested = now - waiting.since
        if waiting.state is None:  # a file that was renamed is seen at its new place first
            return "" if rested > self.settle_seconds + CLOSED_SECONDS else "gone"
        if rested < min(CLOSED_SECONDS, self.settle_seconds):
            return _WRITTEN
        writing = is_open_for_writing(path)
        if writing or (writing is None and rested < self.settle_seconds):
            return _WRITTEN
        if path.is_symlink() and not path.exists():
            self._ignore(path, "a link that leads nowhere")
        age = time.time() - waiting.state[1] / 1e9
        if rested > TRUST_SECONDS or (writing is False and age > TRUST_SECONDS):
            return ""
        lacks = what_it_lacks(path)
        return f"incomplete ({lacks}), and nobody seems to write to it," if lacks else ""

    def settle(self, done: Sequence[Hint], undone: Sequence[Hint]) -> None:
        """What could not be written down is looked at again."""
        if undone:
            paths = [hint.place for hint in undone if isinstance(hint.place, Path)]
            self.ignored.difference_update(paths)
            self.expect(paths, after_seconds=AGAIN_SECONDS)

    def close(self) -> None:
        """Watch no more."""
        self.stop.set()
        self._thread.join(5)


def _link(path: Path) -> str:
    """Locator of a path itself, not of what it may be a link to."""
    return str(FileLocator(path.parent.resolve() / path.name))


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat() if path.is_symlink() else path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
