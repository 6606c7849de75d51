"""When one topic's backlog is held back for the others' sake."""

from __future__ import annotations

from typing import Any, cast

from weft.log.kafka._flood import _FLOOD_RECORDS, Flood

FULL = 1000


class OfTopic:
    """All that is asked of a message here."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def topic(self) -> str:
        return self._topic


def messages(topic: str, count: int = FULL) -> Any:
    return cast("Any", [OfTopic(topic)] * count)


def test_topic_is_held_back_when_it_filled_every_poll_for_a_while() -> None:
    flood = Flood(4)
    for _ in range(_FLOOD_RECORDS // FULL - 1):
        flood.note(messages("signals"), FULL)
        assert flood.topic_to_hold_back() is None
    flood.note(messages("signals"), FULL)
    assert flood.topic_to_hold_back() == "signals"
    assert flood.topic_to_hold_back() is None, "for a moment only"
    flood.note(messages("signals"), FULL)
    assert flood.topic_to_hold_back() is None


def test_nothing_is_held_back_when_others_come_through_or_polls_are_not_full() -> None:
    for between in (messages("results"), messages("signals", FULL - 1), messages("", 0)):
        flood = Flood(4)
        for _ in range(20):
            flood.note(messages("signals"), FULL)
            flood.note(messages("signals"), FULL)
            flood.note(between, FULL)
            assert flood.topic_to_hold_back() is None
    flood = Flood(4)
    for _ in range(20):
        flood.note(messages("signals", FULL - 1) + messages("results", 1), FULL)
        assert flood.topic_to_hold_back() is None


def test_nothing_is_held_back_when_there_is_one_topic_only() -> None:
    flood = Flood(1)
    for _ in range(20):
        flood.note(messages("tasks"), FULL)
        assert flood.topic_to_hold_back() is None
