"""The order desk on real input, with workers that are killed while it runs.

    python -m examples.orders.demo [--backend embedded|kafka] [--orders N] [--json]

Reads orders.csv, starts a workflow for each order, lets pretended people approve the large ones with plain records,
kills worker processes with -9 and starts them again, and counts at the end. Exit status 0: the sums hold; 1: they do
not, and which orders differ is printed; 2: it could not be run.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from deploy.kafka.broker import BrokerError

from examples.orders.approvals import Answer, answer_for, approval_record
from examples.orders.backends import PARTITIONS, ApprovalLostError, Backend, embedded, kafka
from examples.orders.check import check
from examples.orders.evidence import RunFacts, Told, collect_from_log, load, write_run
from examples.orders.expected import expect
from examples.orders.generate import ORDERS_FILE
from examples.orders.model import Order
from examples.orders.processes import WorkerEndedError, WorkerProcess
from examples.orders.progress import OrderProgress
from examples.orders.reading import OrdersFileError, read_orders
from examples.orders.report import Report, print_report
from examples.orders.workflow import fulfil
from weft.client import Client
from weft.codec import decode_payload, encode_payload
from weft.errors import DeadlineError, WeftError, WorkflowFailedError

WORKFLOW_FILE = Path(__file__).with_name("workflow.py")
IN_FLIGHT_MAX = 100
"""So many orders are on the desk at once."""
START_WAIT_S = 60.0
"""A start is confirmed by a worker, which may have been killed a moment ago."""
SENT_AT_ONCE: dict[Answer, int] = {
    "approve": 1,
    "approve_twice": 2,
    "refuse": 1,
    "late": 0,
    "silent": 0,
}
"""How many approval records follow the start of an order."""
_WATCH_INTERVAL_S = 0.2


class Desk:
    """Brings orders to their end, and kills workers meanwhile as the backend's plan says."""

    def __init__(
        self,
        backend: Backend,
        client: Client,
        workers: list[WorkerProcess],
        progress: OrderProgress,
    ) -> None:
        self.told: list[Told] = []
        self._backend = backend
        self._client = client
        self._workers = workers
        self._progress = progress
        self._kills = list(backend.kills)
        self._unanswered = 0
        self._places = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def serve(self, orders: tuple[Order, ...], time_limit_s: float) -> None:
        """Return when all orders have ended, or the time is over: those that are missing then are lost.

        Raises WorkerEndedError when a worker ends that was not killed.
        """
        self._unanswered = sum(expect(order).category == "timed_out" for order in orders)
        tasks = {
            asyncio.create_task(self._serve_all(orders)),
            asyncio.create_task(self._watch()),
        }
        done, _ = await asyncio.wait(
            tasks, timeout=time_limit_s, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            self._progress.note(f"gave up after {time_limit_s:.0f} s")
        for task in tasks - done:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _serve_all(self, orders: tuple[Order, ...]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for order in orders:
                    group.create_task(self._serve_one(order, len(orders)))
        except* (ApprovalLostError, WeftError) as problems:
            raise problems.exceptions[0] from None

    async def _serve_one(self, order: Order, total: int) -> None:
        async with self._places:
            self.told.append(await self._told(order))
        self._report(total)
        if self._kills and len(self.told) >= self._kills[0][0] * total:
            self._kill(self._workers[self._kills.pop(0)[1]])

    def _report(self, total: int) -> None:
        self._progress.update(len(self.told))
        left = total - len(self.told)
        if 0 < left == self._unanswered:
            self._unanswered = 0
            self._progress.note(f"still open: {left}, whose approval nobody sends in time")

    async def _told(self, order: Order) -> Told:
        """Start the order, answer as its approver would, and wait for its end."""
        answer = answer_for(order.id) if order.needs_approval else "silent"
        run_id = ""
        try:
            handle = await self._client.start(fulfil, order, id=order.id, wait_s=START_WAIT_S)
            run_id = handle.run_id
            for _ in range(SENT_AT_ONCE[answer]):
                self._backend.approve(order.id, approval_record(order.id))
            outcome = await handle.result()
        except (DeadlineError, WorkflowFailedError) as error:
            return Told(order.id, run_id, None, f"{type(error).__name__}: {error}")
        if answer == "late":
            self._backend.approve(order.id, approval_record(order.id))
        return Told(order.id, run_id, decode_payload(encode_payload(outcome)))

    def _kill(self, worker: WorkerProcess) -> None:
        pid = worker.pid
        worker.kill()
        worker.start()
        self._progress.note(
            f"{worker.name} killed with -9 after {len(self.told)} orders (process {pid}), "
            f"started again (process {worker.pid})"
        )

    async def _watch(self) -> None:
        while True:
            for worker in self._workers:
                worker.check_alive()
            await asyncio.sleep(_WATCH_INTERVAL_S)


async def run(backend: Backend, options: argparse.Namespace, folder: Path) -> None:
    """Run the orders and leave the evidence in `folder`."""
    book = read_orders(options.file, options.orders)
    workers = [
        WorkerProcess(
            f"worker {number + 1}", options.workflow.resolve(), backend.worker_options, folder
        )
        for number in range(backend.worker_count)
    ]
    began = time.monotonic()
    try:
        for worker in workers:
            worker.start()
        with OrderProgress(len(book.orders)) as progress:
            async with Client(backend.log, namespace=backend.namespace.name) as client:
                desk = Desk(backend, client, workers, progress)
                await desk.serve(book.orders, options.time_limit)
        seconds = round(time.monotonic() - began, 2)
    finally:
        for worker in workers:
            await asyncio.to_thread(worker.stop)
    kills_ms = [time_ms for worker in workers for time_ms in worker.kills_ms]
    facts = RunFacts(backend.name, options.orders, seconds, kills_ms)
    write_run(folder, facts, options.file, desk.told)
    collect_from_log(backend.log, backend.namespace, PARTITIONS, folder)


def open_backend(
    name: str, folder: Path, say: Callable[[str], None]
) -> AbstractContextManager[Backend]:
    return embedded(folder) if name == "embedded" else kafka(say)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def demonstrate(options: argparse.Namespace, folder: Path) -> Report:
    """Run it and check what it left. Raises what keeps it from running."""
    with open_backend(options.backend, folder, say) as backend:
        asyncio.run(run(backend, options, folder))
    return check(load(folder))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.orders.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--backend", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument(
        "--orders", type=int, metavar="N", help="only the first N lines of the file"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the evidence there")
    parser.add_argument("--file", type=Path, default=ORDERS_FILE, help="other orders")
    parser.add_argument("--workflow", type=Path, default=WORKFLOW_FILE, help="another `fulfil`")
    parser.add_argument("--time-limit", type=float, default=120.0, metavar="SECONDS")
    return parser.parse_args()


def main() -> int:
    """The command. Returns its exit status."""
    options = parse_options()
    folder = (options.keep or Path(tempfile.mkdtemp(prefix="weft-orders-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        say(f"{folder} is not empty: name a folder that this run can have to itself.")
        return 2
    try:
        report = demonstrate(options, folder)
    except (ApprovalLostError, BrokerError, OrdersFileError, WeftError, WorkerEndedError) as error:
        say(f"It could not be run: {error}\nWhat there is lies in {folder}")
        return 2
    except KeyboardInterrupt:
        say(f"Stopped. What there is lies in {folder}")
        return 130
    print_report(report, as_json=options.json)
    if report.holds and options.keep is None:
        shutil.rmtree(folder)
    else:
        say(f"The evidence is in {folder}")
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
