"""Torture Weft on a real Kafka: `python -m tests.torture [--minutes 10] [--seed N]`, or `make torture MINUTES=10`.

Three brokers, three workflow workers and two activity workers are killed, frozen and restarted while workflows of many
kinds run. What must hold then is checked one by one; the report is one JSON document a line, the sums last. Exit status
0 only if all holds. A seed gives the same schedule of faults and the same workloads; real time is not repeatable.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from deploy.kafka.broker import start_cluster

from tests.torture.report import say
from tests.torture.torture import LANES, MEAN_S, Settings, Torture

BROKERS = 3


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.torture")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults happen")
    parser.add_argument("--seed", type=int, help="of a former schedule; default: a new one")
    parser.add_argument("--folder", type=Path, help="for logs and the report; it is kept then")
    parser.add_argument("--lanes", type=int, default=LANES, help="workloads at a time")
    parser.add_argument(
        "--mean", type=float, default=MEAN_S, help="seconds between faults of workers"
    )
    parser.add_argument("--no-bounces", action="store_true", help="leave the brokers alone")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    seed = secrets.randbelow(10**9) if arguments.seed is None else arguments.seed
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="weft-torture-"))
    folder.mkdir(parents=True, exist_ok=True)
    # What the Kafka clients have to say about brokers that are gone is no news here.
    logging.basicConfig(filename=folder / "driver.log", format="%(asctime)s %(name)s: %(message)s")
    say(f"seed {seed}, {arguments.minutes:g} minutes; logs in {folder}")
    settings = Settings(
        minutes=arguments.minutes,
        seed=seed,
        folder=folder,
        lanes=arguments.lanes,
        mean_s=arguments.mean,
        bounce=not arguments.no_bounces,
    )
    with start_cluster(BROKERS, progress=say) as cluster:
        torture = Torture(settings, cluster)
        held = asyncio.run(torture.run())
    torture.report.note("faults", torture.faults())
    torture.report.write(folder / "report.jsonl", torture.sums())
    if held and arguments.folder is None:
        shutil.rmtree(folder)
    elif not held:
        say(f"it does not hold: {torture.report.failed}; logs and records are kept in {folder}")
        say(f"the same faults again: make torture SEED={seed} MINUTES={arguments.minutes:g}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
