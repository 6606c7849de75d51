"""What the order desk talks about: orders, what is done with them, and how they end.

Amounts are whole cents. All of it crosses the log as JSON, so these are plain dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weft.errors import Failure

APPROVAL_LIMIT_CENTS = 40_000
"""An order above this amount waits for somebody's approval before it is shipped."""

COUNTRIES = frozenset(
    {"AT", "BE", "CH", "CZ", "DE", "DK", "ES", "FI", "FR", "IE", "IT", "NL", "NO", "PL", "PT", "SE"}
)
"""Where the carrier delivers."""

Category = Literal["shipped", "declined", "refunded", "timed_out"]
CATEGORIES: tuple[Category, ...] = ("shipped", "declined", "refunded", "timed_out")
"""How an order ends.

`shipped`: paid and on its way. `declined`: the card was refused, the stock is released. `refunded`: it was paid, then
the approval was refused or the carrier would not take it; money back, stock released. `timed_out`: it was paid, and
nobody answered the approval in time; money back, stock released.
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One article of an order."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order that was read and found good. Its `id` is the workflow ID too."""

    id: str
    customer: str
    lines: tuple[Line, ...]
    amount_cents: int
    country: str

    @property
    def needs_approval(self) -> bool:
        return self.amount_cents > APPROVAL_LIMIT_CENTS


@dataclass(frozen=True, slots=True)
class Reservation:
    """Stock that is held for an order."""

    order_id: str
    pieces: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Money that was taken."""

    order_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Pick:
    """One line of an order, taken from the shelf."""

    sku: str
    quantity: int
    shelf: str


@dataclass(frozen=True, slots=True)
class Shipment:
    """A parcel on its way."""

    order_id: str
    tracking: str


@dataclass(frozen=True, slots=True)
class Approval:
    """The payload of the signal `approval`; any Kafka producer may write it."""

    approved: bool
    by: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an order ended. `tracking` is given for a shipped one, `reason` for all others."""

    category: Category
    reason: str = ""
    tracking: str = ""


class CardDeclined(Failure):
    """The card company says no. Asking again does not help."""


class CardTerminalDown(Failure):
    """The card company does not answer. Asking again does help."""


class AddressRefused(Failure):
    """The carrier does not deliver there. Asking again does not help."""


class ApprovalRefused(Failure):
    """Somebody looked at the order and said no."""
