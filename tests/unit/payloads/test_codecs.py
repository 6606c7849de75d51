"""Codecs of payloads: compression, encryption with keys that change, a user's own, and what cannot be decoded."""

from __future__ import annotations

import base64
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import json_values
from weft.codec import (
    decode_envelope,
    decode_payload,
    encode_payload,
    is_encoded,
    is_sealed,
    is_stored,
)
from weft.errors import PayloadDecodeError, PayloadError, UsageError
from weft.payloads import (
    Compression,
    Encryption,
    PayloadCodec,
    PayloadCodecs,
    PayloadContext,
    Payloads,
    PayloadStore,
    new_key,
    text_of,
)
from weft.records import NULL, REFERENCE_BYTES_MIN, FailureInfo, Payload

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
SECRET = encode_payload({"card": "4111-1111", "name": "Ada"})
LARGE = encode_payload(["the same again and again"] * 1_000)
FAILURE = FailureInfo(
    "CardDeclined",
    "card 4111-1111 was declined",
    encode_payload({"card": "4111"}),
    stack="charge.py",
    cause=FailureInfo("IOError", "no route to 4111"),
)


class Reversed:
    """A codec of a user's own."""

    name = "reversed"

    def encode(self, data: bytes, context: PayloadContext) -> bytes:
        return context.workflow_id.encode().hex().encode() + b"|" + data[::-1]

    def decode(self, data: bytes, context: PayloadContext) -> bytes:
        owner, _, rest = data.partition(b"|")
        if bytes.fromhex(owner.decode()).decode() != context.workflow_id:
            raise ValueError("it is another one's")
        return rest[::-1]


class Broken:
    name = "broken"

    def encode(self, data: bytes, context: PayloadContext) -> bytes | None:
        raise OSError("no device")

    def decode(self, data: bytes, context: PayloadContext) -> bytes:
        raise OSError("no device")


def payloads(*codecs: PayloadCodec, namespace: str = "shop", **options: Any) -> Payloads:
    return Payloads(namespace, codecs=PayloadCodecs(codecs, **options))


def encrypted(key_id: str = "2026-01", **keys: bytes) -> Payloads:
    return payloads(Encryption(keys or {"2026-01": OLD}, key_id))


def changed(payload: Payload, **changes: Any) -> Payload:
    document = json.loads(bytes(payload))
    document["$weft.encoded"] |= changes
    return Payload(json.dumps(document, separators=(",", ":")).ljust(300).encode())


# A chain.


@given(json_values, st.text(min_size=1, max_size=20))
def test_payload_comes_back_through_a_chain_and_is_json_on_the_log(value: Any, owner: str) -> None:
    chain = payloads(Compression(50), Reversed(), Encryption({"k": OLD}))
    plain = encode_payload(value)
    on_log = chain.encode(plain, owner)
    json.loads(bytes(on_log))
    assert bytes(chain.decode(on_log, owner)) == bytes(plain)
    assert is_encoded(on_log) or plain == NULL


def test_chain_is_taken_in_its_order_and_says_so() -> None:
    steps, _ = decode_envelope(payloads(Compression(), Encryption({"a": OLD})).encode(LARGE, "w"))
    assert [(step.codec, step.key) for step in steps] == [("zstd", ""), ("aes-gcm", "a")]


def test_null_is_left_as_it_is() -> None:
    assert encrypted().encode(NULL, "w") is NULL


def test_payload_without_codecs_is_left_as_it_is() -> None:
    without = Payloads("shop")
    assert without.encode(SECRET, "w") is SECRET
    assert without.decode(SECRET, "w") is SECRET
    assert without.encode_failure(FAILURE, "w") is FAILURE


def test_payload_that_was_never_encoded_is_read_by_a_process_with_codecs() -> None:
    """Encryption may be turned on while everything runs."""
    assert encrypted().decode(SECRET, "w") is SECRET


def test_envelope_is_never_shorter_than_it_can_be_told_by() -> None:
    envelope = encrypted().encode(encode_payload(7), "w")
    assert len(envelope) >= REFERENCE_BYTES_MIN
    assert is_sealed(envelope)
    assert not is_stored(envelope)


@pytest.mark.parametrize("mark", ["$weft.encoded", "$weft.stored", "$weft.whatever"])
def test_user_data_is_never_taken_for_an_envelope(mark: str) -> None:
    forged = {mark: {"steps": [{"codec": "aes-gcm"}], "data": "x" * 300, "v": 1}}
    payload = encode_payload(forged)
    assert not is_sealed(payload)
    assert decode_payload(encrypted().decode(payload, "w")) == forged
    assert decode_payload(encrypted().decode(encrypted().encode(payload, "w"), "w")) == forged


def test_codec_of_a_users_own_is_told_whose_payload_it_is() -> None:
    chain = payloads(Reversed())
    on_log = chain.encode(SECRET, "order-1")
    assert chain.decode(on_log, "order-1") == SECRET
    with pytest.raises(
        PayloadDecodeError, match=r"workflow 'order-2'.*'reversed'.*it is another one's"
    ):
        chain.decode(on_log, "order-2")


