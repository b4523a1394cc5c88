"""The command line: each verb parses, calls the Python function of the same name, and prints."""

from copal.cli.command import main

__all__ = ["main"]
