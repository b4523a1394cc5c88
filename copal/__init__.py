"""Copal keeps media features true: declared, resolved, computed once, stored with their version."""

__version__ = "0.1.0"
