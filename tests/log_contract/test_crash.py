"""A writer that is killed with -9 loses nothing that it was told is committed, and leaves nothing half."""

from __future__ import annotations

from collections import Counter

from tests.log_contract.kit import PATIENCE_S, SHORT_S, Child, Kit, needs_processes, until
from weft.log import FROM_START

pytestmark = needs_processes


def test_nothing_is_lost_or_half_there_when_a_writer_is_killed(kit: Kit) -> None:
    topics = [kit.topic("state", compacted=True), kit.topic("tasks")]
    numbers: list[int] = []
    for lines_min in (20, 35):
        child = kit.child("commit", kit.name("writer"), str(len(numbers)), *topics)
        lines = [child.line() for _ in range(lines_min)] + child.kill()
        told = [int(line) for line in lines]
        kit.log = kit.open_again()
        # Taking the ID decides what the killed process left open.
        kit.transactional("writer")
        counts = [Counter(kit.values(topic)) for topic in topics]
        assert counts[0] == counts[1]
        assert set(counts[0].values()) == {2}
        numbers = sorted(int(value or b"-1") for value in counts[0])
        assert numbers == list(range(len(numbers)))
        # One commit may have happened whose number could not be printed any more.
        assert numbers[-1] - told[-1] in (0, 1)


def test_reader_goes_on_when_a_writer_is_killed_and_restarted(kit: Kit) -> None:
    """Its next incarnation takes the transactional ID, so nothing stays undecided."""
    topic = kit.topic("tasks")
    reader = kit.reader()
    reader.assign({(topic, 0): FROM_START})
    read = 0
    for _ in range(2):
        child = kit.child("commit", kit.name("writer"), "0", topic)
        before = read
        while read < before + 20:
            read += len(reader.poll(100, PATIENCE_S))
        child.kill()
    kit.transactional("writer")
    while records := reader.poll(100, SHORT_S):
        read += len(records)
    assert read == len(kit.read(topic))
    assert read % 2 == 0


def test_each_record_is_copied_once_when_the_copying_processes_are_killed_in_turn(kit: Kit) -> None:
    """Consumed offsets and produced records stand or fall together, whoever dies when."""
    source, target = kit.topic("source", partitions=4), kit.topic("target", partitions=4)
    names = ("first", "second")

    def start(name: str) -> Child:
        return kit.child("pipe", kit.name("group"), name, source, target)

    def write_more(count: int) -> None:
        for _ in range(count):
            values = [b"%d" % (len(written) + index) for index in range(10)]
            kit.write(source, *values, partition=len(written) // 10 % 4)
            written.extend(values)

    written: list[bytes] = []
    children = {name: start(name) for name in names}
    for child in children.values():
        assert child.line().startswith("assigned")
    for name in (*names, *names):
        write_more(20)
        children[name].kill()
        write_more(5)
        children[name] = start(name)
        write_more(5)
    partitions = range(4)
    until(lambda: len(kit.read(target, *partitions)) >= len(written), "everything to be copied")
    assert sorted(kit.values(target, *partitions), key=lambda value: int(value or b"")) == written
