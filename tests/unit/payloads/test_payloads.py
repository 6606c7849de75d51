from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.strategies import json_values
from tests.unit.payloads.test_references import colliding
from tests.unit.payloads.test_store import objects, overwrite
from weft.codec import decode_payload, decode_reference, encode_payload, is_stored
from weft.errors import PayloadError, PayloadTooLargeError, UsageError
from weft.payloads import PAYLOAD_BYTES_MIN, Payloads, PayloadStore, _payloads, scope_of
from weft.payloads._keys import payload_key
from weft.records import PAYLOAD_BYTES_MAX, Payload

BYTES_MAX = PAYLOAD_BYTES_MIN
LARGE = encode_payload("x" * BYTES_MAX)
SMALL = encode_payload("x" * (BYTES_MAX - 2))


def put(payloads: Payloads, payload: Payload, workflow_id: str = "order-42") -> Payload:
    return payloads.set_aside(payload, workflow_id=workflow_id, scope="run-1", what="The input")


def counted(payloads: Payloads) -> Counter[str]:
    """What becomes of its payloads from now on."""
    counts: Counter[str] = Counter()
    payloads.on_outcome = lambda outcome: counts.update([outcome])
    return counts


def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("waited in vain")


@pytest.fixture
def payloads(store: PayloadStore) -> Payloads:
    return Payloads("shop", store, bytes_max=BYTES_MAX)


def test_small_payload_goes_into_the_record_as_it_is(payloads: Payloads, url: str) -> None:
    assert put(payloads, SMALL) is SMALL
    assert payloads.fetch(SMALL) is SMALL
    assert objects(url) == []


def test_large_payload_is_stored_and_comes_back(payloads: Payloads, url: str) -> None:
    counts = counted(payloads)
    reference = put(payloads, LARGE)
    assert is_stored(reference)
    assert len(reference) < BYTES_MAX
    assert objects(url) == [decode_reference(reference).key]
    assert payloads.fetch(reference) == LARGE
    assert payloads.fetch(reference) == LARGE
    assert counts == {"stored": 1, "fetched": 1}, "the second time it was in memory"
    assert payloads.largest_bytes == len(LARGE)


def test_payload_comes_back_in_another_process(payloads: Payloads, url: str) -> None:
    reference = put(payloads, LARGE)
    assert Payloads("shop", PayloadStore(url)).fetch(reference) == LARGE


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(value=json_values | colliding(json_values))
def test_any_value_comes_back_through_the_store(payloads: Payloads, value: Any) -> None:
    reference = payloads.store_aside(
        encode_payload(value), workflow_id="order-42", scope="run-1", what="It"
    )
    assert is_stored(reference)
    assert decode_payload(payloads.fetch(reference)) == value


def test_stored_value_in_the_shape_of_a_reference_is_not_followed(payloads: Payloads) -> None:
    lookalike = decode_payload(put(payloads, LARGE))
    reference = payloads.store_aside(
        encode_payload(lookalike), workflow_id="order-42", scope="run-1", what="It"
    )
    assert decode_payload(payloads.fetch(reference)) == lookalike


def test_large_payload_is_refused_when_there_is_no_store() -> None:
    payloads = Payloads("shop", bytes_max=BYTES_MAX)
    counts = counted(payloads)
    with pytest.raises(PayloadTooLargeError) as refusal:
        put(payloads, LARGE)
    assert str(refusal.value).startswith(
        "The input is 2,002 bytes as JSON; 2,000 is the most that a record takes, and there is no payload store"
    )
    assert "WEFT_PAYLOAD_STORE" in str(refusal.value)
    assert counts == {"refused": 1}


