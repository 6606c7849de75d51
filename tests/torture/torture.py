"""The torture itself: a fleet of workers on a cluster, lanes of work, and faults; then the reckoning."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.kafka.broker import Cluster

from tests.torture.accounts import Account
from tests.torture.broker_faults import BrokerFaults, wait_until_whole
from tests.torture.cases import CASES
from tests.torture.checks import repeated_activities
from tests.torture.events import Tail
from tests.torture.hand import Hand
from tests.torture.keep import keep
from tests.torture.ledger import Ledger, Stall
from tests.torture.processes import Place, Worker
from tests.torture.producers import PlainProducers
from tests.torture.reckoning import Reckoning
from tests.torture.report import Progress, Report, say
from tests.torture.worker_faults import WorkerFaults
from weft.client import Client
from weft.log import Log, TopicSpec, open_log
from weft.topics import Namespace, catalogue, create

PARTITIONS = 6
WORKFLOW_WORKERS, ACTIVITY_WORKERS = 3, 2
LANES = 24
"""Workloads at a time; as fast as they end, the next ones begin."""
MEAN_S = 5.0
"""Between two faults of workers."""
_READY_TIMEOUT_S = 120.0
_WARM_UP_S = 10.0
_QUIET_S = 5.0
_TICK_S = 0.1
_PROBLEMS_MAX = 20
_COMPACT_SOON = {
    # So that compaction and the going of tombstones happen within the minutes that a torture has.
    "segment.ms": "15000",
    "min.cleanable.dirty.ratio": "0.05",
    "delete.retention.ms": "60000",
}
_LOG_MARKS = {
    "commits_failed": "a commit failed (",
    "fenced": "Another owner took over",
    "commits_unknown": "It may have been committed or not",
    "former_owners_fenced": "which left transactions open on",
    "partitions_lost": "lost to another worker",
    "takeovers": " is served: ",
}


@dataclass(frozen=True, slots=True)
class Settings:
    minutes: float
    seed: int
    folder: Path
    lanes: int
    mean_s: float
    bounce: bool = True
    """Brokers too."""
    settle_s: float = 240.0
    """What is open when the faults stop must end within this time."""


class Torture:
    """One torture of one cluster. `run` returns whether all holds."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self.report = Report()
        self._settings = settings
        self._cluster = cluster
        self._namespace = Namespace(f"torture-{secrets.token_hex(4)}")
        self._news = f"{self._namespace.name}-news"
        place = Place(cluster.address, self._namespace.name, settings.folder)
        roles = ["workflows"] * WORKFLOW_WORKERS + ["activities"] * ACTIVITY_WORKERS
        self._workers = [
            Worker(role, f"{role}-{number}", place) for number, role in enumerate(roles, 1)
        ]
        self._worker_faults = WorkerFaults(
            self._workers, f"{settings.seed} workers", settings.mean_s
        )
        self._broker_faults = BrokerFaults(cluster, f"{settings.seed} brokers")
        self._ledger = Ledger()
        self._stall = Stall()
        self._progress = Progress()
        self._lane_errors: list[str] = []
        self._cases: Counter[str] = Counter()

    async def run(self) -> bool:
        log = await asyncio.to_thread(self._open_log)
        try:
            for worker in self._workers:
                worker.start()
            async with Client(log, namespace=self._namespace.name) as client:
                self._tail = Tail(log, self._namespace.events, PARTITIONS, self._stall)
                producers = PlainProducers(self._cluster.address, self._namespace.signals)
                try:
                    await self._torment(log, client, producers)
                finally:
                    await asyncio.to_thread(producers.close)
                    await asyncio.to_thread(self._tail.close)
            if self.report.failed:
                await asyncio.to_thread(
                    keep, self._cluster, log, self._namespace, PARTITIONS, self._settings.folder
                )
            return not self.report.failed
        finally:
            for worker in self._workers:
                worker.end()
            log.close()

    def _open_log(self) -> Log:
        log = open_log(kafka=self._cluster.address)
        replication = len(self._cluster.brokers)
        specs = catalogue(self._namespace, partitions=PARTITIONS, replication=replication)
        admin = log.admin()
        create(
            admin,
            [
                replace(spec, config={**spec.config, **_COMPACT_SOON}) if spec.compacted else spec
                for spec in specs
            ],
        )
        admin.create_topics([TopicSpec(self._news, PARTITIONS, replication=replication)])
        admin.close()
        return log

    async def _torment(self, log: Log, client: Client, producers: PlainProducers) -> None:
        def hand(name: str) -> Hand:
            draw = random.Random(f"{self._settings.seed} {name}")
            return Hand(draw, client, producers, self._tail, self._ledger, self._news)

        accounts = [Account(hand(f"account {number}")) for number in range(PARTITIONS)]
        async with asyncio.timeout(_READY_TIMEOUT_S):
            await asyncio.gather(*(account.open() for account in accounts))
        hands = [hand(f"lane {number}") for number in range(self._settings.lanes)]
        await self._work(hands, accounts)
        reckoning = Reckoning(
            log,
            self._cluster.address,
            self._namespace,
            self._news,
            PARTITIONS,
            self._workers,
            self._ledger,
            self.report,
        )
        try:
            await reckoning.reckon(accounts, self._settings.settle_s)
        except Exception as error:  # noqa: BLE001  # a check that breaks does not hold
            self.report.check("the checks can be made", [f"{type(error).__name__}: {error}"])

    async def _work(self, hands: Sequence[Hand], accounts: Sequence[Account]) -> None:
        stopping = asyncio.Event()
        lanes = [asyncio.create_task(self._lane(hand, stopping)) for hand in hands]
        lanes += [asyncio.create_task(account.serve(stopping)) for account in accounts]
        await self._pass(_WARM_UP_S)
        self._stall.longest_s = 0.0
        self._worker_faults.start()
        if self._settings.bounce:
            self._broker_faults.start()
        await self._pass(self._settings.minutes * 60)
        say("the faults stop; what is open must end now")
        stopped = asyncio.create_task(asyncio.to_thread(self._stop_faults))
        while not stopped.done():
            await self._pass(_TICK_S)
        await stopped
        # A while without faults: what workers hold then comes of turns, not only of a rebuild.
        await self._pass(_QUIET_S)
        stopping.set()
        await self._settle(lanes)

    async def _lane(self, hand: Hand, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            case = hand.draw.choices(list(CASES), list(CASES.values()))[0]
            self._ledger.asked += 1
            try:
                await case(hand)
            except Exception as error:  # noqa: BLE001  # whatever a workload met with is a finding
                self._lane_errors.append(f"{case.__name__}: {type(error).__name__}: {error}")
            self._ledger.done += 1
            self._cases[case.__name__] += 1
            await asyncio.sleep(hand.draw.uniform(0, 0.5))

    async def _pass(self, seconds: float) -> None:
        """Let time pass, and watch."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            await asyncio.sleep(_TICK_S)
            ledger = self._ledger
            self._stall.look(work_is_open=ledger.asked > ledger.done)
            faults = self._worker_faults.counts + self._broker_faults.counts
            self._progress.maybe(
                f"{ledger.runs} runs, {self._tail.ended} ended, {ledger.asked - ledger.done} workloads open, "
                f"{ledger.signals_sent} signals; longest stall {self._stall.longest_s:.1f} s; "
                f"{', '.join(f'{name} {count}' for name, count in sorted(faults.items()))}"
            )

    def _stop_faults(self) -> None:
        self._worker_faults.stop()
        if self._settings.bounce:
            self._broker_faults.stop()
        self._worker_faults.heal()
        self._cluster.restart()
        wait_until_whole(self._cluster)

    async def _settle(self, lanes: Sequence[asyncio.Task[None]]) -> None:
        deadline_s = time.monotonic() + self._settings.settle_s
        while not all(lane.done() for lane in lanes) and time.monotonic() < deadline_s:
            await self._pass(_TICK_S)
        stuck = [lane for lane in lanes if not lane.done()]
        for lane in stuck:
            lane.cancel()
        ended = await asyncio.gather(*lanes, return_exceptions=True)
        self._lane_errors += [repr(error) for error in ended if isinstance(error, Exception)]
        problems = [f"{len(stuck)} of {len(lanes)} lanes still wait"] if stuck else []
        problems += [
            f"{workflow_id}: nobody heard of its end"
            for workflow_id in self._ledger.expected
            if workflow_id not in self._ledger.told
        ]
        check = self.report.check
        check("all that was open ended when the faults had stopped", problems[:_PROBLEMS_MAX])
        check("no workload met with an error", self._lane_errors[:_PROBLEMS_MAX])
        check("no worker ended by itself", self._worker_faults.problems)
        check("brokers came back", self._broker_faults.problems)

    def sums(self) -> dict[str, object]:
        """The report's last line."""
        ledger, folder = self._ledger, self._settings.folder
        logs = [file.read_text(errors="replace") for file in folder.glob("*s-*.log")]
        attempts, repeated = repeated_activities(self._workers[0].place.notes)
        return {
            "holds": not self.report.failed,
            "failed": self.report.failed,
            "seed": self._settings.seed,
            "minutes": self._settings.minutes,
            "runs": ledger.runs,
            "workloads": dict(self._cases),
            "signals": ledger.signals_sent,
            "duplicate_signals": ledger.duplicates_sent,
            "updates": sum(map(len, ledger.updates.values())),
            "children": sum(map(len, ledger.children.values())),
            "published": len(ledger.published),
            "continued_runs": sum(ledger.chains.values()) - len(ledger.chains),
            "faults": dict(
                sorted((self._worker_faults.counts + self._broker_faults.counts).items())
            ),
            "activities": attempts,
            "activities_run_again": repeated,
            "longest_stall_s": round(self._stall.longest_s, 1),
            **{name: sum(log.count(mark) for log in logs) for name, mark in _LOG_MARKS.items()},
            "checks": sum("check" in line for line in self.report.lines),
        }

    def faults(self) -> list[dict[str, object]]:
        """What befell whom, in order."""
        happened = [*self._worker_faults.happened, *self._broker_faults.happened]
        return sorted(happened, key=lambda fault: fault["at_s"])
