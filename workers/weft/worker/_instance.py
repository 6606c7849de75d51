"""Which worker this is: a name that a restart finds again.

Kafka gives a static member its partitions back at once when it returns under the same instance ID. In a StatefulSet
that is the pod's name; without one it is the host's name with the first free slot, held by a lock file, so that the
second worker of a host gets a slot of its own and a restarted one its former slot.
"""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

from weft.errors import UsageError

_SLOTS_MAX = 1024


class InstanceSlot:
    """Holds an instance ID for as long as the process lives (the lock goes with it, also after kill -9)."""

    def __init__(self, namespace: str, instance_id: str | None = None) -> None:
        self._lock_fd = -1
        self.instance_id = instance_id or self._first_free(namespace)

    def release(self) -> None:
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _first_free(self, namespace: str) -> str:
        host = socket.gethostname()
        folder = Path(tempfile.gettempdir()) / f"weft-slots-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for slot in range(_SLOTS_MAX):
            lock_fd = os.open(folder / f"{namespace}-{slot}.lock", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock_fd)
                continue
            self._lock_fd = lock_fd
            return f"{host}-{slot}"
        raise UsageError(
            f"all {_SLOTS_MAX} worker slots of this host are taken for namespace {namespace!r}: give --instance-id"
        )
