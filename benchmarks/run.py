"""Measure Weft: `.venv/bin/python benchmarks/run.py --backend kafka|embedded --only W1,W2 --scale F`.

One JSON line a workload and variant on standard output; progress on standard error. The broker is the one that
WEFT_KAFKA names, or one started for the run. Definitions and results: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import table, throughput  # noqa: E402  # the checkout's root comes first
from benchmarks.idle import w11  # noqa: E402
from benchmarks.latency import w2, w3, w4, w5  # noqa: E402
from benchmarks.machine import machine, today  # noqa: E402
from benchmarks.raw import w8  # noqa: E402
from benchmarks.rebuild import w7  # noqa: E402
from benchmarks.recovery import w6  # noqa: E402
from benchmarks.scaling import w12  # noqa: E402
from benchmarks.stage import Line, Stage, open_stage, say  # noqa: E402
from benchmarks.throughput import w1, w9  # noqa: E402
from benchmarks.timers import w10  # noqa: E402

Keep = Callable[[Line], None]
BACKENDS = ("kafka", "embedded")
# In the order in which they run. W8 follows W1, which is shown as a share of it: the machine shall be as it was.
WORKLOADS: dict[str, Callable[[Stage], AsyncIterator[Line]]] = {
    "W1": w1,
    "W8": w8,
    "W2": w2,
    "W3": w3,
    "W4": w4,
    "W5": w5,
    "W6": w6,
    "W7": w7,
    "W9": w9,
    "W10": w10,
    "W11": w11,
    "W12": w12,
}


async def measure(stage: Stage, only: Sequence[str], keep: Keep) -> list[str]:
    """Run these workloads, in order; returns those that failed (standard error says how)."""
    failed = []
    if stage.backend == "kafka":
        say("warming the broker up")
        await throughput.warm_up(stage)
    for name in only:
        try:
            async for figures in WORKLOADS[name](stage):
                stage.lines.append(_stamped(stage, figures))
                keep(stage.lines[-1])
        except Exception:  # noqa: BLE001  # the others are measured all the same
            failed.append(name)
            say(f"{name} failed:\n{traceback.format_exc()}")
    return failed


def _stamped(stage: Stage, figures: Line) -> Line:
    stamp: Line = {"backend": stage.backend, "scale": stage.scale, "date": today()}
    return {"workload": figures["workload"], "variant": figures["variant"], **stamp, **figures}


def run(backends: Sequence[str], only: Sequence[str], scale: float, keep: Keep) -> list[str]:
    """Every line goes to `keep` at once; returns what failed."""
    keep(machine())
    failed: list[str] = []
    for backend in backends:
        with open_stage(backend, scale) as stage:
            failed += [f"{name} ({backend})" for name in asyncio.run(measure(stage, only, keep))]
    return failed


def _print(line: Line) -> None:
    print(json.dumps(line), flush=True)


def _print_and_write(line: Line) -> None:
    """Also when the run is broken off, what was measured stands in the table."""
    _print(line)
    table.write([line])


def main() -> int:
    """Exit status 1: a workload failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=BACKENDS, help="default: one after the other")
    parser.add_argument("--only", default=",".join(WORKLOADS), help="workloads, by comma")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every workload's size")
    parser.add_argument(
        "--write-table", action="store_true", help="write the results into benchmarks/README.md"
    )
    arguments = parser.parse_args()
    only = [name.strip().upper() for name in arguments.only.split(",") if name.strip()]
    unknown = sorted(set(only) - set(WORKLOADS))
    if unknown:
        parser.error(f"unknown workloads {unknown}; there are {', '.join(WORKLOADS)}")
    if arguments.write_table and arguments.scale != 1.0:
        parser.error("the table is of full size: --write-table goes without --scale")
    backends = [arguments.backend] if arguments.backend else BACKENDS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with what was started
    keep = _print_and_write if arguments.write_table else _print
    failed = run(backends, only, arguments.scale, keep)
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
