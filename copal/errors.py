"""Everything that can go wrong, cut by who can act on it.

CopalError
├─ RegistryError    the author of registry.yaml     UnknownFeature, DependencyCycle, BadParams
├─ RequestError     whoever typed the command       UnknownTitle, PlanOutdated
├─ MediaError       whoever supplied the file       UnreadableMedia, UnsupportedMedia,
│                                                   MissingMedia
├─ FeatureError     the author of the feature       ComputeFailed, BrokenContract, MissingWeights
└─ StoreError       the operator, or time           WriteConflict, StoreUnavailable, WorkerDied,
                                                    MissingValue, DamagedTable,
                                                    NewerStore, DeployFailed
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class CopalError(Exception):
    """The root: its text says where, what, and what to do."""

    retryable: ClassVar[bool] = False
    """Whether the same cell may succeed when it is tried again unchanged."""


class RegistryError(CopalError):
    """``registry.yaml`` cannot be used as it stands."""


class UnknownFeature(RegistryError):
    """A feature is named that nobody declared."""


class DependencyCycle(RegistryError):
    """Features need each other in a circle."""


class BadParams(RegistryError):
    """A feature is given params that its class does not take."""


class RequestError(CopalError):
    """What was asked for cannot be done as it was asked."""


class UnknownTitle(RequestError):
    """A title or an asset is named that the catalogue does not hold."""


class PlanOutdated(RequestError):
    """A worker sees other recipes than the plan was made with."""


class MediaError(CopalError):
    """A media file cannot be used."""


class UnreadableMedia(MediaError):
    """The bytes are damaged, missing, or no media."""


class UnsupportedMedia(MediaError):
    """The media is sound, but Copal refuses or cannot read this kind."""


class MissingMedia(MediaError):
    """A file is not where the catalogue knows it; it may be put back, or be on its way."""

    retryable = True


class FeatureError(CopalError):
    """A feature's own code did not do what it promised."""


class ComputeFailed(FeatureError):
    """A feature's ``compute`` raised something of its own."""


class BrokenContract(FeatureError):
    """A feature returned rows that it did not declare."""


class MissingWeights(FeatureError):
    """A model's weights are not where the params say."""


class StoreError(CopalError):
    """The store cannot be read or written."""


class WriteConflict(StoreError):
    """Other writers kept winning; a later try may not meet them."""

    retryable = True


class StoreUnavailable(StoreError):
    """The disk is full or the store cannot be reached; nothing was published."""

    retryable = True


class WorkerDied(StoreError):
    """A worker process ended before it could say how its cells went."""

    retryable = True


class MissingValue(StoreError):
    """A value is asked for that was never stored, or was removed."""


class DamagedTable(StoreError):
    """A table's bytes are not what Lance wrote, or some of them are gone."""


class NewerStore(StoreError):
    """The store was written by a Copal that knows more than this one."""


class DeployFailed(StoreError):
    """A cluster did not take the flow: it is not there, gives no permission, or refuses."""


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest known name, or nothing."""
    near = get_close_matches(wrong, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
