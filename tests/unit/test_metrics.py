"""What is counted for Prometheus."""

from __future__ import annotations

import subprocess
import sys
import urllib.request

import pytest
from prometheus_client import REGISTRY

from copal import metrics
from copal.errors import RequestError


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_cells_are_counted_from_their_log_lines():
    """
    A line that says how a cell ended is counted once, with its seconds; any other is passed over.
    """
    stored = value("copal_cells_total", feature="tried", outcome="stored")
    for event in (
        {"event": "cell.started", "feature": "tried"},
        {"event": "cell.stored", "feature": "tried", "elapsed_seconds": 2.0},
        {"event": "cell.carried", "feature": "tried", "elapsed_seconds": 0.0},
        {"event": "run.ended", "feature": "tried"},
        {},
    ):
        metrics.hear(event)
    assert value("copal_cells_total", feature="tried", outcome="stored") == stored + 1
    assert value("copal_cells_total", feature="tried", outcome="started") == 0
    assert value("copal_compute_seconds_count", feature="tried") == stored + 1
    assert value("copal_compute_seconds_sum", feature="tried") == 2 * (stored + 1)


def test_many_threads_may_count_first():
    """
    Threads that count at the same moment, the first ever, make the metrics once between them.
    """
    script = """
import threading
from copal import metrics
gate, failed = threading.Barrier(8), []
def count():
    gate.wait()
    try:
        metrics.count_arrival("tried")
    except BaseException as exc:
        failed.append(repr(exc))
threads = [threading.Thread(target=count) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
assert not failed, failed
assert 'copal_arrivals_total{decision="tried"} 8.0' in metrics.text()
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_metrics_are_served_until_closed():
    """
    Arrivals and the queue's lag are read over HTTP; a port that is taken is named.
    """
    metrics.count_arrival("tried")
    metrics.set_queue_lag(1.5)
    served = metrics.serve(0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics") as answer:
            text = answer.read().decode()
        with pytest.raises(RequestError, match=f"--metrics-port {served.port}: cannot be served"):
            metrics.serve(served.port)
    finally:
        served.close()
    assert 'copal_arrivals_total{decision="tried"} 1.0' in text
    assert "copal_queue_lag_seconds 1.5" in text
    assert text.splitlines()[0] in metrics.text()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=1)
