"""What brokers refuse, in their own words; the clients make the contract's errors of it."""

from __future__ import annotations

from enum import Enum, auto


class Refusal(Enum):
    AWAY = auto()
    """Nobody answers: there is no leader or coordinator."""
    CONCURRENT = auto()
    """The former transaction is not complete yet: ask again."""
    FENCED = auto()
    """The producer's epoch is old."""
    WRONG_PHASE = auto()
    """No such transaction is open."""
    FENCED_INSTANCE = auto()
    """Another member has this instance ID now."""
    UNKNOWN_MEMBER = auto()
    STALE_GENERATION = auto()
    REBALANCING = auto()
    UNSTABLE_OFFSETS = auto()
    UNKNOWN_TOPIC = auto()


STALE_MEMBER = frozenset({Refusal.UNKNOWN_MEMBER, Refusal.STALE_GENERATION})
FENCED = STALE_MEMBER | {Refusal.FENCED, Refusal.FENCED_INSTANCE}


class RefusedError(Exception):
    """Raised by brokers only; no caller of the contract sees it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal
