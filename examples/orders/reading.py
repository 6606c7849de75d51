"""From `orders.csv` to orders.

A line that is not a good order is reported with its number and the reason; it is never skipped in silence, and it costs
nobody else anything.

One order is one line of the file: a quoted field may hold commas and quotes, but no line break. So a forgotten quote
spoils its own line only, and not everything up to the next quote.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from examples.orders.model import COUNTRIES, Line, Order

COLUMNS = ("id", "customer", "lines", "amount", "country")

_ID = re.compile(r"order-\d{4,}", re.ASCII)
_LINE = re.compile(r"(SKU-\d{1,4}) x(\d{1,3})", re.ASCII)
_AMOUNT = re.compile(r"(-?)(\d{1,7})(?:\.(\d{1,2}))?", re.ASCII)


class OrdersFileError(Exception):
    """The file as a whole cannot be used."""


class BadLineError(Exception):
    """One line is not a good order; the text says why."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that was not taken. `line_number` counts from 1, the header included, as editors do."""

    line_number: int
    reason: str


@dataclass(frozen=True, slots=True)
class OrderBook:
    """All that was in a file: every line after the header is either in `orders` or in `rejected`."""

    orders: tuple[Order, ...]
    rejected: tuple[Rejected, ...]

    @property
    def lines_read(self) -> int:
        return len(self.orders) + len(self.rejected)


def read_orders(path: Path, lines_max: int | None = None) -> OrderBook:
    """Read the file, or the first `lines_max` lines after its header.

    Raises OrdersFileError when it cannot be read or does not begin with the header that is expected.
    """
    try:
        header, *lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    except OSError as error:
        raise OrdersFileError(
            f"{path} cannot be read: {error.strerror}. Name a file of orders."
        ) from error
    expected = ",".join(COLUMNS)
    if header.decode("utf-8-sig", "replace").strip() != expected:
        raise OrdersFileError(
            f"{path} does not begin with the line {expected!r}, so it is no file of orders."
        )
    orders: list[Order] = []
    rejected: list[Rejected] = []
    line_number_by_id: dict[str, int] = {}
    for line_number, line in enumerate(lines[:lines_max], start=2):
        try:
            order = parse_order(line)
        except BadLineError as error:
            rejected.append(Rejected(line_number, str(error)))
            continue
        first_line_number = line_number_by_id.setdefault(order.id, line_number)
        if first_line_number == line_number:
            orders.append(order)
        else:
            reason = f"id {order.id} was on line {first_line_number} already"
            rejected.append(Rejected(line_number, reason))
    return OrderBook(tuple(orders), tuple(rejected))


def parse_order(line: bytes) -> Order:
    """One line to an order. Raises BadLineError."""
    fields = _split(_decoded(line).removesuffix("\r"))
    if len(fields) != len(COLUMNS):
        raise BadLineError(f"{len(fields)} fields instead of {len(COLUMNS)}")
    order_id, customer, lines, amount, country = (field.strip() for field in fields)
    if not _ID.fullmatch(order_id):
        raise BadLineError(f"id {order_id!r} is not like order-1001")
    if not customer:
        raise BadLineError("no customer")
    if country not in COUNTRIES:
        raise BadLineError(f"unknown country {country!r}" if country else "no country")
    return Order(order_id, customer, _parse_lines(lines), _parse_cents(amount), country)


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise BadLineError(
            f"not UTF-8: byte 0x{line[error.start]:02x} at position {error.start + 1}"
        ) from None


def _split(line: str) -> list[str]:
    if not line.strip():
        raise BadLineError("the line is empty")
    try:
        return next(csv.reader([line], strict=True))
    except csv.Error as error:
        raise BadLineError(f"bad quoting: {error}") from None


def _parse_lines(text: str) -> tuple[Line, ...]:
    if not text:
        raise BadLineError("no order lines")
    return tuple(_parse_line(part.strip()) for part in text.split(";"))


def _parse_line(text: str) -> Line:
    match = _LINE.fullmatch(text)
    if match is None:
        raise BadLineError(f"order line {text!r} is not like 'SKU-12 x2'")
    if not int(match[2]):
        raise BadLineError(f"order line {text!r} orders nothing")
    return Line(match[1], int(match[2]))


def _parse_cents(text: str) -> int:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise BadLineError(f"amount {text!r} is not a number like 149.90" if text else "no amount")
    cents = int(match[2]) * 100 + int((match[3] or "").ljust(2, "0"))
    if match[1] or not cents:
        raise BadLineError(f"amount {text} is not above zero")
    return cents
