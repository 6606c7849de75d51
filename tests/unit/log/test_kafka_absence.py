"""How long a member may be without its group."""

from __future__ import annotations

from weft.log.kafka._absence import PATIENCE_S, PATIENCE_S_MAX, AbsenceWatch


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_absence_is_too_long_once_its_patience_is_over_and_that_doubles() -> None:
    clock = Clock()
    watch = AbsenceWatch(clock)
    told_s = []
    for _ in range(2000):
        if watch.is_too_long():
            told_s.append(clock.now_s - 100.0)
        clock.now_s += 1.0
    pauses = [after - before for before, after in zip([0.0, *told_s], told_s, strict=False)]
    assert pauses[:5] == [PATIENCE_S, 30.0, 60.0, PATIENCE_S_MAX, PATIENCE_S_MAX]


def test_presence_begins_it_anew() -> None:
    clock = Clock()
    watch = AbsenceWatch(clock)
    clock.now_s += PATIENCE_S
    assert watch.is_too_long()
    clock.now_s += PATIENCE_S
    watch.present()
    assert not watch.is_too_long()
    clock.now_s += PATIENCE_S
    assert watch.is_too_long()
