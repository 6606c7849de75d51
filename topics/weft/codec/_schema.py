"""JSON Schemas of everything on the topics, made from the records' classes.

msgspec's own generator cannot write a default that is `Raw`, which most of our payloads have, and knows neither the
fields' docstrings nor what the codec checks beyond the types. So the classes are walked here, by `msgspec.inspect`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import msgspec
from msgspec import inspect as types

from weft import records

JsonSchema = dict[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A sort of topic: its records, and what its schema says about it."""

    title: str
    description: str
    records: tuple[type, ...]


def _classes(union: Any) -> tuple[type, ...]:
    return get_args(union) or (union,)


_EVENTS = _classes(records.Event)
_KINDS = {
    "signals": _Kind(
        "Records of <namespace>.signals",
        "What clients and any Kafka producer ask of a workflow. The record's key is the workflow ID. "
        "A signal needs no `kind`.",
        (*_classes(records.SignalsRecord), records.PlainSignal),
    ),
    "results": _Kind(
        "Records of <namespace>.results",
        "How attempts of activities ended, by the activity workers. The record's key is the workflow ID.",
        _classes(records.ResultsRecord),
    ),
    "messages": _Kind(
        "Records of <namespace>.messages",
        "What owners of partitions tell each other. The record's key is the workflow ID.",
        _classes(records.MessagesRecord),
    ),
    "queries": _Kind(
        "Records of <namespace>.queries",
        "Questions that change nothing. The record's key is the workflow ID.",
        _classes(records.QueriesRecord),
    ),
    "state": _Kind(
        "Records of <namespace>.state",
        "The state and history of every workflow, on a compacted topic. A head's key is the workflow ID, a page's the "
        "workflow ID, its run ID and its number with NUL characters between them, a claim's NUL and `claim`. "
        "A record without a value says that the key was deleted.",
        _classes(records.StateRecord),
    ),
    "owners": _Kind(
        "Records of <namespace>.owners",
        "The last claim of each partition, on a compacted topic. The record's key is the partition's number.",
        (records.Claim,),
    ),
    "tasks": _Kind(
        "Records of <namespace>.tasks.<queue>",
        "Attempts of activities for whoever serves the queue. The record's key is the workflow ID.",
        (records.ActivityTask,),
    ),
    "events": _Kind(
        "Records of <namespace>.events",
        "What became of workflows, as CloudEvents. The record's key is the workflow ID.",
        (records.LifecycleEvent,),
    ),
    "replies": _Kind(
        "Records of <namespace>.replies",
        "Answers to clients. The record's key is the client's ID.",
        (records.Reply,),
    ),
    "reference": _Kind(
        "A payload that lies in the payload store",
        "Stands, in this very spelling, where a record's input, result or payload would be too large. User data of "
        "this shape has a space after its first brace.",
        (records.PayloadReference,),
    ),
    "encoded": _Kind(
        "A payload that codecs have encoded",
        "Stands, in this very spelling, where a record's input, result, payload, status or details would be readable. "
        "User data of this shape has a space after its first brace.",
        (records.PayloadEnvelope,),
    ),
    "history": _Kind(
        "A history event",
        "One of the ordered facts of a run, as it stands in the tail of a head and in pages.",
        _EVENTS,
    ),
}
_HISTORY_FIELDS = {(records.Head, "tail"), (records.Page, "events")}
"""Carried as bytes, and yet not just any JSON value."""
_JSON_TYPES: dict[type[types.Type], str] = {
    types.NoneType: "null",
    types.BoolType: "boolean",
    types.IntType: "integer",
    types.FloatType: "number",
}
_NOT_EMPTY_FIELDS = {(records.SignalWorkflow, "signal"), (records.PlainSignal, "signal")}


def schemas() -> dict[str, JsonSchema]:
    """A JSON Schema (draft 2020-12) of the values on each kind of topic, and of a history event, by kind."""
    return {name: _document(name, kind) for name, kind in _KINDS.items()}


