"""Fields that a type hint does not know, in what somebody sends.

Who reads the log passes over them: older code lives with newer writers. Where a value enters they are a mistake, most
often a misspelt name, and would be lost without a word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect as types
from pydantic import AliasChoices, AliasPath, BaseModel, RootModel

from weft.codec._classes import is_model
from weft.records import Payload

_OBJECTS = types.StructType | types.DataclassType | types.TypedDictType
_NAMES_MAX = 20


def unknown_field(hint: Any, data: Payload) -> str:
    """The first field in the JSON that no part of the hint knows, and which there are; empty when there is none."""
    tree = _tree(hint)
    if tree is None:
        return ""
    return next(_unknown(tree, msgspec.json.decode(data), "$"), "")


@lru_cache(maxsize=4096)
def _tree(hint: Any) -> types.Type | None:
    """None for what msgspec cannot tell apart: then everything is known."""
    try:
        return types.type_info(hint)
    except TypeError:
        return None


def _unknown(node: types.Type, value: Any, path: str) -> Iterator[str]:
    if isinstance(node, types.Metadata):
        node = node.type
    if isinstance(node, types.UnionType):
        fitting = [member for member in node.types if _takes(member, value)]
        if len(fitting) == 1:
            yield from _unknown(fitting[0], value, path)
    elif isinstance(value, dict):
        yield from _unknown_in_object(node, value, path)
    elif isinstance(value, list):
        for place, (item, part) in enumerate(zip(_items(node, len(value)), value, strict=False)):
            yield from _unknown(item, part, f"{path}[{place}]")


def _unknown_in_object(node: types.Type, value: dict[str, Any], path: str) -> Iterator[str]:
    if isinstance(node, types.DictType):
        for key, part in value.items():
            yield from _unknown(node.value_type, part, f"{path}.{key}")
        return
    fields = _fields(node)
    if fields is None:
        return
    for key, part in value.items():
        if key in fields:
            yield from _unknown(fields[key], part, f"{path}.{key}")
        else:
            names = ", ".join(sorted(fields)[:_NAMES_MAX])
            yield f"there is no such field - at `{path}.{key}`. There are: {names or 'none'}."


def _fields(node: types.Type) -> Mapping[str, types.Type] | None:
    """The fields by their names in JSON; None for what takes any, or says so itself."""
    if isinstance(node, types.CustomType) and is_model(node.cls):
        return _model_fields(node.cls)
    if not isinstance(node, _OBJECTS) or (isinstance(node, types.StructType) and node.array_like):
        return None
    fields = {
        field.encode_name if isinstance(node, types.StructType) else field.name: field.type
        for field in node.fields
    }
    if isinstance(node, types.StructType) and node.tag_field is not None:
        fields[node.tag_field] = types.AnyType()
    return fields


@lru_cache(maxsize=4096)
def _model_fields(model: type[BaseModel]) -> Mapping[str, types.Type] | None:
    validators = model.__pydantic_decorators__.model_validators.values()
    if (
        issubclass(model, RootModel)
        or model.model_config.get("extra") in {"allow", "forbid"}
        or any(validator.info.mode != "after" for validator in validators)
    ):
        return None
    fields: dict[str, types.Type] = {}
    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        node = _tree(annotation) or types.AnyType()
        for known in (name, field.alias, *_aliases(field.validation_alias)):
            if known:
                fields[known] = node
    return fields


def _aliases(alias: str | AliasPath | AliasChoices | None) -> Iterator[str]:
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias, AliasPath):
        yield str(alias.path[0])
    elif alias is not None:
        for choice in alias.choices:
            yield from _aliases(choice)


def _items(node: types.Type, count: int) -> Iterator[types.Type]:
    if isinstance(node, types.CollectionType):
        yield from [node.item_type] * count
    elif isinstance(node, types.TupleType):
        yield from node.item_types
    elif isinstance(node, types.NamedTupleType):
        yield from (field.type for field in node.fields)


def _takes(node: types.Type, value: Any) -> bool:
    """Whether a value of this sort of JSON may be meant for this member of a union."""
    if isinstance(node, types.AnyType):
        return True
    if isinstance(value, dict):
        return isinstance(node, types.DictType | types.CustomType | _OBJECTS)
    if isinstance(value, list):
        return isinstance(
            node, types.CollectionType | types.TupleType | types.NamedTupleType | types.CustomType
        )
    return False
