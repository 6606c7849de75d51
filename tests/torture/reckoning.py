"""The reckoning: what must hold when the faults have stopped, one check after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.torture import checks, exchanges
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
    news: str
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
        events = list(read_events(self.log, names.events, self.partitions))
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
        self._check_exchanges(events, state)
        deadletters = checks.check_deadletters(self.log, names.deadletters, self.partitions, ledger)
        check("nothing was put aside but copies of signals and updates", deadletters)

    def _check_exchanges(self, events: list[dict[str, Any]], state: State) -> None:
        """What runs have to do with one another, with who sends them updates, and with who reads what they publish."""
        check, ledger = self.report.check, self.ledger
        histories = {workflow_id: history for workflow_id, _, history in state.runs()}
        check("each child counts once", exchanges.check_children(histories, ledger))
        check(
            "each update is applied once, and its replies are true",
            exchanges.check_updates(histories, ledger),
        )
        self.report.note("signals_carried", exchanges.carried_count(histories, ledger))
        records = exchanges.read_committed(self.address, self.news, self.partitions)
        check("what is published is there once", exchanges.check_published(records, ledger))
        check(
            "chains of continued runs lose no signal",
            exchanges.check_chains(events, histories, ledger),
        )


async def _when_quiet(look: Callable[[], list[str]]) -> list[str]:
    """The problems that remain: an offset is committed, a partition is served, a moment later."""
    deadline_s = time.monotonic() + _QUIET_TIMEOUT_S
    while True:
        problems = await asyncio.to_thread(look)
        if not problems or time.monotonic() > deadline_s:
            return problems
        await asyncio.sleep(_LOOK_AGAIN_S)