def _document(name: str, kind: _Kind) -> JsonSchema:
    definitions: dict[str, JsonSchema] = {}
    options = _references(kind.records, definitions)
    return {
        "$schema": _DRAFT,
        "$id": f"urn:weft:schema:{name}",
        "title": kind.title,
        "description": kind.description,
        **(options[0] if len(options) == 1 else {"anyOf": options}),
        "$defs": dict(sorted(definitions.items())),
    }


def _references(classes: Iterable[type], definitions: dict[str, JsonSchema]) -> list[JsonSchema]:
    return [_reference(cls, definitions) for cls in classes]


def _reference(cls: type, definitions: dict[str, JsonSchema]) -> JsonSchema:
    if cls.__name__ not in definitions:
        definitions[cls.__name__] = {}  # so that a class that holds itself comes to an end
        definitions[cls.__name__] = _struct(cls, definitions)
    return {"$ref": f"#/$defs/{cls.__name__}"}


def _struct(cls: type, definitions: dict[str, JsonSchema]) -> JsonSchema:
    info = types.type_info(cls)
    assert isinstance(info, types.StructType), f"{cls.__name__} is a record, so a struct"
    schema: JsonSchema = {"title": cls.__name__}
    if cls.__doc__:
        schema["description"] = _one_line(cls.__doc__)
    properties: dict[str, JsonSchema] = {}
    required: list[str] = []
    if info.tag_field is not None:
        properties[info.tag_field] = {"const": info.tag}
        required.append(info.tag_field)
    for field in info.fields:
        properties[field.encode_name] = _field(cls, field, definitions)
        if field.required:
            required.append(field.encode_name)
    schema |= {"type": "object", "properties": properties, "required": required}
    if cls is records.PlainSignal:
        schema["not"] = {"required": ["kind"]}
    return schema


def _field(cls: type, field: types.Field, definitions: dict[str, JsonSchema]) -> JsonSchema:
    schema = _type(field.type, definitions)
    if (cls, field.name) in _HISTORY_FIELDS:
        schema = {"type": "array", "items": {"anyOf": _references(_EVENTS, definitions)}}
    elif (cls, field.name) in _NOT_EMPTY_FIELDS:
        schema["minLength"] = 1
    if field.default is not msgspec.NODEFAULT and (cls, field.name) not in _HISTORY_FIELDS:
        schema["default"] = msgspec.json.decode(msgspec.json.encode(field.default))
    description = _field_docstrings(cls).get(field.name)
    return schema if description is None else {"description": description, **schema}


def _type(info: types.Type, definitions: dict[str, JsonSchema]) -> JsonSchema:
    if isinstance(info, types.StrType):
        lengths = {"minLength": info.min_length, "maxLength": info.max_length}
        limits = {name: length for name, length in lengths.items() if length is not None}
        return {"type": "string", **limits}
    if type(info) in _JSON_TYPES:
        return {"type": _JSON_TYPES[type(info)]}
    match info:
        case types.AnyType() | types.RawType():
            return {}
        case types.LiteralType(values=[value]):
            return {"const": value}
        case types.LiteralType(values=values):
            return {"enum": list(values)}
        case types.CollectionType(item_type=item_type):
            return {"type": "array", "items": _type(item_type, definitions)}
        case types.DictType(value_type=value_type):
            return {"type": "object", "additionalProperties": _type(value_type, definitions)}
        case types.UnionType(types=members):
            return {"anyOf": [_type(member, definitions) for member in members]}
        case types.StructType(cls=cls):
            return _reference(cls, definitions)
    raise TypeError(f"{info} has no schema yet: say in weft.codec._schema what it looks like")


@cache
def _field_docstrings(cls: type) -> dict[str, str]:
    """The strings that stand under the fields in the source, which no class keeps; inherited ones too."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("weft.records"):
            found |= _docstrings_in(textwrap.dedent(inspect.getsource(base)))
    return found


def _docstrings_in(source: str) -> dict[str, str]:
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.ClassDef), "the source of a class"
    found: dict[str, str] = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(docstring))),
            ):
                found[name] = _one_line(docstring)
    return found


def _one_line(docstring: str) -> str:
    """A docstring without its line breaks; paragraphs stay apart."""
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
