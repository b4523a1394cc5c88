"""Fuzz runs: many seeded cases of what nobody would write by hand."""
