"""Type hints: what is refused when a function is defined, and what a value from outside may not hold."""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from pathlib import Path
from typing import Annotated, Any, NoReturn, NotRequired, TypedDict

import msgspec
import pytest
from pydantic import AliasChoices, BaseModel, Field, model_validator

from weft import activity, workflow
from weft.codec import decode_payload, decoder, encode_by_hint, encode_checked, encode_payload
from weft.errors import UsageError


class Stranger:
    pass


class Article(BaseModel):
    name: str
    code: str = Field("", validation_alias=AliasChoices("code", "sku"))


@dataclasses.dataclass
class Line:
    article: str
    quantity: Annotated[int, Field(gt=0)] = 1


@dataclasses.dataclass
class Order:
    lines: list[Line]
    first: Article | None = None
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)


class Note(TypedDict):
    text: str
    by: NotRequired[str]


class Point(msgspec.Struct, rename="camel"):
    left_side: int = 0
    notes: tuple[Note, ...] = ()


class Open(BaseModel, extra="allow"):
    name: str


class Shaped(BaseModel):
    name: str

    @model_validator(mode="before")
    @classmethod
    def _accept_a_title(cls, value: Any) -> Any:
        return {"name": value["title"]} if "title" in value else value


# Definition.


def test_activity_is_refused_at_its_definition_when_a_parameter_has_an_ordinary_class() -> None:
    with pytest.raises(
        UsageError, match=r"^activity take, parameter 'thing': Stranger .*Make it a dataclass"
    ):

        @activity.define
        async def take(count: int, thing: Stranger) -> None: ...


def test_activity_is_refused_at_its_definition_when_its_result_has_an_ordinary_class() -> None:
    with pytest.raises(UsageError, match=r"^activity give, return type: Stranger inside of list\["):

        @activity.define(timeout=5)
        def give() -> list[Stranger]:
            return []


def test_workflow_is_refused_at_its_definition_when_its_input_has_an_ordinary_class() -> None:
    with pytest.raises(UsageError, match=r"^workflow run, parameter 'order': Stranger"):

        @workflow.define
        async def run(ctx: workflow.Context, order: Stranger) -> None: ...


def test_activity_that_never_returns_is_no_mistake() -> None:
    @activity.define
    async def fail() -> NoReturn:
        raise ValueError

    assert fail.decode_result(encode_payload(None)) is None


def test_hint_may_be_of_a_class_inside_of_the_function_around() -> None:
    @dataclasses.dataclass
    class Inner:
        count: int

    @activity.define
    async def take(inner: Inner) -> Inner:
        return inner

    assert take.decode_input(take.encode_input([Inner(3)], {})) == [Inner(3)]
    assert take.decode_result(take.encode_result(Inner(4))) == Inner(4)


def test_hint_may_be_of_a_class_that_is_defined_below() -> None:
    assert early.decode_input(early.encode_input([Late(1)], {})) == [Late(1)]


@activity.define
async def early(late: Late) -> None: ...


@dataclasses.dataclass
class Late:
    count: int


