"""What a watcher starts in place of a run of its own: it has a deployed flow start."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

AGAIN = 3
"""Exit code after which the watcher asks again."""


def main(arguments: Sequence[str]) -> int:
    """Wait for a line, then announce; tell of it in a line of JSON."""
    from copal.errors import CopalError
    from copal.flow.announce import announce

    where, event = arguments
    if not sys.stdin.readline():
        return 0
    try:
        found = announce(where, event)
    except CopalError as exc:
        said = {"event": "flow.not_started", "level": "error", "error": str(exc)}
        click.echo(json.dumps(said))
        return AGAIN
    said = {"event": "flow.started", "level": "info", "where": where, "id": found}
    click.echo(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
