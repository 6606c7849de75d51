"""How each order must end, worked out from the order and the world's rules alone.

This is the other half of double-entry bookkeeping: it knows nothing of the workflow, of Weft or of what happened.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from examples.orders import world
from examples.orders.approvals import answer_for
from examples.orders.model import Category, Order


@dataclass(frozen=True, slots=True)
class Expected:
    """`effects` counts, by activity, what takes effect; `failures` the attempts that fail (activity, error)."""

    category: Category
    effects: Counter[str]
    failures: Counter[tuple[str, str]]


def expect(order: Order) -> Expected:
    """What must become of this order."""
    effects = Counter(reserve_stock=1)
    if world.card_is_declined(order.id):
        return Expected(
            "declined", effects + Counter(release_stock=1), Counter({("charge", "CardDeclined"): 1})
        )
    effects += Counter(charge=1, pick=len(order.lines))
    failures = Counter({("charge", "CardTerminalDown"): world.card_terminal_failures(order.id)})
    undone = effects + Counter(refund=1, release_stock=1)
    answer = answer_for(order.id) if order.needs_approval else "approve"
    if answer == "refuse":
        return Expected("refunded", undone, +failures)
    if answer in {"silent", "late"}:
        return Expected("timed_out", undone, +failures)
    if world.address_is_refused(order.id):
        return Expected("refunded", undone, +failures + Counter({("ship", "AddressRefused"): 1}))
    return Expected("shipped", effects + Counter(ship=1), +failures)
