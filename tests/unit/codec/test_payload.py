"""User data to JSON and back by type hint, and the texts that refuse what does not fit."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import re
import uuid
from decimal import Decimal
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import given
from pydantic import BaseModel, Field

from tests.support.strategies import json_values
from weft.codec import decode_payload, decoder, encode_payload
from weft.errors import UsageError
from weft.records import NULL, Payload


class Country(enum.Enum):
    PERU = "pe"
    FINLAND = "fi"


@dataclasses.dataclass(frozen=True)
class Line:
    article: str
    quantity: int = 1


@dataclasses.dataclass
class Order:
    id: str
    lines: list[Line]
    country: Country | None = None


class Approval(TypedDict):
    by: str
    note: NotRequired[str]


class Point(msgspec.Struct):
    x: float
    y: float


class Pair(NamedTuple):
    left: int
    right: str


class Address(BaseModel):
    street: str
    zip_code: str = Field(pattern=r"^\d{5}$")


class Customer(BaseModel):
    name: str
    address: Address
    since: dt.date


@dataclasses.dataclass
class Delivery:
    order: Order
    address: Address


class Stranger:
    pass


@dataclasses.dataclass
class Tree:
    name: str
    children: list[Tree] = dataclasses.field(default_factory=list)


ADDRESS = Address(street="Aleksanterinkatu 1", zip_code="00100")
CUSTOMER = Customer(name="Åsa", address=ADDRESS, since=dt.date(2020, 2, 29))
ORDER = Order("order-1", [Line("täti", 2), Line("x")], Country.FINLAND)
MOMENT = dt.datetime(2026, 11, 21, 9, 30, 0, 125_000, tzinfo=dt.UTC)

ROUND_TRIPS: list[tuple[Any, Any, str]] = [
    (int, 7, "7"),
    (int, 2**70, "1180591620717411303424"),
    (float, 1.5, "1.5"),
    (str, "Ada ☃", '"Ada ☃"'),
    (bool, True, "true"),
    (None, None, "null"),
    (int | None, None, "null"),
    (list[int], [1, 2], "[1,2]"),
    (dict[str, list[int]], {"a": [1]}, '{"a":[1]}'),
    (tuple[int, str], (1, "a"), '[1,"a"]'),
    (set[int], {1}, "[1]"),
    (Literal["a", "b"], "b", '"b"'),
    (Country, Country.PERU, '"pe"'),
    (Line, Line("a", 2), '{"article":"a","quantity":2}'),
    (
        Order,
        ORDER,
        '{"id":"order-1","lines":[{"article":"täti","quantity":2},{"article":"x","quantity":1}],"country":"fi"}',
    ),
    (Approval, {"by": "Ada"}, '{"by":"Ada"}'),
    (Point, Point(1.0, 2.0), '{"x":1.0,"y":2.0}'),
    (Pair, Pair(1, "a"), '[1,"a"]'),
    (Address, ADDRESS, '{"street":"Aleksanterinkatu 1","zip_code":"00100"}'),
    (
        Customer,
        CUSTOMER,
        '{"name":"Åsa","address":{"street":"Aleksanterinkatu 1","zip_code":"00100"},"since":"2020-02-29"}',
    ),
    (Tree, Tree("a", [Tree("b")]), '{"name":"a","children":[{"name":"b","children":[]}]}'),
    (dt.datetime, MOMENT, '"2026-11-21T09:30:00.125000Z"'),
    (dt.date, dt.date(2026, 11, 21), '"2026-11-21"'),
    (dt.timedelta, dt.timedelta(days=2, seconds=1), '"P2DT1S"'),
    (uuid.UUID, uuid.UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
    (Decimal, Decimal("19.90"), '"19.90"'),
    (bytes, b"\x00\xff", '"AP8="'),
    (Any, {"a": [1, None]}, '{"a":[1,null]}'),
]


@pytest.mark.parametrize("hint,value,text", ROUND_TRIPS, ids=[str(case[0]) for case in ROUND_TRIPS])
def test_value_is_readable_json_and_comes_back_by_its_hint(
    hint: Any, value: Any, text: str
) -> None:
    payload = encode_payload(value)
    assert bytes(payload).decode() == text
    again = decode_payload(payload, hint)
    assert again == value
    assert type(again) is type(value)


@given(json_values)
def test_json_value_comes_back_without_a_hint(value: Any) -> None:
    assert decode_payload(encode_payload(value)) == value


def test_nothing_given_is_the_null_payload() -> None:
    assert encode_payload(None) is NULL
    assert decode_payload(NULL) is None


@pytest.mark.parametrize(
    "hint,value",
    [
        (list[Address], [ADDRESS, ADDRESS]),
        (dict[str, Customer], {"a": CUSTOMER}),
        (Address | None, ADDRESS),
        (Address | None, None),
        (tuple[str, Address], ("a", ADDRESS)),
        (Delivery, Delivery(ORDER, ADDRESS)),
    ],
    ids=str,
)
def test_pydantic_model_inside_other_types_keeps_its_own_validation(hint: Any, value: Any) -> None:
    assert decode_payload(encode_payload(value), hint) == value


@pytest.mark.parametrize(
    "hint,text,reason",
    [
        (int, '"7"', r'"7" is not int: Expected `int`, got `str`'),
        (int, "", "Input data was truncated"),
        (int, "7 8", "trailing characters"),
        (Order, '{"id":"o"}', "is not Order: .*missing required field `lines`"),
        (
            Order,
            '{"id":"o","lines":[{"article":"a"},{"article":"b","quantity":"2"}]}',
            r"Expected `int`, got `str` - at `\$\.lines\[1\]\.quantity`",
        ),
        (
            Order,
            '{"id":"o","lines":[],"country":"se"}',
            r"Invalid enum value 'se' - at `\$\.country`",
        ),
        (Approval, '{"note":"n"}', "is not Approval: .*missing required field `by`"),
        (Approval, '{"by":1}', r"at `\$\.by`"),
        (Decimal, '"nineteen"', "Invalid decimal string"),
        (dt.datetime, '"yesterday"', "Invalid RFC3339 encoded datetime"),
        (uuid.UUID, '"7"', "Invalid UUID"),
        (bytes, '"?"', "Invalid base64 encoded string"),
        (
            Address,
            '{"street":"s","zip_code":"1"}',
            r"is not Address: String should match pattern .* - at `\$\.zip_code`, where \"1\" came",
        ),
        (
            Customer,
            '{"name":"n","address":{"street":"s"},"since":"2020-01-01"}',
            r"is not Customer: Field required - at `\$\.address\.zip_code`\.",
        ),
        (Address, "[]", r"is not Address: .* - at `\$`"),
        (Address, "{", "is not Address: Invalid JSON"),
    ],
)
def test_value_that_does_not_fit_is_refused_with_the_field(
    hint: Any, text: str, reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        decode_payload(text.encode(), hint)


@pytest.mark.parametrize(
    "hint,text,field",
    [
        (list[Address], '[{"street":"s","zip_code":"1"}]', "$[0].zip_code"),
        (dict[str, Address], '{"a":{"street":"s"}}', "$[...].zip_code"),
        (
            Delivery,
            '{"order":{"id":"o","lines":[]},"address":{"zip_code":"00100"}}',
            "$.address.street",
        ),
    ],
    ids=str,
)
def test_refusal_by_a_pydantic_model_inside_names_its_field(
    hint: Any, text: str, field: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(f"at `{field}`")):
        decode_payload(text.encode(), hint)


@pytest.mark.parametrize(
    "value,reason",
    [
        (object(), "type object cannot be written as JSON"),
        ({"a": [1, {"b": lambda: None}]}, "type function cannot be written as JSON"),
        ({(1, 2): 3}, "type tuple cannot be written as JSON"),
        ("\ud800", "surrogates"),
    ],
)
def test_value_that_json_cannot_hold_is_refused_with_what_to_use(value: Any, reason: str) -> None:
    with pytest.raises(UsageError, match=f"cannot be stored: .*{reason}.*Use JSON types"):
        encode_payload(value)


def test_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match="cannot be stored"):
        encode_payload(endless)


def test_long_value_is_shortened_in_the_refusal() -> None:
    with pytest.raises(UsageError) as refusal:
        decode_payload(b'"' + b"x" * 10_000 + b'"', int)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("hint", [int | str | Order | Point, "no such type"], ids=str)
def test_hint_that_nobody_can_decode_is_refused_at_once(hint: Any) -> None:
    with pytest.raises(UsageError, match="cannot be read from JSON"):
        decoder(hint)


@pytest.mark.parametrize("hint", [Stranger, list[Stranger], dict[str, Stranger | None]], ids=str)
def test_hint_of_an_ordinary_class_is_refused_at_once(hint: Any) -> None:
    with pytest.raises(
        UsageError, match=r"Stranger .*cannot be read from JSON: .*Make it a dataclass"
    ):
        decoder(hint)


def test_decoder_of_a_hint_is_made_once() -> None:
    assert decoder(Order) is decoder(Order)


def test_value_is_read_from_bytes_as_from_a_payload() -> None:
    assert decode_payload(b'{"by":"Ada"}', Approval) == decode_payload(
        Payload(b'{"by":"Ada"}'), Approval
    )


def test_object_inside_a_hint_takes_any_value() -> None:
    assert decode_payload(b'[1,"two",{"three":[3]}]', list[object]) == [1, "two", {"three": [3]}]
    assert decode_payload(b'{"a":null}', dict[str, object]) == {"a": None}


@pytest.mark.parametrize("value", [float("nan"), [1.0, float("inf")], {"a": {"b": float("-inf")}}])
def test_number_that_json_lacks_is_refused_and_not_stored_as_null(value: object) -> None:
    with pytest.raises(UsageError, match="JSON has no such number"):
        encode_payload(value)


def test_none_is_stored_as_null_inside_of_anything() -> None:
    assert bytes(encode_payload({"a": None, "b": [1.5, None], "c": "null"})) == (
        b'{"a":null,"b":[1.5,null],"c":"null"}'
    )
