"""Logs of verbs that run for long: pretty on a terminal, one JSON object a line otherwise."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from copal import metrics


def tell_logs() -> Callable[[Mapping[str, Any]], None]:
    """Log to stderr from now on, and count cells; returns a listener for lines of other processes.

    Lines of this process are counted as they pass, those of others when the listener gets them.
    """
    import structlog

    pretty = sys.stderr.isatty()
    render: Any = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()

    def count(logger: object, method: str, event: Any) -> Any:
        metrics.hear(event)
        return event

    structlog.configure(
        processors=[
            count,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )

    def retell(event: Mapping[str, Any]) -> None:
        metrics.hear(event)
        if event.get("level") == "debug":
            return
        if pretty:
            print(render(None, "info", dict(event)), file=sys.stderr, flush=True)
        else:
            print(json.dumps(event, default=str), file=sys.stderr, flush=True)

    return retell
