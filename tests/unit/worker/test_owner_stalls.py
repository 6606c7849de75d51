"""An owner that is told of a stalled partition, and cannot mend it at once."""

from __future__ import annotations

import pytest

from tests.unit.worker.owner_kit import NoLog, owner_on
from weft.errors import LogUnavailableError, TopicError


class Log(NoLog):
    """Its readers find nothing but an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.reader_count = 0

    def reader(self, *, committed: bool) -> Log:
        assert not committed, "the transaction in the way may itself be a claim"
        self.reader_count += 1
        return self

    def read_to_end(self, *_: object) -> None:
        raise self.error

    def close(self) -> None:
        """Nothing is open."""


def test_owner_goes_on_when_it_cannot_fence_now(caplog: pytest.LogCaptureFixture) -> None:
    """It is told again half a second later; an error out of here would end its membership. Simulation, seed 75."""
    log = Log(LogUnavailableError("no answer"))
    owner = owner_on(log)
    owner.on_stalled([0])
    owner.on_stalled([0])
    assert log.reader_count == 2
    assert "nobody could be fenced for [0] now: no answer" in caplog.text


def test_owner_ends_when_it_can_never_fence() -> None:
    with pytest.raises(TopicError):
        owner_on(Log(TopicError("there is no topic shop.owners"))).on_stalled([0])
