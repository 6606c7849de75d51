"""The published JSON Schemas: the committed files are what the records give, and every record keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.support import schemas as files
from tests.support.strategies import TOPIC_RECORDS, Record, records_of
from weft import codec

SCHEMAS = codec.schemas()
VALIDATORS = {kind: Draft202012Validator(schema) for kind, schema in SCHEMAS.items()}
CASES = [(kind, cls) for kind, classes in TOPIC_RECORDS.items() for cls in classes]
SAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("signals", {"signal": "approval"}),
    ("signals", {"signal": "approval", "payload": {"by": "Ada"}, "id": "7", "v": 1}),
    ("signals", {"kind": "start", "workflow": "w", "request_id": "r", "input": [1]}),
    ("results", {"kind": "completed", "run_id": "r", "activity_id": 1, "attempt": 1}),
]
BAD_SAMPLES: list[tuple[str, Any]] = [
    ("signals", {}),
    ("signals", {"signal": ""}),
    ("signals", {"signal": "approval", "v": 2}),
    ("signals", {"kind": "unheard-of", "signal": "approval"}),
    ("signals", {"kind": "start", "signal": "approval"}),
    ("signals", "approval"),
    ("results", {"kind": "completed", "run_id": "r", "activity_id": "1", "attempt": 1}),
    ("history", {"type": "TimerFired", "event_id": 1, "time_ms": 1}),
]


def test_committed_files_are_what_the_records_give() -> None:
    """After a change of a record: `make schemas`, and look at the difference."""
    wanted = {f"{kind}.json": files.text_of(schema) for kind, schema in SCHEMAS.items()}
    found = {file.name: file.read_text(encoding="utf-8") for file in files.FOLDER.iterdir()}
    assert found == wanted


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema_is_one_of_its_draft_with_a_title_and_a_description(kind: str) -> None:
    schema = SCHEMAS[kind]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("/2020-12/schema")
    assert schema["title"]
    assert schema["description"]
    assert set(schema["$defs"]) >= {cls.__name__ for cls in TOPIC_RECORDS[kind]}


def test_every_kind_of_record_has_a_schema() -> None:
    assert SCHEMAS.keys() == TOPIC_RECORDS.keys()


@pytest.mark.parametrize("kind,cls", CASES)
@settings(max_examples=20)
@given(data=st.data())
def test_encoded_record_keeps_its_schema(kind: str, cls: type[Record], data: st.DataObject) -> None:
    value = json.loads(codec.encode(data.draw(records_of(cls))))
    VALIDATORS[kind].validate(value)
    value.pop("v", None)
    VALIDATORS[kind].validate(value)


@pytest.mark.parametrize("kind,value", SAMPLES)
def test_schema_takes_what_a_plain_producer_writes(kind: str, value: dict[str, Any]) -> None:
    VALIDATORS[kind].validate(value)


@pytest.mark.parametrize("kind,value", BAD_SAMPLES)
def test_schema_refuses_what_the_codec_refuses(kind: str, value: Any) -> None:
    decoders: dict[str, Callable[[bytes], object]] = {
        "signals": codec.decode_signals,
        "results": codec.decode_results,
        "history": lambda event: codec.decode_events(b"[" + event + b"]"),
    }
    assert not VALIDATORS[kind].is_valid(value)
    with pytest.raises(codec.MalformedError):
        decoders[kind](json.dumps(value).encode())


def test_schema_says_what_a_missing_field_means() -> None:
    start = SCHEMAS["signals"]["$defs"]["StartWorkflow"]["properties"]
    assert start["v"] == {"const": 1, "default": 1}
    assert start["input"] == {"default": None}
    assert start["on_conflict"]["default"] == "fail"


def test_schema_carries_the_docstrings_of_fields() -> None:
    head = SCHEMAS["state"]["$defs"]["Head"]["properties"]
    assert head["tail"]["description"].startswith("The events after the last page")
    assert {"$ref": "#/$defs/TimerFired"} in head["tail"]["items"]["anyOf"]
