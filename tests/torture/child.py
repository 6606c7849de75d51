"""One worker process under torture: `python -m tests.torture.child ...`.

SIGTERM drains it; SIGUSR1 makes it write down what it holds in memory. It ends with its parent.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hashlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.torture.flows import ACTIVITIES, WORKFLOWS
from weft.cli._logging import log_of_a_worker
from weft.codec import encode
from weft.core import Run, next_due_ms
from weft.errors import LogUnavailableError
from weft.log import Log, open_log
from weft.worker import Worker

CONCURRENCY = 200
DRAIN_S = 10.0
MEMORY_BYTES_MAX = 300_000
"""Of the first worker of each kind: most of what waits is left on the log, and comes back."""
_ORPHAN_POLL_S = 0.5
_STARTS_MAX = 10


def run_fields(run: Run) -> str:
    """A run as text that is the same wherever the run is: for comparing across processes."""
    plain = msgspec.json.encode(dataclasses.replace(run, due_heap=[], sends=set()))
    # Decoded again, keys are text whatever they were: only such can be sorted.
    fields = msgspec.json.encode(msgspec.json.decode(plain), order="sorted").decode()
    return f"{fields} sends {sorted(run.sends)} due {next_due_ms(run)}"


def digest(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()


def held(worker: Worker) -> dict[str, dict[str, dict[str, Any]]]:
    """What the worker has in memory of each partition: `{number: {workflow ID: {head, pages, run}}}`."""
    owner = worker._owner
    assert owner is not None, "asked of workflow workers only"
    return {
        str(number): {
            cell.workflow_id: {
                "head": digest(encode(cell.head)),
                "pages": [digest(encode(page)) for page in cell.pages],
                "run": run_fields(cell.run) if cell.run is not None else None,
            }
            for cell in list(partition.cells.values())
        }
        for number, partition in list(owner._serving.partitions.items())
    }


def write_whole(file: Path, value: object) -> None:
    """The file is there with all of it, or not at all."""
    part = file.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(value))
    part.rename(file)


def end_with_parent() -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_POLL_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


async def opened(kafka: str) -> Log:
    """A worker that finds no broker at its start ends and says so; whoever runs it starts it again, as is done here."""
    for _ in range(_STARTS_MAX - 1):
        try:
            return open_log(kafka=kafka)
        except LogUnavailableError as error:
            logging.getLogger("torture").warning("%s", error)
            await asyncio.sleep(1.0)
    return open_log(kafka=kafka)


async def serve(arguments: argparse.Namespace) -> None:
    log = await opened(arguments.kafka)
    owns = arguments.role == "workflows"
    worker = Worker(
        log,
        namespace=arguments.namespace,
        workflows=WORKFLOWS if owns else (),
        activities=ACTIVITIES,
        queues=[] if owns else None,
        instance_id=arguments.instance_id,
        concurrency=CONCURRENCY,
        drain_s=DRAIN_S,
        memory_bytes_max=MEMORY_BYTES_MAX if "-1-" in arguments.instance_id else None,
        session_timeout_s=arguments.session_timeout_s,
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, worker.stop)
    loop.add_signal_handler(signal.SIGUSR1, lambda: write_whole(Path(arguments.dump), held(worker)))
    try:
        await worker.run()
    finally:
        log.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("workflows", "activities"))
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--instance-id", required=True)
    parser.add_argument("--dump", required=True)
    parser.add_argument("--session-timeout-s", type=float, required=True)
    arguments = parser.parse_args()
    end_with_parent()
    logging.basicConfig(
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr
    )
    log_of_a_worker(debug=False)
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
