"""Tests of workflows in virtual time, without a broker: `from weft.testing import Environment, replay`.

With pytest, the fixture `env` is an `Environment`. The core, the machine, the partition and the runner of activities
are those of production; only the log, the clock and the threads are not there. docs/testing.md shows how it is used.
"""

from weft.testing._crash import crash_everywhere
from weft.testing._environment import Environment
from weft.testing._errors import CrashError, StuckError
from weft.testing._fake_children import ChildCall
from weft.testing._fakes import Call
from weft.testing._handle import Handle
from weft.testing._published import Published
from weft.testing._replay import History, check, read_histories, replay
from weft.testing._store_contract import StoreContract, state_of

__all__ = [
    "Call",
    "ChildCall",
    "CrashError",
    "Environment",
    "Handle",
    "History",
    "Published",
    "StoreContract",
    "StuckError",
    "check",
    "crash_everywhere",
    "read_histories",
    "replay",
    "state_of",
]
