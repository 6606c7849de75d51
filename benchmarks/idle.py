"""W11: what it costs that nothing happens. A worker and a broker with 100,000 sleeping workflows and no load."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

from benchmarks import processes
from benchmarks.stage import PAIR, WAIT_S, Line, Stage, line, say
from benchmarks.timers import start_alarms
from tests.support.proxy import Request

SLEEPERS = 100_000
MEASURED_S, MEASURED_S_MIN = 60.0, 3.0
_SETTLE_S = 5.0
_DAY_MS = 24 * 3_600_000
_NAMES = {int(request): request.name.lower() for request in Request}


async def w11(stage: Stage) -> AsyncIterator[Line]:
    """CPU seconds a minute by process; requests/s to the broker, which the workers reach through a counting proxy."""
    count = stage.count(SLEEPERS, 100)
    async with stage.serving(PAIR, through_proxy=True) as bench:
        due_ms = int(time.time() * 1000) + _DAY_MS
        say(f"W11, {count} sleeping workflows")
        await start_alarms(bench, {f"sleeper-{number}": due_ms for number in range(count)})
        await processes.wait_for_runs(bench.ports["workflow_worker"], count, 5 * WAIT_S)
        await asyncio.sleep(_SETTLE_S)
        before = _seen(stage)
        with bench.measured() as span:
            await asyncio.sleep(max(MEASURED_S * min(stage.scale, 1.0), MEASURED_S_MIN))
        requests = _seen(stage) - before
        figures: Line = {
            "workflows": count,
            "cpu_s_per_minute": {
                name: round(used_s / span.seconds * 60, 2) for name, used_s in span.cpu_s.items()
            },
        }
        if stage.proxy is not None:
            figures |= {
                "requests_per_s": round(requests.total() / span.seconds, 1),
                "requests_per_s_by_kind": {
                    _NAMES.get(kind, str(kind)): round(times / span.seconds, 2)
                    for kind, times in requests.most_common()
                },
            }
        yield line("W11", "", span, **figures)


def _seen(stage: Stage) -> Counter[int]:
    """How many requests of each kind have come through the proxy."""
    return Counter(stage.proxy.seen) if stage.proxy is not None else Counter()
