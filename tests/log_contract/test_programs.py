"""Random programs see the same on every backend: on Kafka and its model in every way, on the file as promised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.log_contract.kit import Kit
from tests.log_contract.performance import Performance
from tests.log_contract.programs import STEPS, program
from tests.log_contract.stage import Seen
from tests.simulation.log._groups import Group
from tests.simulation.log._partition import Entry, Partition
from tests.simulation.log._transactions import Holder, TransactionCoordinator
from weft.errors import LogError

LENGTH = 60
SEEDS = range(24)
KAFKA_SEEDS = range(100, 104)


def simulated(seed: int) -> list[Seen]:
    with ExitStack() as stack:
        kit = Kit("simulated", "", "test", stack)
        return Performance(kit).run(program(seed, LENGTH))


def check_same(found: Sequence[object], expected: Sequence[object], steps: Sequence[Seen]) -> None:
    """Names the first step where they differ."""
    for index, (one, other) in enumerate(zip(found, expected, strict=True)):
        before = "\n".join(str(seen.step) for seen in steps[: index + 1])
        assert one == other, f"after\n{before}"


@pytest.mark.parametrize("seed", SEEDS)
def test_program_sees_what_is_promised_on_the_file_and_the_simulated_log(
    seed: int, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        kit = Kit("embedded", str(tmp_path / "log.weft"), "test", stack)
        embedded = Performance(kit).run(program(seed, LENGTH))
    model = simulated(seed)
    promised = [seen.loose for seen in embedded]
    found = [
        None if promise is None else seen.loose
        for seen, promise in zip(model, promised, strict=True)
    ]
    check_same(found, promised, embedded)


def test_programs_see_everything_that_can_be_seen() -> None:
    """A program that meets no refusal, and waits for nothing, shows nothing."""
    seen = [one for seed in SEEDS for one in simulated(seed)]
    assert {one.step.what for one in seen} == STEPS
    errors = {one.exact for one in seen if isinstance(one.exact, str)}
    assert errors == {
        "",
        "FencedError",
        "LogUnavailableError",
        "RecordTooLargeError",
        "TopicError",
        "UsageError",
    }
    refused = [one.exact for one in seen if one.step.what == "join" and one.exact]
    assert refused
    assert {outcome for outcomes in refused for outcome in outcomes} == {("FencedError", "")}  # type: ignore[attr-defined]


def never_aborted(partition: Partition, producer: tuple[int, int], *, committed: bool) -> Entry:
    return _MARK(partition, producer, committed=True)


def never_fenced(coordinator: TransactionCoordinator, transactional_id: str, epoch: int) -> Holder:
    return coordinator.holder(transactional_id)


def never_stale(
    _group: Group, _member_id: str, _instance_id: str | None, _generation: int
) -> None: ...


_MARK = Partition.mark


@pytest.mark.parametrize(
    "owner,name,broken",
    [
        (Partition, "mark", never_aborted),
        (TransactionCoordinator, "_checked", never_fenced),
        (Group, "check_proof", never_stale),
    ],
)
def test_programs_notice_when_the_log_breaks_a_promise(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, broken: Callable[..., object]
) -> None:
    def seen() -> object:
        try:
            return [[one.loose for one in simulated(seed)] for seed in SEEDS[:6]]
        except (AssertionError, LogError) as error:
            return repr(error)

    whole = seen()
    assert isinstance(whole, list)
    monkeypatch.setattr(owner, name, broken)
    assert seen() != whole


@pytest.mark.kafka
@pytest.mark.parametrize("seed", KAFKA_SEEDS)
def test_program_sees_the_same_on_kafka_and_the_simulated_log(
    seed: int, kafka_address: str, namespace: str
) -> None:
    with ExitStack() as stack:
        kit = Kit("kafka", kafka_address, namespace, stack)
        real = Performance(kit).run(program(seed, LENGTH))
    model = simulated(seed)
    check_same([seen.exact for seen in model], [seen.exact for seen in real], real)
    check_same([seen.loose for seen in model], [seen.loose for seen in real], real)
