"""The reckoning: what must hold when the faults have stopped, one check after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.torture import checks
from tests.torture.accounts import Account
from tests.torture.events import read_events
from tests.torture.ledger import Ledger
from tests.torture.processes import Worker
from tests.torture.report import Report
from tests.torture.state import State, check_histories, compare_memory
from weft.log import Log
from weft.topics import Namespace

_QUIET_TIMEOUT_S = 90.0
_LOOK_AGAIN_S = 1.0


@dataclass
class Reckoning:
    """Everything that the checks look at."""

    log: Log
    address: str
    namespace: Namespace
    partitions: int
    workers: Sequence[Worker]
    ledger: Ledger
    report: Report

    async def reckon(self, accounts: Sequence[Account], settle_s: float) -> None:
        """The accounts are still open, all else has ended."""
        await self._compare_memory("runs are open")
        async with asyncio.timeout(settle_s):
            await asyncio.gather(*(account.close() for account in accounts))
        await self._compare_memory("all have ended")
        await asyncio.to_thread(self._check_log)

    async def _compare_memory(self, when: str) -> None:
        offsets = checks.Offsets(self.log, self.address, self.namespace, self.partitions)
        # First: as long as something is under way, memory is ahead of the log.
        self.report.check(
            f"offsets are committed to the end of the input topics ({when})",
            await _when_quiet(offsets.problems),
        )
        self.report.check(
            f"workers hold what a rebuild gives ({when})", await _when_quiet(self._memory_problems)
        )

    def _memory_problems(self) -> list[str]:
        held = {
            worker.instance_id: worker.current.held()
            for worker in self.workers
            if worker.role == "workflows" and worker.current is not None
        }
        return compare_memory(State(self.log, self.namespace, self.partitions), held)

    def _check_log(self) -> None:
        check, ledger, names = self.report.check, self.ledger, self.namespace
        events = read_events(self.log, names.events, self.partitions)
        check(
            "each run has one start and one right end on ns.events",
            checks.check_events(events, ledger),
        )
        check("clients were told what happened", checks.check_told(ledger))
        state = State(self.log, names, self.partitions)
        check(
            "histories are whole and right, each signal is in them once",
            check_histories(state, ledger),
        )
        check("no run is blocked", state.blocked())
        deadletters = checks.check_deadletters(self.log, names.deadletters, self.partitions, ledger)
        check("nothing was put aside but copies of signals", deadletters)


async def _when_quiet(look: Callable[[], list[str]]) -> list[str]:
    """The problems that remain: an offset is committed, a partition is served, a moment later."""
    deadline_s = time.monotonic() + _QUIET_TIMEOUT_S
    while True:
        problems = await asyncio.to_thread(look)
        if not problems or time.monotonic() > deadline_s:
            return problems
        await asyncio.sleep(_LOOK_AGAIN_S)
