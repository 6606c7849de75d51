"""Every type that a workflow may speak in goes to JSON and comes back the same, alone and inside of others."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from tests.support.strategies import json_values
from weft.codec import decode_payload, encode_by_hint, encode_checked, encode_payload
from weft.records import Payload

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


CustomerId = NewType("CustomerId", str)
Count = Annotated[int, Field(ge=0)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]


@dataclasses.dataclass(frozen=True)
class Line:
    article: str
    quantity: Count
    price: Decimal
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Order:
    id: uuid.UUID
    lines: list[Line]
    colour: Colour | None
    placed: dt.datetime


class Spot(NamedTuple):
    x: int
    name: str | None = None


class Extent(TypedDict):
    low: Level
    high: Level


class Parcel(msgspec.Struct, frozen=True):
    content: bytes
    spot: Spot
    weight: Ratio = 0.0


class Address(BaseModel):
    street: str = Field(alias="streetName")
    floors: set[int] = set()


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: dt.date | None = None


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


_zones = st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=2)), None])
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_floats = st.floats(allow_nan=False, allow_infinity=False)
_decimals = st.decimals(
    allow_nan=False, allow_infinity=False, places=2, min_value=0, max_value=10**9
)
_lines = st.builds(
    Line, _texts, st.integers(0, 10**6), _decimals, st.frozensets(_texts, max_size=3)
)
_orders = st.builds(
    Order,
    st.uuids(),
    st.lists(_lines, max_size=3),
    st.sampled_from([*Colour, None]),
    st.datetimes(timezones=_zones),
)
_spots = st.builds(Spot, st.integers(-100, 100), st.none() | _texts)
_parcels = st.builds(Parcel, st.binary(max_size=20), _spots, st.floats(0, 1))
_addresses = st.builds(
    lambda street, floors: Address(streetName=street, floors=floors),
    _texts,
    st.sets(st.integers(-3, 40), max_size=4),
)
_extents = st.fixed_dictionaries({"low": st.sampled_from(Level), "high": st.sampled_from(Level)})

TYPES: dict[Any, st.SearchStrategy[Any]] = {
    Any: json_values,
    None: st.none(),
    bool: st.booleans(),
    int: st.integers(),
    float: _floats,
    str: _texts,
    bytes: st.binary(max_size=50),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    uuid.UUID: st.uuids(),
    dt.datetime: st.datetimes(timezones=_zones),
    dt.date: st.dates(),
    dt.time: st.times(),
    dt.timedelta: st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999)),
    Colour: st.sampled_from(Colour),
    Level: st.sampled_from(Level),
    Literal["a", 2] | None: st.sampled_from(["a", 2, None]),
    CustomerId: _texts,
    Count: st.integers(0, 10**9),
    Ratio: st.floats(0, 1),
    Path: st.just(Path("a/b")),
    Line: _lines,
    Order: _orders,
    Spot: _spots,
    Extent: _extents,
    Parcel: _parcels,
    Address: _addresses,
    Page[int]: st.builds(
        Page[int], items=st.lists(st.integers(), max_size=3), next=st.none() | st.dates()
    ),
    Page[Address]: st.builds(Page[Address], items=st.lists(_addresses, max_size=2)),
    Cat | Dog: st.builds(Cat, lives=st.integers(0, 9)) | st.builds(Dog, name=_texts),
    Line | Order: _lines | _orders,
    Box[Parcel]: st.builds(Box, _parcels),
    int | str | None: st.integers() | _texts | st.none(),
    set[uuid.UUID]: st.sets(st.uuids(), max_size=3),
    frozenset[Colour]: st.frozensets(st.sampled_from(Colour)),
    tuple[int, Colour, bytes]: st.tuples(
        st.integers(), st.sampled_from(Colour), st.binary(max_size=9)
    ),
    tuple[Decimal, ...]: st.lists(_decimals, max_size=4).map(tuple),
    dict[str, list[Order]]: st.dictionaries(_texts, st.lists(_orders, max_size=2), max_size=2),
    dict[uuid.UUID, Address]: st.dictionaries(st.uuids(), _addresses, max_size=2),
    list[Parcel | None]: st.lists(_parcels | st.none(), max_size=3),
}


@pytest.mark.parametrize("hint", TYPES, ids=str)
def test_value_of_every_type_comes_back_the_same(hint: Any) -> None:
    @given(TYPES[hint])
    def comes_back(value: Any) -> None:
        payload = encode_by_hint(value, hint)
        assert payload == encode_checked(value, hint)
        json.loads(bytes(payload))  # any reader can read it
        again = decode_payload(payload, hint)
        assert again == value
        assert type(again) is type(value)

    comes_back()


@given(
    st.lists(st.sampled_from([hint for hint in TYPES if hint is not None]), min_size=1, max_size=4),
    st.data(),
)
def test_values_of_several_types_come_back_as_the_fields_of_one(
    hints: list[Any], data: st.DataObject
) -> None:
    """As arguments of one activity, each with its own hint."""
    values = [data.draw(TYPES[hint]) for hint in hints]
    parts = decode_payload(encode_payload(values), list[Payload])
    assert [decode_payload(part, hint) for part, hint in zip(parts, hints, strict=True)] == values
