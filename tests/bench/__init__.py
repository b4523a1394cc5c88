"""Benchmarks: each answers one question, runs alone, prints a table, and fails nothing."""
