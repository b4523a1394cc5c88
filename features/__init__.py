"""Copal's own features: one file each."""
