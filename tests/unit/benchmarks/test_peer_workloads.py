"""The workloads that peers are compared by, on a peer that is made up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import benchmarks.latency
import benchmarks.recovery
import benchmarks.stage
import benchmarks.throughput
import benchmarks.workloads
import pytest
from benchmarks.peers import meters, workloads
from benchmarks.peers.workloads import PAYLOAD, WORKLOADS, Figures, Sizes

SMALL = Sizes().scaled(0.01)
COMMON = {"seconds", "others_cores"}


@dataclass
class Made:
    """Does at once what it is asked for, and gives `result`; slow activities take their time."""

    result: str = PAYLOAD
    done: dict[int, str] = field(default_factory=dict)
    running: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    def pids(self) -> Mapping[str, int]:
        return {}

    async def remarks(self) -> Figures:
        return {}

    async def chain(self, steps: int) -> str:
        return self.result

    async def chain_times(self, steps: int) -> list[float]:
        return [0.002 * number for number in range(steps + 1)]

    async def fan_out(self, activities: int) -> int:
        return activities

    async def wait_for_signal(self) -> Callable[[], Awaitable[str]]:
        return lambda: self.chain(0)

    async def start_slow(self, number: int) -> None:
        self.running[number] = asyncio.create_task(self._slow(number))

    async def _slow(self, number: int) -> None:
        for step in range(workloads.STEPS):
            await workloads.sleep_and_mark(PAYLOAD, number, step)
        self.done[number] = self.result

    async def slow_results(self, count: int) -> list[str]:
        await asyncio.gather(*self.running.values())
        return [self.done[number] for number in range(count)]

    def kill_worker(self) -> None:
        for task in self.running.values():
            task.cancel()

    def start_worker(self) -> None:
        for number in set(self.running) - set(self.done):
            self.running[number] = asyncio.create_task(self._slow(number))


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(meters.MARKS, str(tmp_path / "marks"))


async def lines(workload: str, peer: Made) -> dict[str, Figures]:
    return {part: figures async for part, figures in WORKLOADS[workload](peer, SMALL)}


def test_definitions_are_those_of_weft() -> None:
    assert benchmarks.stage.PAYLOAD == PAYLOAD
    assert len(PAYLOAD.encode()) == 100
    assert benchmarks.throughput.W1_IN_FLIGHT == workloads.IN_FLIGHT
    assert benchmarks.workloads.STEPS == workloads.STEPS
    assert benchmarks.workloads.SLOW_S == workloads.SLOW_S
    assert benchmarks.workloads.MARKS == meters.MARKS
    assert benchmarks.recovery.KILL_AT == workloads.KILL_AT
    sizes = Sizes()
    assert (sizes.w2_runs, sizes.w2_warmup) == (
        benchmarks.latency.W2_RUNS,
        benchmarks.latency.W2_WARMUP,
    )
    assert sizes.w6_workflows == benchmarks.recovery.WORKFLOWS


def test_throughput_is_measured_at_both_widths() -> None:
    measured = asyncio.run(lines("W1", Made()))
    assert list(measured) == ["200 in flight", "2000 in flight"]
    for figures, width in zip(measured.values(), workloads.IN_FLIGHT, strict=True):
        assert int(str(figures["workflows"])) >= width
        assert {"workflows_per_s", "activities_per_s", "cpu_s_per_1000_activities"} < set(figures)


@pytest.mark.parametrize(
    "workload,part,keys",
    [
        ("W2", "", {"runs", "p50_ms", "p99_ms"}),
        ("W3", "", {"activities", "repeats", "seconds_first", "seconds_max"}),
        ("W5", "2,000 steps", {"steps", "first_ms_per_step", "last_ms_per_step"}),
    ],
)
def test_workload_gives_its_figures(workload: str, part: str, keys: set[str]) -> None:
    measured = asyncio.run(lines(workload, Made()))
    assert {name: set(figures) for name, figures in measured.items()} == {part: keys | COMMON}


def test_signals_are_timed_from_their_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_UNTIL_IT_WAITS_S", 0.001)
    (figures,) = asyncio.run(lines("W4", Made())).values()
    assert figures["runs"] == SMALL.w4_runs
    assert float(str(figures["p50_ms"])) < 1.0


def test_recovery_finds_what_was_running_and_what_ended_twice() -> None:
    (figures,) = asyncio.run(lines("W6", Made())).values()
    activities = SMALL.w6_workflows * workloads.STEPS
    assert figures["lost"] == 0
    assert figures["activities"] == activities
    assert workloads.KILL_AT * activities <= int(str(figures["ended_at_kill"])) < activities
    # The made-up worker keeps nothing: it does all again that had ended in workflows that had not.
    assert figures["finished_twice"] == figures["ended_at_kill"]


def test_lost_results_are_counted() -> None:
    class Losing(Made):
        async def slow_results(self, count: int) -> list[str]:
            return (await super().slow_results(count))[:-1]

    (figures,) = asyncio.run(lines("W6", Losing())).values()
    assert figures["lost"] == 1


@pytest.mark.parametrize("workload", ["W1", "W2", "W4", "W6"])
def test_wrong_results_are_no_figures(workload: str) -> None:
    with pytest.raises(AssertionError, match="'other' instead of its input"):
        asyncio.run(lines(workload, Made(result="other")))


def test_ends_of_a_chain_are_timed_apart() -> None:
    times_s = [0.002 * number for number in range(11)]
    times_s += [times_s[-1] + 0.005 * number for number in range(1, 11)]
    assert workloads.ends_ms(times_s, 5) == {"first_ms_per_step": 2.0, "last_ms_per_step": 5.0}


def test_sizes_scale_but_not_to_nothing() -> None:
    assert Sizes().scaled(1.0) == Sizes()
    assert SMALL.w2_runs == 20
    assert SMALL.w5_steps == 20