def test_codec_that_breaks_is_told_with_its_name_and_the_workflow() -> None:
    with pytest.raises(
        PayloadError, match=r"Codec 'broken' .*workflow 'w' in namespace 'shop'.*no device"
    ):
        payloads(Broken()).encode(SECRET, "w")


def test_missing_codec_is_told_with_what_to_do() -> None:
    on_log = payloads(Reversed()).encode(SECRET, "w")
    with pytest.raises(
        PayloadDecodeError, match=r"'reversed', which this process has not \(it has: aes-gcm\)"
    ):
        encrypted().decode(on_log, "w")


@pytest.mark.parametrize(
    "codecs,text",
    [
        ([Encryption({"a": OLD}), Compression()], "cannot be compressed"),
        ([Compression(), Compression()], "Two payload codecs are called 'zstd'"),
        ([object()], "is no payload codec"),
    ],
)
def test_chain_that_cannot_be_is_refused(codecs: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        PayloadCodecs(codecs)


# Compression.


def test_large_payload_is_compressed_when_that_makes_it_smaller() -> None:
    chain = payloads(Compression(1_000))
    on_log = chain.encode(LARGE, "w")
    assert len(on_log) < len(LARGE) // 10
    assert chain.decode(on_log, "w") == LARGE
    noise = encode_payload(base64.b64encode(random.Random(7).randbytes(3_000)).decode())
    assert chain.encode(noise, "w") is noise
    small = encode_payload("x" * 900)
    assert chain.encode(small, "w") is small


def test_compressed_payload_that_was_damaged_is_refused() -> None:
    chain = payloads(Compression(100))
    steps, data = decode_envelope(chain.encode(LARGE, "w"))
    assert [step.codec for step in steps] == ["zstd"]
    for wrong in (data[:-5], data[:-1] + bytes([data[-1] ^ 1]), b"no frame"):
        broken = changed(chain.encode(LARGE, "w"), data=base64.b64encode(wrong).decode())
        with pytest.raises(PayloadDecodeError, match="'zstd', and cannot be decoded"):
            chain.decode(broken, "w")


def test_compressed_payload_that_would_fill_the_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("weft.payloads._compression._DECODED_BYTES_MAX", 1_000)
    chain = payloads(Compression(100))
    with pytest.raises(PayloadDecodeError, match=r"would become .* bytes, and 1,000 is the most"):
        chain.decode(chain.encode(LARGE, "w"), "w")


# Encryption.


def test_encrypted_payload_shows_nothing_and_is_another_one_each_time() -> None:
    chain = encrypted()
    first, second = chain.encode(SECRET, "w"), chain.encode(SECRET, "w")
    for word in (b"4111", b"Ada", base64.b64encode(b"4111-1111")):
        assert word not in bytes(first)
    assert first != second
    assert chain.decode(first, "w") == chain.decode(second, "w") == SECRET
    assert text_of(first) == "encrypted with key 2026-01"


def test_keys_are_rotated_while_payloads_of_the_old_ones_are_still_read() -> None:
    before = encrypted("old", old=OLD)
    prepared = encrypted("old", old=OLD, new=NEW)
    after = encrypted("new", old=OLD, new=NEW)
    finished = encrypted("new", new=NEW)
    of_before, of_after = before.encode(SECRET, "w"), after.encode(SECRET, "w")
    assert prepared.decode(of_before, "w") == prepared.decode(of_after, "w") == SECRET
    assert after.decode(of_before, "w") == finished.decode(of_after, "w") == SECRET
    with pytest.raises(
        PayloadDecodeError, match=r"workflow 'w' in namespace 'shop'.*no key 'old' here .*new"
    ):
        finished.decode(of_before, "w")


@pytest.mark.parametrize("owner,namespace", [("order-2", "shop"), ("order-1", "other")])
def test_encrypted_payload_cannot_be_moved(owner: str, namespace: str) -> None:
    on_log = encrypted().encode(SECRET, "order-1")
    reader = payloads(Encryption({"2026-01": OLD}), namespace=namespace)
    with pytest.raises(PayloadDecodeError, match="belongs to another workflow"):
        reader.decode(on_log, owner)


def test_encrypted_payload_that_was_changed_is_refused() -> None:
    chain = payloads(Compression(10), Encryption({"a": OLD, "b": NEW}))
    on_log = chain.encode(LARGE, "w")
    _, data = decode_envelope(on_log)
    changes: list[dict[str, Any]] = [
        {"data": base64.b64encode(data[:-1] + bytes([data[-1] ^ 1])).decode()},
        {"data": base64.b64encode(data[:20]).decode()},
        {"data": ""},
        {"steps": [{"codec": "aes-gcm", "key": "a"}]},
        {"steps": [{"codec": "zstd"}, {"codec": "aes-gcm", "key": "b"}]},
        {"data": "no base64"},
        {"v": 2},
    ]
    for change in changes:
        with pytest.raises(PayloadDecodeError):
            chain.decode(changed(on_log, **change), "w")
    assert chain.decode(changed(on_log), "w") == LARGE


def test_key_of_the_same_name_and_other_material_is_told() -> None:
    on_log = encrypted("k", k=OLD).encode(SECRET, "w")
    with pytest.raises(PayloadDecodeError, match="key 'k' is another one here"):
        encrypted("k", k=NEW).decode(on_log, "w")


def test_keys_are_read_from_a_file_and_never_shown(tmp_path: Path) -> None:
    lines = [new_key("2026-01"), new_key("2025.7")]
    file = tmp_path / "keys"
    file.write_text("# ours\n\n" + "\n".join(lines) + "  # the old one\n", encoding="utf-8")
    encryption = Encryption.from_file(file)
    assert encryption.key_id == "2026-01"
    assert Encryption.from_file(file, "2025.7").key_id == "2025.7"
    assert Encryption.from_text(",".join(lines)).key_id == "2026-01"
    assert repr(encryption) == "<Encryption with key 2026-01 of 2026-01, 2025.7>"
    assert lines[0].split()[1] not in repr(PayloadCodecs([encryption]))


@pytest.mark.parametrize(
    "text,why",
    [
        ("", "no key '' to encrypt with"),
        ("one", "entry 1: not a key's ID and the key"),
        ("a c2VjcmV0LXNlY3JldA==", "Key a has 13 bytes; AES-256 takes 32"),
        ("a sec!ret", "entry 1: the key is no base64"),
        (f"a {base64.b64encode(OLD).decode()}\na {base64.b64encode(NEW).decode()}", "entry 2: .* key a already"),
        (f"a/b {base64.b64encode(OLD).decode()}", "'a/b' is no ID of a key"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be_are_refused_without_being_shown(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refusal:
        Encryption.from_text(text)
    for word in text.split()[1:]:
        assert len(word) < 5 or word not in str(refusal.value)


def test_file_of_keys_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        Encryption.from_file(tmp_path / "keys")


# Failures.


def test_failure_is_encoded_with_its_causes_and_keeps_its_type() -> None:
    chain = encrypted()
    sealed = chain.encode_failure(FAILURE, "w")
    assert b"4111" not in msgspec.json.encode(sealed)
    assert b"charge.py" not in msgspec.json.encode(sealed)
    assert (sealed.type, sealed.message) == ("CardDeclined", "(encrypted with key 2026-01)")
    assert sealed.cause is not None
    assert sealed.cause.type == "IOError"
    assert chain.decode_failure(sealed, "w") == FAILURE
    assert chain.encode_failure(sealed, "w") == sealed


def test_failure_shows_its_message_when_that_is_wanted() -> None:
    chain = payloads(Encryption({"a": OLD}), failures=False)
    sealed = chain.encode_failure(FAILURE, "w")
    assert sealed.message == FAILURE.message
    assert is_encoded(sealed.details)
    assert chain.decode_failure(sealed, "w") == FAILURE


def test_failure_stays_sealed_for_who_cannot_open_it() -> None:
    sealed = encrypted().encode_failure(FAILURE, "w")
    with pytest.raises(PayloadDecodeError):
        Payloads("shop").decode_failure(sealed, "w")


# With the store, and for others.


def test_large_payload_is_encoded_before_it_is_stored(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path)
    chain = Payloads("shop", store, codecs=[Encryption({"a": OLD})], bytes_max=2_000)
    on_log = chain.set_aside(chain.encode(LARGE, "w"), workflow_id="w", scope="s", what="It")
    assert is_stored(on_log)
    assert chain.decode(on_log, "w") == LARGE
    [file] = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert b"again" not in file.read_bytes()
    with pytest.raises(PayloadDecodeError, match="'a', which this process has not"):
        Payloads("shop", store).decode(on_log, "w")


@pytest.mark.parametrize("is_aside", [False, True])
def test_payload_is_encoded_anew_for_the_workflow_that_it_goes_to(
    is_aside: bool, tmp_path: Path
) -> None:
    chain = Payloads(
        "shop", PayloadStore(tmp_path), codecs=[Encryption({"a": OLD})], bytes_max=2_000
    )
    plain = LARGE if is_aside else SECRET
    own = chain.set_aside(chain.encode(plain, "parent"), workflow_id="parent", scope="s", what="It")
    moved = chain.moved(own, owner_id="parent", namespace="other", workflow_id="child", scope="c")
    reader = Payloads("other", PayloadStore(tmp_path), codecs=[Encryption({"a": OLD})])
    assert reader.decode(moved, "child") == plain
    assert is_stored(moved) is is_aside
    failure = chain.moved_failure(
        chain.encode_failure(FAILURE, "parent"),
        owner_id="parent",
        namespace="other",
        workflow_id="child",
    )
    assert reader.decode_failure(failure, "child") == FAILURE
