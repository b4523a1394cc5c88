"""The store: values of features in versioned tables, files beside them, and the catalogue."""

from copal.store.base import (
    Attempt,
    Publication,
    Store,
    StoredValue,
    TableIndex,
    ValueTable,
)
from copal.store.catalog import Catalog
from copal.store.folder import Folder, open_folder
from copal.store.lance_store import LanceStore
from copal.store.memory import MemoryStore

__all__ = [
    "Attempt",
    "Catalog",
    "Folder",
    "LanceStore",
    "MemoryStore",
    "Publication",
    "Store",
    "StoredValue",
    "TableIndex",
    "ValueTable",
    "open_folder",
]
