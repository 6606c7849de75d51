"""Measure one workload on one peer, in that peer's own environment: `python -m benchmarks.peers.measure dbos W2`.

One JSON line a variant on standard output, progress on standard error. `benchmarks/peers/run.py` makes the environments
and calls this for every peer and workload. Each line is of a system that was freshly started, with no data.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from benchmarks.peers import meters, servers
from benchmarks.peers.workloads import WORKLOADS, Figures, Peer, Sizes

PEERS = {
    "dbos": "benchmarks.peers.dbos_peer",
    "restate": "benchmarks.peers.restate_peer",
    "temporal": "benchmarks.peers.temporal_peer",
}
"""The module of each. Only the one that is measured is imported: the others' libraries are not there."""
_WORKLOAD_S_MAX = 1500.0


class PeerModule(Protocol):
    """What such a module has."""

    BACKEND: str

    def variants(self, workload: str, /) -> Sequence[str]:
        """In how many ways the workload is run: each gives lines, and is a column of the table."""

    def started(self, variant: str, folder: Path) -> AbstractAsyncContextManager[Peer]:
        """The system with its data in this empty folder, ready to be measured; ended with the block."""

    def versions(self) -> Mapping[str, str]: ...

    def serve(self, arguments: Sequence[str]) -> None:
        """Be the worker process, until killed."""


async def measure(name: str, module: PeerModule, workload: str, sizes: Sizes) -> bool:
    """Print the lines of one workload; whether all could be measured."""
    is_whole = True
    for variant in module.variants(workload):
        print(f"{name}, {variant}: {workload}", file=sys.stderr, flush=True)
        head: Figures = {"system": name, "workload": workload, "backend": module.BACKEND}
        try:
            measuring = _measure_variant(module, variant, workload, sizes, head)
            await servers.while_all_run(measuring, _WORKLOAD_S_MAX)
        except Exception as error:  # noqa: BLE001  # whatever it is, the other variants go on
            is_whole = False
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
            print(json.dumps({**head, "variant": variant, "error": text}), flush=True)
    return is_whole


async def _measure_variant(
    module: PeerModule, variant: str, workload: str, sizes: Sizes, head: Figures
) -> None:
    with tempfile.TemporaryDirectory(prefix=f"weft-{head['system']}-") as folder:
        os.environ[meters.MARKS] = str(Path(folder) / "marks")  # the worker process inherits it
        data = Path(folder) / "data"
        data.mkdir()
        async with module.started(variant, data) as peer:
            async for part, figures in WORKLOADS[workload](peer, sizes):
                line = {
                    **head,
                    "variant": ", ".join(filter(None, (variant, part))),
                    **figures,
                    **await peer.remarks(),
                    "versions": dict(module.versions()),
                }
                print(json.dumps(line), flush=True)


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also when started in the background
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=sorted(PEERS))
    parser.add_argument("workload", choices=[*sorted(WORKLOADS), "serve"])
    parser.add_argument("arguments", nargs="*", help="of `serve`: the worker process' own")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the workload's size")
    arguments = parser.parse_args()
    module: PeerModule = importlib.import_module(PEERS[arguments.peer])
    if arguments.workload == "serve":
        module.serve(arguments.arguments)
        return
    sizes = Sizes().scaled(arguments.scale)
    is_whole = asyncio.run(measure(arguments.peer, module, arguments.workload, sizes))
    sys.exit(0 if is_whole else 1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
