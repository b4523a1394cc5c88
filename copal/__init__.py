"""Copal keeps media features true: declared, resolved, computed once, stored with their version.

>>> import copal
>>> lake = copal.open()

The names listed here are promises; others may move.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from copal.lake import Lake, open

__version__ = "0.1.0"

__all__ = ["Lake", "__version__", "open"]


def __getattr__(name: str) -> Any:
    """The lake on first use: a feature file that imports ``copal.feature`` needs none of it."""
    if name in ("Lake", "open"):
        from copal import lake

        return getattr(lake, name)
    raise AttributeError(f"module 'copal' has no attribute '{name}'")
