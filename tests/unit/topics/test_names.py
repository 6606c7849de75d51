from __future__ import annotations

import dataclasses

import pytest

from weft.errors import UsageError
from weft.topics import Namespace, check_workflow_id

TOPIC_LENGTH_MAX = 249
LONG = "n" * 120


def test_namespace_names_every_topic_and_group() -> None:
    namespace = Namespace("shop")
    assert dataclasses.asdict(namespace) == {
        "name": "shop",
        "signals": "shop.signals",
        "results": "shop.results",
        "messages": "shop.messages",
        "state": "shop.state",
        "owners": "shop.owners",
        "events": "shop.events",
        "deadletters": "shop.deadletters",
        "queries": "shop.queries",
        "replies": "shop.replies",
        "workflow_group": "shop.workflows",
    }
    assert namespace.tasks("mail") == "shop.tasks.mail"
    assert namespace.activity_group("mail") == "shop.activities.mail"


def test_namespace_is_a_value() -> None:
    assert Namespace("shop") == Namespace("shop")
    assert len({Namespace("shop"), Namespace("shop"), Namespace("other")}) == 2
    assert repr(Namespace("shop")) == "Namespace(name='shop')"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Namespace("shop").signals = "other"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    "name", ["default", "a", "Team_1-x", "acme.orders", "tasks.eu", "t0", LONG]
)
def test_namespace_takes_what_kafka_takes(name: str) -> None:
    assert Namespace(name).signals == f"{name}.signals"
    assert len(Namespace(name).tasks("q" * 120)) <= TOPIC_LENGTH_MAX


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a b", "a/b", "näh", "a.", ".a", "a..b", "a\n", LONG + "n"]
)
def test_namespace_is_refused_when_kafka_would_refuse_it(name: str) -> None:
    with pytest.raises(UsageError, match="namespace"):
        Namespace(name)


@pytest.mark.parametrize("name", ["tasks", "a.tasks", "activities", "a.b.activities"])
def test_namespace_is_refused_when_its_topics_could_be_those_of_another(name: str) -> None:
    """`a.tasks` would have `a.tasks.signals`, which is the topic of queue `signals` in namespace `a`."""
    with pytest.raises(UsageError, match="other namespaces' topics"):
        Namespace(name)


@pytest.mark.parametrize("queue", ["", "a.b", "a b", "ä", "q" * 121])
def test_queue_is_refused_when_it_cannot_end_a_topic_name(queue: str) -> None:
    namespace = Namespace("shop")
    with pytest.raises(UsageError, match="task queue"):
        namespace.tasks(queue)
    with pytest.raises(UsageError, match="task queue"):
        namespace.activity_group(queue)


@pytest.mark.parametrize(
    "topic,queue",
    [
        ("shop.tasks.mail", "mail"),
        ("shop.tasks.", None),
        ("shop.tasks.a.b", None),
        ("shop.tasks", None),
        ("shop.signals", None),
        ("other.tasks.mail", None),
        ("bookshop.tasks.mail", None),
    ],
)
def test_queue_of_a_topic_is_found_in_its_own_namespace_only(topic: str, queue: str | None) -> None:
    assert Namespace("shop").queue_of(topic) == queue


@pytest.mark.parametrize(
    "workflow_id", ["a", "order-42", "Bestellung Nr. 7/ä", "注文", "a\u2028b", "x" * 255]
)
def test_workflow_id_may_be_any_readable_text(workflow_id: str) -> None:
    check_workflow_id(workflow_id)


@pytest.mark.parametrize(
    "workflow_id,reason",
    [
        ("", "must not be empty"),
        ("x" * 256, "has 256 characters; 255 is the most"),
        ("a\0b", r"'\\x00' at position 1"),
        ("tab\t", r"'\\t' at position 3"),
        ("\x7f", "control characters"),
        ("\x85", "control characters"),
        ("\ud800", "lone surrogates"),
    ],
)
def test_workflow_id_is_refused_with_the_reason(workflow_id: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        check_workflow_id(workflow_id)