def test_hint_that_names_nothing_is_refused_where_it_is_needed() -> None:
    @activity.define
    async def take(thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(
        UsageError, match=r"activity take, parameter 'thing': .*name 'Nowhere' is not defined"
    ):
        take.decode_input(encode_payload([1]))


# Values that do not fit.

LINE: dict[str, Any] = {"article": "a"}


@pytest.mark.parametrize(
    "hint,value,text",
    [
        (Order, {"lines": [LINE | {"quantity": 0}]}, r"greater than 0 - at `\$\.lines\[0\]\.quantity`, where 0 came"),
        (Order, {"lines": [LINE | {"quantity": "2"}]}, r"integer - at `\$\.lines\[0\]\.quantity`, where \"2\" came"),
        (list[Line], [{"article": 1}, {}], r"valid string \(and 1 more\) - at `\$\[0\]\.article`, where 1 came"),
        (Annotated[int, Field(le=3)], 4, "less than or equal to 3"),
        (Annotated[str, msgspec.Meta(max_length=2)], "abc", "length <= 2"),
        (Line | Article, {"quantity": 1}, r"is not .*Line \| .*Article: .*\(and 1 more\)"),
        (Point, {"leftSide": "x"}, r"`int`, got `str` - at `\$\.leftSide`, where \"x\" came"),
        (dict[str, Article], {"a": {"name": []}}, r"valid string - at `\$\[\.\.\.\]\.name`, where \[\] came"),
    ],
    ids=str,
)  # fmt: skip
def test_refusal_says_what_was_expected_where_what_came_and_what_to_do(
    hint: Any, value: Any, text: str
) -> None:
    with pytest.raises(UsageError, match=f"{text}.*Give what the type hint says, or change"):
        encode_checked(value, hint)


@pytest.mark.parametrize(
    "hint,value,path,known",
    [
        (Order, {"lines": [], "line": []}, "$.line", "first, lines, notes"),
        (Order, {"lines": [LINE, LINE | {"qty": 2}]}, "$.lines[1].qty", "article, quantity"),
        (Order, {"lines": [], "first": {"name": "n", "nmae": 1}}, "$.first.nmae", "code, name, sku"),
        (Note, {"text": "t", "of": "x"}, "$.of", "by, text"),
        (Point, {"left_side": 2}, "$.left_side", "leftSide, notes"),
        (Point, {"notes": [{"text": "t"}, {"text": "u", "x": 1}]}, "$.notes[1].x", "by, text"),
        (dict[str, list[Note | None]], {"a": [None, {"text": "t", "x": 1}]}, "$.a[1].x", "by, text"),
        (tuple[int, Article], (1, {"name": "n", "x": 1}), "$[1].x", "code, name, sku"),
    ],
    ids=str,
)  # fmt: skip
def test_field_that_no_hint_knows_is_refused_where_it_enters(
    hint: Any, value: Any, path: str, known: str
) -> None:
    with pytest.raises(UsageError) as refusal:
        encode_checked(value, hint)
    assert f"there is no such field - at `{path}`. There are: {known}." in str(refusal.value)
    # What stands on the log may be of newer code: there it is passed over.
    decode_payload(encode_payload(value), hint)


@pytest.mark.parametrize(
    "hint,value",
    [
        (Order, {"lines": [], "notes": {"any": {"thing": 1}}}),
        (Article, {"name": "n", "sku": "s"}),
        (Open, {"name": "n", "more": 1}),
        (Shaped, {"title": "t"}),
        (dict[str, Any], {"a": {"b": 1}}),
        (Line | Order, {"lines": [], "x": 1}),
        (Any, {"a": 1}),
    ],
    ids=str,
)
def test_field_is_taken_when_its_hint_may_know_it(hint: Any, value: Any) -> None:
    assert encode_checked(value, hint) == encode_payload(value)


def test_workflow_refuses_an_unknown_field_where_its_input_enters() -> None:
    @workflow.define
    async def run(ctx: workflow.Context, order: Order) -> None: ...

    with pytest.raises(UsageError, match=r"^workflow run, input: .*no such field - at `\$\.x`"):
        run.encode_input({"lines": [], "x": 1})


# What JSON cannot hold.


@pytest.mark.parametrize(
    "hint,value",
    [
        (Any, {1}),
        (list[dict[str, Any]], [{"a": {1}}]),
        (Any, {"a": [frozenset("a")]}),
        (list, [{1}]),
        (dict[str, Any], {"a": {1}}),
    ],
    ids=str,
)
def test_set_is_refused_when_no_hint_would_bring_it_back(hint: Any, value: Any) -> None:
    with pytest.raises(UsageError, match=r"JSON has no sets.*Declare it"):
        encode_by_hint(value, hint)


def test_set_is_refused_as_an_argument_and_a_result_without_a_hint() -> None:
    @activity.define
    def take(things: Any, known: set[int]) -> Any: ...

    take.encode_input([1, {2}], {})
    with pytest.raises(UsageError, match="JSON has no sets"):
        take.encode_input([{1}, {2}], {})
    with pytest.raises(UsageError, match="JSON has no sets"):
        take.encode_result({1})


def test_set_inside_of_a_class_has_its_own_hint() -> None:
    @dataclasses.dataclass
    class Tagged:
        tags: set[str]

    assert bytes(encode_by_hint([Tagged({"a"})], Any)) == b'[{"tags":["a"]}]'


def test_hint_with_a_mark_that_cannot_be_hashed_is_read_all_the_same() -> None:
    hint = Annotated[list[int], ["no hash"]]
    assert decode_payload(encode_by_hint([1], hint), hint) == [1]


def test_model_with_aliases_comes_back_however_it_was_written() -> None:
    assert decode_payload(b'{"name":"n","sku":"s"}', Article).code == "s"
    article = decode_payload(b'{"name":"n","sku":"s"}', Article)
    assert decode_payload(encode_payload(article), Article) == article


def test_types_of_the_standard_library_are_left_to_pydantic() -> None:
    for hint, value in ((Path, Path("/a")), (deque[int], deque([1, 2]))):
        assert decode_payload(encode_payload(value), hint) == value


def test_constraint_of_pydantic_beside_a_struct_is_refused_at_once() -> None:
    """To msgspec the constraint is nothing, and to pydantic the struct."""

    @dataclasses.dataclass
    class Mixed:
        point: Point
        count: Annotated[int, Field(gt=0)]

    with pytest.raises(UsageError, match="Mixed cannot be read from JSON"):
        decoder(Mixed)


def test_flags_are_refused_when_json_cannot_name_them() -> None:
    class Flags(enum.Flag):
        A = 1
        B = 2

    assert decode_payload(encode_payload(Flags.A), Flags) == Flags.A
