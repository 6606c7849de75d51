"""When one topic's backlog is held back for the others' sake."""

from __future__ import annotations

from typing import Any, cast

from weft.log.kafka._flood import _FLOOD_RECORDS, _LEFT_OUT_MAX, Flood

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


def test_holding_back_is_needless_when_it_was_in_vain_and_nothing_has_come_since() -> None:
    flood = Flood(4)
    ends = {("results", 0): 7, ("queries", 0): 0}
    assert not flood.is_needless(ends), "nobody has looked yet"
    flood.note_others([], ends)
    assert flood.is_needless(dict(ends))
    assert not flood.is_needless(ends | {("results", 0): 8}), "one has come"
    assert not flood.is_needless(ends | {("results", 1): 0}), "a partition has come"
    flood.note_others(messages("results", 1), ends)
    assert not flood.is_needless(ends), "more may have been there"


def test_holding_back_is_left_out_so_often_only_when_nothing_is_known_of_the_others() -> None:
    flood = Flood(4)
    flood.note_others([], {})
    for _ in range(3):
        assert [flood.is_needless({}) for _ in range(_LEFT_OUT_MAX + 1)] == [
            *([True] * _LEFT_OUT_MAX),
            False,
        ]
