from __future__ import annotations

from typing import Any

import pytest

from weft.errors import UsageError
from weft.topics import INPUT_BYTES_MAX, OUTPUT_BYTES_MAX, Namespace, catalogue

SHOP = Namespace("shop")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def test_catalogue_holds_every_topic_with_its_policy_and_retention() -> None:
    specs = catalogue(SHOP, partitions=8, queues=["default", "mail"])
    assert {spec.name: (spec.compacted, spec.retention_ms) for spec in specs} == {
        "shop.signals": (False, 7 * DAY_MS),
        "shop.results": (False, 7 * DAY_MS),
        "shop.messages": (False, 7 * DAY_MS),
        "shop.state": (True, None),
        "shop.owners": (True, None),
        "shop.tasks.default": (False, 7 * DAY_MS),
        "shop.tasks.mail": (False, 7 * DAY_MS),
        "shop.events": (False, 30 * DAY_MS),
        "shop.deadletters": (False, 30 * DAY_MS),
        "shop.queries": (False, HOUR_MS),
        "shop.replies": (False, HOUR_MS),
    }


def test_all_topics_have_the_same_partitions_and_replication() -> None:
    specs = catalogue(SHOP, partitions=12, queues=["a", "b"], replication=3)
    assert {(spec.partitions, spec.replication) for spec in specs} == {(12, 3)}


def test_queue_that_is_named_twice_is_one_topic() -> None:
    names = [spec.name for spec in catalogue(SHOP, partitions=1, queues=["a", "b", "a"])]
    assert [name for name in names if "tasks" in name] == ["shop.tasks.a", "shop.tasks.b"]


@pytest.mark.parametrize("replication,wanted", [(1, "1"), (2, "1"), (3, "2"), (5, "2"), (-1, None)])
def test_two_brokers_must_have_a_record_where_there_are_three(
    replication: int, wanted: str | None
) -> None:
    specs = catalogue(SHOP, partitions=1, replication=replication)
    assert {spec.config.get("min.insync.replicas") for spec in specs} == {wanted}


def test_what_owners_write_may_be_larger_than_what_comes_in() -> None:
    """Otherwise an accepted record could not be carried on, and would stop its partition."""
    sizes = {
        spec.name: int(spec.config["max.message.bytes"]) for spec in catalogue(SHOP, partitions=1)
    }
    inputs = {"shop.signals", "shop.results", "shop.queries"}
    carried = {
        "shop.state",
        "shop.messages",
        "shop.deadletters",
        "shop.tasks.default",
        "shop.replies",
    }
    assert {sizes[name] for name in inputs} == {INPUT_BYTES_MAX}
    assert {sizes[name] for name in carried} == {OUTPUT_BYTES_MAX}
    assert OUTPUT_BYTES_MAX > 2 * INPUT_BYTES_MAX


def test_no_topic_lets_a_broker_without_the_last_commits_lead() -> None:
    for spec in catalogue(SHOP, partitions=1):
        assert spec.config["unclean.leader.election.enable"] == "false"


@pytest.mark.parametrize(
    "options,reason",
    [
        ({"partitions": 0}, "0 partitions"),
        ({"partitions": 10_001}, "10001 partitions"),
        ({"partitions": 1, "replication": 0}, "replication of 0"),
        ({"partitions": 1, "replication": -2}, "replication of -2"),
        ({"partitions": 1, "queues": ["a.b"]}, "task queue 'a.b'"),
    ],
)
def test_catalogue_refuses_what_cannot_be(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        catalogue(SHOP, **options)
