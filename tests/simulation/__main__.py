"""`make simulate [SEED=n] [RUNS=n]`: many runs of simulated systems, each wholly decided by its seed.

The last line is the summary. The exit status is 1 when a run failed, and, in a big enough series, also when a fault or
a transition was never reached.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import count, islice

from tests.simulation.coverage import every_transition
from tests.simulation.faults import MENU
from tests.simulation.mutants import MUTANTS, OLD_BUGS, break_for_good, broken
from tests.simulation.simulate import Outcome, simulate
from tests.simulation.workloads import WORKLOADS, Workload

_REPORT_EVERY_S = 10.0
NOT_FOR_WORKERS = {"abort_lost", "abort_answer_lost"}
"""Weft's owner never aborts: it drops its producer. `test_log_faults.py` runs processes that do."""


def main() -> int:
    options = _options()
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets of strings is part of a run.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    first = options.seed if options.seed is not None else int(time.time()) % 10**6 * 10_000
    seeds = islice(count(first), options.runs)
    began = time.monotonic()
    runs = failures = events = 0
    faults: Counter[str] = Counter()
    reached: set[str] = set()
    report_at = began + _REPORT_EVERY_S
    for outcome in _outcomes(seeds, options):
        runs += 1
        events += outcome.runs
        faults.update(outcome.faults)
        reached |= outcome.transitions
        if outcome.problems:
            failures += 1
            _tell(outcome, options)
            if failures >= options.failures_max:
                break
        if time.monotonic() > report_at:
            report_at = time.monotonic() + _REPORT_EVERY_S
            print(f"{runs} of {options.runs} runs, {failures} failures", file=sys.stderr)
        if options.seconds and time.monotonic() - began > options.seconds:
            break
    missing = _missing(faults, reached)
    if missing:
        print("never reached:", *missing, sep="\n  ")
    summary = {
        "runs": runs,
        "seeds": [first, first + runs - 1],
        "workflow_runs": events,
        "faults": sum(faults.values()),
        "by_fault": dict(sorted(faults.items())),
        "never_reached": missing,
        "failures": failures,
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(summary))
    return int(failures > 0 or (options.all and bool(missing)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--seed", type=int, help="the first seed (default: a new one each time)")
    parser.add_argument("--runs", type=int, help="default: 1 with --seed, else 300")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--seconds", type=float, default=0.0, help="begin no further runs after so long"
    )
    parser.add_argument(
        "--mutant", choices=sorted(MUTANTS | OLD_BUGS), help="break this rule on purpose"
    )
    parser.add_argument("--armed", help="exactly these faults (a,b), instead of what a seed draws")
    parser.add_argument("--workloads", help="only these (a,b)")
    parser.add_argument(
        "--failures-max", type=int, default=5, help="give up after so many failures"
    )
    parser.add_argument(
        "--all", action="store_true", help="fail also when something was never reached"
    )
    options = parser.parse_args()
    if options.runs is None:
        options.runs = 1 if options.seed is not None else 300
    return options


def _outcomes(seeds: Iterator[int], options: argparse.Namespace) -> Iterator[Outcome]:
    run = partial(simulate, armed=_armed(options.armed), workloads=_workloads(options.workloads))
    if options.jobs == 1 or options.runs == 1:
        with broken(options.mutant) if options.mutant else nullcontext():
            yield from map(run, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(
        options.jobs, break_for_good, (options.mutant,), maxtasksperchild=200
    ) as pool:
        yield from pool.imap_unordered(run, seeds)


def _armed(names: str | None) -> frozenset[str] | None:
    if names is None:
        return None
    armed = frozenset(filter(None, names.split(",")))
    if unknown := armed - MENU.keys():
        sys.exit(
            f"no such faults: {', '.join(sorted(unknown))}; there are {', '.join(sorted(MENU))}"
        )
    return armed


def _workloads(names: str | None) -> Sequence[Workload]:
    if names is None:
        return WORKLOADS
    known = {workload.__name__: workload for workload in WORKLOADS}
    if unknown := set(names.split(",")) - known.keys():
        sys.exit(f"no such workloads: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return tuple(known[name] for name in names.split(","))


def _tell(outcome: Outcome, options: argparse.Namespace) -> None:
    print(f"seed {outcome.seed} failed after {outcome.virtual_s:.1f} virtual seconds:")
    for problem in outcome.problems:
        print(f"  {problem}")
    chosen = {"MUTANT": options.mutant, "ARMED": options.armed, "WORKLOADS": options.workloads}
    rest = "".join(f' {name}="{value}"' for name, value in chosen.items() if value is not None)
    print(f"  again: make simulate SEED={outcome.seed}{rest}", flush=True)


def _missing(faults: Counter[str], reached: set[str]) -> list[str]:
    unused = [
        f"fault {name} ({MENU[name].what})"
        for name in sorted(MENU.keys() - NOT_FOR_WORKERS)
        if not faults[name]
    ]
    return [*unused, *sorted(every_transition() - reached)]


if __name__ == "__main__":
    sys.exit(main())
