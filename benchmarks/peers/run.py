"""Weft and its peers side by side: `.venv/bin/python benchmarks/peers/run.py --only dbos,restate --scale F`.

Installs each peer into an environment of its own, runs the workloads on one system after the other, prints one JSON
line a workload and variant and then a table. Ends with 1 when a peer could not be installed or a workload failed; the
others are measured all the same. Definitions and fairness: benchmarks/peers/README.md.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.peers import install  # noqa: E402  # the checkout's root comes first
from benchmarks.peers.measure import PEERS  # noqa: E402
from benchmarks.peers.table import Line, table  # noqa: E402
from benchmarks.peers.workloads import WORKLOADS  # noqa: E402

WEFT = "weft"
_WORKLOAD_S_MAX = 2400.0
_WEFT_S_MAX = 7200.0
_END_S_MAX = 60.0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    systems, workloads, scale = _arguments()
    lines: list[Line] = []
    for system in systems:
        measured = _weft(workloads, scale) if system == WEFT else _peer(system, workloads, scale)
        with closing(measured):
            for line in measured:
                print(json.dumps(line), flush=True)
                lines.append(line)
    print(f"\n{table(lines)}")
    failed = [line for line in lines if "error" in line]
    for line in failed:
        where = (str(line[key]) for key in ("system", "workload", "variant") if key in line)
        say(f"FAILED  {' '.join(where)}: {line['error']}")
    sys.exit(1 if failed else 0)


def _arguments() -> tuple[list[str], list[str], float]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PEERS), help="peers, by comma")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="workloads, by comma")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on every workload's size")
    parser.add_argument("--without-weft", action="store_true", help="the peers only")
    arguments = parser.parse_args()
    peers = [name.strip().lower() for name in arguments.only.split(",") if name.strip()]
    chosen = [name.strip().upper() for name in arguments.workloads.split(",") if name.strip()]
    for names, known, what in ((peers, PEERS, "peers"), (chosen, WORKLOADS, "workloads")):
        unknown = sorted(set(names) - set(known))
        if unknown:
            parser.error(f"unknown {what} {unknown}; there are {sorted(known)}")
    return [*([] if arguments.without_weft else [WEFT]), *peers], chosen, arguments.scale


def _weft(workloads: Sequence[str], scale: float) -> Generator[Line]:
    """Weft's own benchmarks. They too go on with the others when one fails."""
    options = ["--backend", "kafka", "--only", ",".join(workloads), "--scale", str(scale)]
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), *options]
    yield from _lines({"system": WEFT}, command, _WEFT_S_MAX)


def _peer(name: str, workloads: Sequence[str], scale: float) -> Generator[Line]:
    say(f"{name}: installing, unless it is there")
    try:
        python = install.install(name)
    except install.NotInstalledError as error:
        yield {"system": name, "error": f"not installed: {error}"}
        return
    for workload in workloads:
        module = ["-m", "benchmarks.peers.measure"]
        command = [str(python), *module, name, workload, "--scale", str(scale)]
        yield from _lines({"system": name, "workload": workload}, command, _WORKLOAD_S_MAX)


def _lines(head: Line, command: Sequence[str], seconds_max: float) -> Iterator[Line]:
    """The lines that a process prints, then what became of it if that is not told in them."""
    is_told = False
    with _process(command, seconds_max) as process:
        assert process.stdout is not None, "it is a pipe"
        for text in process.stdout:
            if text.startswith("{"):
                line = {**json.loads(text), **head}
                is_told = is_told or "error" in line
                yield line
    if process.returncode != 0 and not is_told:
        yield {**head, "error": f"it ended with {process.returncode}"}


@contextmanager
def _process(command: Sequence[str], seconds_max: float) -> Iterator[subprocess.Popen[str]]:
    """A process that is interrupted, so that it can end what it started, when we are or it takes too long.

    In a session of its own: a key press at the terminal reaches us only, and it is interrupted once.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    previous = signal.signal(signal.SIGALRM, lambda *_: process.send_signal(signal.SIGINT))
    signal.setitimer(signal.ITIMER_REAL, seconds_max)
    try:
        yield process
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
        _end(process)
        process.communicate()  # closes the pipe


def _end(process: subprocess.Popen[str]) -> None:
    """Wait for its end when it has closed its output; else interrupt it."""
    if sys.exc_info()[0] is not None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # both end what was started
        signal.signal(number, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
