"""The check of topics, on the embedded log: made as they should be, or not, and then looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from weft.errors import TopicError
from weft.log import Admin, TopicSpec
from weft.log.embedded import open_embedded
from weft.topics import Namespace, catalogue, check, create, partition_count, queues

SHOP = Namespace("shop")
SPECS = catalogue(SHOP, partitions=4)


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    log = open_embedded(tmp_path / "log.weft")
    admin = log.admin()
    yield admin
    admin.close()
    log.close()


def spec_of(topic: str) -> TopicSpec:
    return next(spec for spec in SPECS if spec.name == topic)


def test_created_topics_have_no_problems(admin: Admin) -> None:
    assert sorted(create(admin, SPECS)) == sorted(spec.name for spec in SPECS)
    assert check(admin, SPECS) == []
    assert create(admin, SPECS) == []


def test_missing_topics_are_named_with_the_command_that_creates_them(admin: Admin) -> None:
    create(admin, [spec for spec in SPECS if spec.name not in {"shop.state", "shop.tasks.default"}])
    first, second = check(admin, SPECS)
    assert str(first) == (
        "Topic shop.state does not exist. Mend it with: weft topics create --namespace shop"
    )
    assert second.remedy == "weft topics create --namespace shop --queue default"
    assert first.missing
    assert second.missing


def test_missing_topics_of_a_namespace_with_dots_are_named_too(admin: Admin) -> None:
    problems = check(admin, catalogue(Namespace("acme.eu"), partitions=1, queues=["mail"]))
    assert {problem.remedy for problem in problems} == {
        "weft topics create --namespace acme.eu",
        "weft topics create --namespace acme.eu --queue mail",
    }


def test_wrong_partition_count_is_a_problem(admin: Admin) -> None:
    admin.create_topics([replace(spec_of("shop.results"), partitions=3)])
    (problem,) = check(admin, [spec_of("shop.results")])
    assert "has 3 partitions, not 4" in problem.text
    assert "--partitions 3" in problem.remedy
    assert not problem.missing


def test_state_on_a_topic_that_deletes_is_a_problem(admin: Admin) -> None:
    admin.create_topics([replace(spec_of("shop.state"), compacted=False)])
    (problem,) = check(admin, [spec_of("shop.state")])
    assert "workflows would be lost" in problem.text
    assert problem.remedy.endswith("--entity-name shop.state --add-config cleanup.policy=compact")


def test_state_on_a_topic_that_compacts_and_deletes_is_a_problem(admin: Admin) -> None:
    admin.create_topics([replace(spec_of("shop.state"), retention_ms=1000)])
    (problem,) = check(admin, [spec_of("shop.state")])
    assert "deletes records by age besides compacting" in problem.text
    assert problem.remedy.endswith("cleanup.policy=compact")


def test_signals_on_a_compacted_topic_are_a_problem(admin: Admin) -> None:
    """Two signals to one workflow have one key: compaction would keep the last only."""
    admin.create_topics([replace(spec_of("shop.signals"), compacted=True, retention_ms=None)])
    (problem,) = check(admin, [spec_of("shop.signals")])
    assert problem.remedy.endswith("--entity-name shop.signals --add-config cleanup.policy=delete")


@pytest.mark.parametrize(
    "retention_ms,is_problem", [(1000, True), (7 * 86_400_000, False), (-1, False)]
)
def test_retention_may_be_longer_but_not_shorter(
    admin: Admin, retention_ms: int, is_problem: bool
) -> None:
    admin.create_topics([replace(spec_of("shop.signals"), retention_ms=retention_ms)])
    problems = check(admin, [spec_of("shop.signals")])
    assert [problem.remedy.rpartition(" ")[2] for problem in problems] == (
        ["retention.ms=604800000"] if is_problem else []
    )


def test_record_size_below_what_is_needed_is_a_problem(admin: Admin) -> None:
    admin.create_topics([replace(spec_of("shop.state"), config={})])
    (problem,) = check(admin, [spec_of("shop.state")])
    assert problem.text == "takes records of 1048588 bytes; 4194304 are needed."


def test_create_makes_nothing_when_a_topic_there_is_not_as_it_must_be(admin: Admin) -> None:
    admin.create_topics([replace(spec_of("shop.state"), partitions=3)])
    with pytest.raises(TopicError, match=r"shop\.state has 3 partitions, not 4"):
        create(admin, SPECS)
    assert admin.list_topics() == ["shop.state"]


def test_partition_count_is_that_of_the_topics(admin: Admin) -> None:
    with pytest.raises(TopicError, match="weft topics create --namespace shop"):
        partition_count(admin, SHOP)
    create(admin, SPECS)
    assert partition_count(admin, SHOP) == 4


def test_queues_are_those_that_have_a_topic(admin: Admin) -> None:
    create(admin, catalogue(SHOP, partitions=1, queues=["mail", "cards"]))
    create(admin, catalogue(Namespace("bookshop"), partitions=1, queues=["print"]))
    assert queues(admin, SHOP) == ["cards", "mail"]
