"""The rows of the table of results: which figure of which line, and what peers did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks.stage import INLINE, QUEUED, Line
from benchmarks.workloads import ECHOES

PEERS = (
    "Restate 1.7, `ctx.run`",
    "Restate 1.7, calls",
    "DBOS 3.4 + PostgreSQL",
    "Temporal 1.29, dev server",
    "Dapr 1.16 + Redis",
    "durabletask, SQLite",
    "LittleHorse 1.2",
)
"""Measured by us earlier on the same kind of machine, everything on it, with their Python SDKs and default durability.
The first and third run a step inside the workflow's process, as our inline activities; the others send it elsewhere."""
NOTHING = "-"


def _in_process(restate: str = NOTHING, dbos: str = NOTHING) -> tuple[str, ...]:
    return (restate, NOTHING, dbos, *[NOTHING] * 4)


def _dispatched(*figures: str) -> tuple[str, ...]:
    """Of Restate's calls, Temporal, Dapr, durabletask, LittleHorse."""
    calls, *others = figures
    return (NOTHING, calls, NOTHING, *others)


@dataclass(frozen=True)
class Row:
    """`show` makes a cell of a line; it is not asked when there is no such line."""

    workload: str
    figure: str
    variant: str
    show: Callable[[Line], str]
    peers: tuple[str, ...] = field(default=(NOTHING,) * len(PEERS))

    def cell(self, line: Line) -> str:
        """The figure, or nothing when the line does not have it."""
        try:
            return self.show(line)
        except KeyError:
            return ""


def number(*keys: str) -> Callable[[Line], str]:
    """Several stand with a stroke between them."""
    return lambda line: " / ".join(_shown(line[key]) for key in keys)


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def share(key: str) -> Callable[[Line], str]:
    return lambda line: f"{line[key]:.0%}"


def by_process(key: str) -> Callable[[Line], str]:
    def show(line: Line) -> str:
        values: Mapping[str, float] = line[key]
        shown = {name: value for name, value in values.items() if name != "client"}
        return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in shown.items())

    return show


LATENCY = number("p50_ms", "p99_ms")
_W1 = {
    f"{QUEUED}, 200 in flight": _dispatched(
        "330-345", "30 (file), 80-97 (memory)", "131-219", "77", "417"
    ),
    f"{QUEUED}, 2000 in flight": (NOTHING,) * len(PEERS),
    f"{INLINE}, 200 in flight": _in_process("660-950", "152-165"),
    f"{INLINE}, 2000 in flight": _in_process("1,050"),
}
_W1_CPU = {
    f"{QUEUED}, 200 in flight": _dispatched(
        "4.9-5.1", "39-44 (file), 21-24 (memory)", "8.2-10.1", "11.9", NOTHING
    ),
    f"{INLINE}, 200 in flight": _in_process("1.3-2.0", "7.7-8.2"),
}


def _w1() -> Iterator[Row]:
    for variant, peers in _W1.items():
        yield Row("W1", "activities/s", variant, number("activities_per_s"), peers)
    for variant, peers in _W1.items():
        cpu = _W1_CPU.get(variant, (NOTHING,) * len(peers))
        key = "cpu_s_per_1000_activities"
        yield Row("W1", "CPU s per 1,000 activities, all processes", variant, number(key), cpu)
    for variant in (f"{QUEUED}, 2000 in flight", f"{INLINE}, 2000 in flight"):
        keys = ("records_per_activity", "bytes_per_activity")
        yield Row("W1", "records / bytes per activity", variant, number(*keys))


def _latencies() -> Iterator[Row]:
    yield Row(
        "W2", "p50 / p99 ms", QUEUED, LATENCY,
        _dispatched("13.2 / 31", NOTHING, "16-30 / 27-102", "125 / 232", "47 / 416"),
    )  # fmt: skip
    yield Row(
        "W2", "p50 / p99 ms", INLINE, LATENCY, _in_process("8.7-9.1 / 17-23", "8.0-10.0 / 17-23")
    )
    yield Row(
        "W3", "s", QUEUED, number("seconds"),
        _dispatched("0.83-1.17", "1.9-6.0 (memory)", "2.1-2.6", "9.8", NOTHING),
    )  # fmt: skip
    yield Row("W3", "s", INLINE, number("seconds"), _in_process("0.34-0.41", "2.4-3.2"))
    yield Row(
        "W4", "p50 / p99 ms", "", LATENCY,
        ("10.7 / 13.4", NOTHING, "12.0-12.5 / 20-23", NOTHING, "10.7 / 20", "45 / 65", NOTHING),
    )  # fmt: skip
    steps = number("first_ms_per_step", "last_ms_per_step")
    figure = "ms a step, first / last 200"
    yield Row(
        "W5", figure, f"{QUEUED}, 2,000 steps", steps,
        _dispatched("8.2 / 6.3", NOTHING, "18 / 132", "69 / 131", NOTHING),
    )  # fmt: skip
    yield Row(
        "W5", figure, f"{INLINE}, 2,000 steps", steps,
        _in_process("2.1 / 2.0", "3.9-6.2 / 3.9-4.9"),
    )  # fmt: skip
    yield Row("W5", figure, f"{INLINE}, no checkpoints, 2,000 steps", steps)
    for variant in ECHOES:
        yield Row("W5", figure, f"{variant}, 50,000 steps", steps)


def _recovery() -> Iterator[Row]:
    killed = "kill -9 at 40%, restart at once"
    yield Row(
        "W6", "s from the kill until all are done", killed, number("seconds"),
        ("2.0-2.2", "4.5-4.9", "12.5-13.9", "27 (memory), 50 (file)", "13.5-17.4", "165", NOTHING),
    )  # fmt: skip
    yield Row(
        "W6", "activities finished twice", killed, number("finished_twice"),
        ("46-60", "7-29", "37-53", *[NOTHING] * 4),
    )  # fmt: skip
    yield Row("W6", "results lost", killed, number("lost"))
    served = number("served_again_s", "served_again_s_max")
    for variant in ("restart under the same instance ID", "takeover by another worker"):
        yield Row("W6", "s until served again, median / worst", variant, served)


def _scale() -> Iterator[Row]:
    variants = ("written once", "10 updates each, not compacted", "10 updates each, compacted")
    for variant in variants:
        yield Row("W7", "s until ready", variant, number("seconds"))
    for variant in variants:
        yield Row("W7", "records/s", variant, number("records_per_s"))
    memory = number("memory_bytes_per_workflow", "memory_bytes_beyond_log")
    yield Row("W7", "bytes of memory per workflow / beyond its own", variants[0], memory)
    for variant in _W1:
        yield Row("W8", "activities/s of the bare loop", variant, number("activities_per_s"))
    for variant in _W1:
        yield Row("W8", "W1 as a share of it", variant, share("w1_share"))
    for variant in ("to one ID", "to 10,000 IDs"):
        yield Row("W9", "signals/s", variant, number("signals_per_s"))
    yield Row("W10", "lateness, p50 / p99 ms", "", LATENCY)
    yield Row("W11", "CPU s a minute", "", by_process("cpu_s_per_minute"))
    yield Row("W11", "requests/s to the broker", "", number("requests_per_s"))
    counts = ("1 process", "2 processes", "4 processes")
    for variant in counts:
        yield Row("W12", "activities/s", variant, number("activities_per_s"))
    for variant in counts:
        yield Row("W12", "the broker's share of CPU", variant, share("broker_share"))


ROWS = [*_w1(), *_latencies(), *_recovery(), *_scale()]
