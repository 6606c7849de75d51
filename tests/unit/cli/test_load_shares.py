"""Which partitions and workflows are told to get more than their share."""

from __future__ import annotations

from weft.cli._load_shares import Sample, hot_keys, skewed

NOW_S = 1_800_000_000.0


def sample(*loads: tuple[int, bytes, int, float]) -> Sample:
    """Of (partition, key, count, seconds): so many records, spread over the last so many seconds."""
    made = Sample(1 + max(partition for partition, *_ in loads), NOW_S)
    for partition, key, count, seconds in loads:
        for number in range(count):
            made.add(partition, key, NOW_S - seconds * (count - number) / count)
    return made


def test_even_load_is_not_told() -> None:
    even = sample(
        *((number, f"{number}-{key}".encode(), 100, 10) for number in range(4) for key in range(3))
    )
    assert skewed(even) == []
    assert hot_keys(even) == []


def test_partition_with_far_more_than_the_others_is_told() -> None:
    loads = [(number, b"%d" % key, 50, 100) for number in range(3) for key in range(3)]
    ((partition, per_s, others_per_s),) = skewed(
        sample(*loads, *((3, b"%d" % key, 500, 100) for key in range(3)))
    )
    assert partition == 3
    assert 9 < per_s / others_per_s < 11


def test_rates_count_where_a_sample_is_cut_off() -> None:
    """A busy partition's newest 2,000 records are those of a second, a quiet one's those of ten minutes."""
    loads = [(number, b"%d" % key, 1000, 500) for number in range(3) for key in range(2)]
    busy = [(3, b"%d" % key, 1000, 2) for key in range(2)]
    assert [partition for partition, *_ in skewed(sample(*loads, *busy))] == [3]


def test_workflow_with_more_than_half_of_its_partition_is_named() -> None:
    found = hot_keys(
        sample((0, b"hot", 300, 10), (0, b"a", 50, 10), (1, b"b", 50, 10), (1, b"c", 50, 10))
    )
    ((key, partition, share, per_s),) = found
    assert (key, partition) == (b"hot", 0)
    assert round(share, 2) == 0.86
    assert 29 < per_s < 31


def test_few_or_old_records_say_nothing() -> None:
    few = sample((0, b"only", 20, 10), (1, b"a", 1, 1))
    assert (skewed(few), hot_keys(few)) == ([], [])
    old = Sample(2, NOW_S)
    for number in range(500):
        old.add(0, b"hot", NOW_S - 5000 - number)
    assert (skewed(old), hot_keys(old)) == ([], [])
    assert (old.count, old.count_since(3600), old.count_since(6000)) == (500, 0, 500)
