"""A process that ends when the one that started it does, however that one ended.

Metaflow leaves its tasks behind when its scheduler is killed. The flow and each of its tasks call
``end_with_parent`` first, so a driver that dies takes all of them with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time

from copal.placement import PARENT

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.5


def end_with_parent() -> None:
    """From now on this process ends with the one named by ``$COPAL_PARENT``, if there is one.

    Processes that it starts itself are told to end with it.
    """
    named = os.environ.get(PARENT)
    if not named or int(named) == os.getpid():
        return
    os.environ[PARENT] = str(os.getpid())
    parent = int(named)
    if sys.platform == "linux" and os.getppid() == parent:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:
            return
    # Another system, something in between, or it ended while we began.
    if not _is_there(parent):
        os.kill(os.getpid(), signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while _is_there(parent):
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _is_there(pid: int) -> bool:
    with contextlib.suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