def test_payload_beyond_what_memory_should_hold_is_refused_by_a_store_too(
    payloads: Payloads, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(_payloads, "STORED_BYTES_MAX", 2001)
    with pytest.raises(PayloadTooLargeError, match="2,001 is the most that is stored aside"):
        put(payloads, LARGE)
    assert objects(url) == []


def test_reference_is_of_no_use_without_the_store(payloads: Payloads) -> None:
    reference = put(payloads, LARGE)
    with pytest.raises(PayloadError, match="2,002 bytes lie in a payload store as shop/order-42"):
        Payloads("shop").fetch(reference)


def test_store_that_takes_nothing_is_told_with_what_it_was_for(
    payloads: Payloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read only")

    assert payloads.store is not None
    monkeypatch.setattr(payloads.store._files, "write", refuse)
    counts = counted(payloads)
    with pytest.raises(
        PayloadError, match=r"^The input is 2,002 bytes as JSON\. A payload could not"
    ):
        put(payloads, LARGE)
    assert counts == {"failed": 1}


def test_damage_after_it_was_fetched_does_not_matter_and_before_it_does(
    payloads: Payloads, url: str
) -> None:
    reference = put(payloads, LARGE)
    overwrite(url, decode_reference(reference).key, b"damage")
    counts = counted(payloads)
    with pytest.raises(PayloadError, match="is damaged"):
        payloads.fetch(reference)
    assert counts == {"failed": 1}


def test_memory_of_fetched_payloads_is_bounded(
    payloads: Payloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_payloads, "CACHE_BYTES_MAX", 3 * len(LARGE))
    counts = counted(payloads)
    large = [encode_payload(f"{number}" + "x" * (BYTES_MAX - 1)) for number in range(5)]
    references = [put(payloads, payload) for payload in large]
    for reference in references:
        payloads.fetch(reference)
    assert payloads._cache_bytes == 3 * len(LARGE)
    assert payloads._cache_bytes == sum(map(len, payloads._cache.values()))
    for reference in references[2:]:
        payloads.fetch(reference)
    assert counts["fetched"] == 5, "the three newest were kept"
    assert [payloads.fetch(reference) for reference in references] == large


@pytest.mark.parametrize("bytes_max", [0, PAYLOAD_BYTES_MIN - 1, PAYLOAD_BYTES_MAX + 1])
def test_limit_that_cannot_be_is_refused(bytes_max: int) -> None:
    with pytest.raises(UsageError, match="cannot be: give 2,000 to 900,000"):
        Payloads("shop", bytes_max=bytes_max)


def test_option_decides_about_the_store_and_none_is_the_default(store: PayloadStore) -> None:
    assert Payloads.open("shop", None).store is None
    assert Payloads.open("shop", "", "default").store is None
    assert Payloads.open("shop", store, "default").store is store
    opened = Payloads.open("shop", None, "here").store
    assert opened is not None
    assert opened.name.endswith("/here")


def test_payloads_of_a_purged_run_are_removed_soon(payloads: Payloads, url: str) -> None:
    mine = decode_reference(put(payloads, LARGE)).key
    other = decode_reference(put(payloads, LARGE, "order-43")).key
    payloads.remove_soon("order-42", [mine, other, "../../elsewhere"])
    until(lambda: objects(url) == [other])
    payloads.remove_soon("order-43", [other])
    until(lambda: objects(url) == [])


def test_removal_that_fails_is_counted_and_the_next_is_tried(
    payloads: Payloads, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert payloads.store is not None
    delete = payloads.store._files.delete
    gone = threading.Event()
    counts = counted(payloads)

    def refuse_once(key: str) -> None:
        if not gone.is_set() and "order-42" in key:
            raise PermissionError("read only")
        delete(key)

    monkeypatch.setattr(payloads.store._files, "delete", refuse_once)
    keys = {name: decode_reference(put(payloads, LARGE, name)).key for name in ("order-42", "b")}
    for name, key in keys.items():
        payloads.remove_soon(name, [key])
    until(lambda: objects(url) == [keys["order-42"]])
    assert counts["failed"] == 1


@pytest.mark.parametrize(
    "workflow_id", ["order-42", "../..", "a/b", "Ä" * 255, "x" * 255, ".", "con", "a b\\c:d*?"]
)
def test_every_workflow_has_a_folder_of_its_own(workflow_id: str, store: PayloadStore) -> None:
    key = payload_key("shop", workflow_id, "run-1", "a" * 64)
    namespace, folder, scope, name = key.split("/")
    assert (namespace, scope, name) == ("shop", "run-1", "a" * 64 + ".json")
    assert len(folder) <= 80
    assert scope_of(key) == "run-1"
    store.read(store.write(key, b"1"))
    assert payload_key("shop", workflow_id.swapcase() + "x", "run-1", "a" * 64) != key
