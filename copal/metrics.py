"""What a long-running Copal counts for Prometheus, and the port where it tells it.

Cells run in processes of their own, so they are counted by the one who follows their log lines.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from copal.errors import RequestError

BUCKETS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
"""Bounds of the histogram of seconds: a cell takes from a tenth of a second to hours."""


_making = threading.Lock()
"""The runs of a watcher are followed by threads of their own, and a name is registered once."""


def _metrics() -> dict[str, Any]:
    """The metrics themselves, made when something is first counted."""
    with _making:
        return _made()


@functools.cache
def _made() -> dict[str, Any]:
    from prometheus_client import Counter, Gauge, Histogram

    return {
        "cells": Counter("copal_cells", "Cells that ended, by outcome.", ["feature", "outcome"]),
        "seconds": Histogram(
            "copal_compute_seconds", "Wall seconds of one cell.", ["feature"], buckets=BUCKETS
        ),
        "arrivals": Counter("copal_arrivals", "Arrivals, by decision.", ["decision"]),
        "lag": Gauge(
            "copal_queue_lag_seconds", "Age of the oldest arrival that nothing was decided on."
        ),
    }


def hear(event: Mapping[str, Any]) -> None:
    """Count a log line, when it says how a cell ended; others are passed over."""
    kind, _, outcome = str(event.get("event", "")).partition(".")
    if kind != "cell" or outcome == "started":
        return
    feature = str(event.get("feature", ""))
    _metrics()["cells"].labels(feature, outcome).inc()
    seconds = event.get("elapsed_seconds")
    if seconds is not None and outcome in ("stored", "empty", "failed"):
        _metrics()["seconds"].labels(feature).observe(float(seconds))


def count_arrival(decision: str) -> None:
    """Count one arrival."""
    _metrics()["arrivals"].labels(decision).inc()


def set_queue_lag(seconds: float) -> None:
    """Say how long the oldest waiting arrival has waited; 0 when none waits."""
    _metrics()["lag"].set(seconds)


def text() -> str:
    """All that was counted, as Prometheus reads it."""
    from prometheus_client import generate_latest

    _metrics()
    return generate_latest().decode()


@dataclass(frozen=True, slots=True)
class Served:
    """The metrics at a port, until closed."""

    port: int
    server: Any
    thread: threading.Thread

    def close(self) -> None:
        """Free the port."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve(port: int, address: str = "127.0.0.1") -> Served:
    """Serve the metrics over HTTP; port 0 takes any that is free.

    Raises
    ------
    RequestError
        The port cannot be had.
    """
    from prometheus_client import start_http_server

    _metrics()
    try:
        server, thread = start_http_server(port, addr=address)
    except (OSError, OverflowError) as exc:
        raise RequestError(
            f"--metrics-port {port}: cannot be served at {address}: {exc}. Name another."
        ) from exc
    return Served(server.server_address[1], server, thread)
