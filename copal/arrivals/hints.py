"""A hint: somebody says that something may have happened at a place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from copal.arrivals.found import Found, FoundObject
from copal.arrivals.reconcile import Arrival
from copal.errors import MissingValue
from copal.objects import FileLocator, S3Locator
from copal.objects.s3 import head


@dataclass(frozen=True, slots=True)
class Hint:
    """Something may have happened at a place; what is there now decides."""

    place: S3Locator | Path | None = None
    found: Found | None = None
    """What is there, where the one who hints has looked."""
    message_id: str | None = None
    decided: Arrival | None = None
    """What there is to say where nothing need be looked at: a message that means nothing, a bucket
    that is not allowed, a file that is still being written."""

    @property
    def locator(self) -> str:
        """Where it is."""
        if self.decided is not None:
            return self.decided.locator
        if self.found is not None:
            return self.found.locator
        if isinstance(self.place, Path):
            return str(FileLocator(self.place.parent.resolve() / self.place.name))
        return str(self.place)

    def look(self) -> Found | None:
        """What is there now, or None.

        Raises
        ------
        StoreUnavailable
            S3 cannot be asked.
        """
        if self.found is not None or not isinstance(self.place, S3Locator):
            return self.found
        try:
            state = head(self.place)
        except MissingValue:
            return None
        return FoundObject(self.place, state.etag, state.size_bytes)


class Source(Protocol):
    """Somebody who hints."""

    @property
    def name(self) -> str:
        """``folder`` or ``sqs``, as rows of arrivals call it."""

    def hints(self) -> Sequence[Hint]:
        """What is hinted at now; waits a moment for it, and may have none."""

    def settle(self, done: Sequence[Hint], undone: Sequence[Hint]) -> None:
        """These hints were decided and written down; those must come again."""

    def close(self) -> None:
        """Hint no more, and let go of what was not settled."""
