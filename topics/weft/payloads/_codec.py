"""Codecs between user data and the log: one after the other on the way in, in reverse on the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import msgspec

from weft.codec import (
    MalformedError,
    decode_envelope,
    encode_envelope,
    is_encoded,
    label_of,
    open_failure,
    seal_failure,
)
from weft.errors import PayloadDecodeError, PayloadError, UsageError
from weft.records import NULL, CodecStep, FailureInfo, Payload

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class PayloadContext:
    """Whose payload it is, for a codec that wants to know."""

    namespace: str
    workflow_id: str
    key_id: str = ""
    """Which of the codec's keys, as it stands in the payload; where it is written, the codec's own `key_id`."""
    binding: bytes = b""
    """Namespace, workflow ID and the codecs so far, in one: what a payload must not be moved away from."""


@runtime_checkable
class PayloadCodec(Protocol):
    """Bytes to bytes and back. Called from any thread, and within the owner's loop: it must not wait for anything.

    `name` stands in every payload that it encodes, so it never changes. A codec with several keys also has `key_id`,
    the one that it writes with.
    """

    name: str

    def encode(self, data: bytes, context: PayloadContext) -> bytes | None:
        """The data, encoded; None leaves it as it is."""

    def decode(self, data: bytes, context: PayloadContext) -> bytes:
        """What `encode` was given. Whatever is raised becomes a PayloadDecodeError that says where."""


@dataclass(frozen=True)
class PayloadCodecs:
    """A chain of codecs, in the order in which they encode: compression before encryption.

    With `failures`, the messages and stacks of failures are encoded too, beside all payloads.
    """

    codecs: Sequence[PayloadCodec]
    failures: bool = True
    _by_name: dict[str, PayloadCodec] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for codec in self.codecs:
            one: object = codec  # a user's, who may not use a type checker
            if not isinstance(one, PayloadCodec) or not one.name:
                raise UsageError(
                    f"{codec!r} is no payload codec: it needs a name, encode(data, context) and decode(data, context)."
                )
            if codec.name in self._by_name:
                raise UsageError(
                    f"Two payload codecs are called {codec.name!r}: a payload would not say which it went through."
                )
            self._by_name[codec.name] = codec
        names = list(self._by_name)
        if names and "zstd" in names[1:] and "aes-gcm" in names[: names.index("zstd")]:
            raise UsageError("What is encrypted cannot be compressed: give Compression() first.")

    def encode(self, payload: Payload, namespace: str, workflow_id: str) -> Payload:
        """What stands on the log for a payload: itself, when no codec changes it. Raises PayloadError."""
        if payload == NULL or is_encoded(payload):
            return payload
        data = bytes(payload)
        steps: list[CodecStep] = []
        for codec in self.codecs:
            step = CodecStep(codec.name, getattr(codec, "key_id", ""))
            context = _context(namespace, workflow_id, [*steps, step])
            try:
                encoded = codec.encode(data, context)
            except Exception as error:
                raise PayloadError(
                    f"Codec {codec.name!r} cannot encode a payload of {_place(namespace, workflow_id)}: "
                    f"{type(error).__name__}: {error}"
                ) from error
            if encoded is not None:
                data = encoded
                steps.append(step)
        return encode_envelope(data, steps) if steps else payload

    def decode(self, payload: Payload, namespace: str, workflow_id: str) -> Payload:
        """The payload as it was given. Raises PayloadDecodeError."""
        if not is_encoded(payload):
            return payload
        try:
            steps, data = decode_envelope(payload)
        except MalformedError as error:
            raise PayloadDecodeError(
                f"A payload of {_place(namespace, workflow_id)} cannot be decoded: {error}"
            ) from None
        for count in range(len(steps), 0, -1):
            data = self._decode_step(steps[:count], data, namespace, workflow_id)
        return Payload(data)

    def _decode_step(
        self, steps: Sequence[CodecStep], data: bytes, namespace: str, workflow_id: str
    ) -> bytes:
        step = steps[-1]
        key = f" with key {step.key!r}" if step.key else ""
        what = f"A payload of {_place(namespace, workflow_id)} is encoded by {step.codec!r}{key}"
        codec = self._by_name.get(step.codec)
        if codec is None:
            raise PayloadDecodeError(
                f"{what}, which this process has not (it has: {', '.join(self._by_name) or 'none'}). Give it that "
                "codec, and its keys: payload_codecs=..., or WEFT_COMPRESS_ABOVE, WEFT_ENCRYPTION_KEYS_FILE, "
                "WEFT_PAYLOAD_CODECS."
            )
        try:
            return codec.decode(data, _context(namespace, workflow_id, steps))
        except Exception as error:
            why = (
                str(error)
                if isinstance(error, PayloadError)
                else f"{type(error).__name__}: {error}"
            )
            raise PayloadDecodeError(f"{what}, and cannot be decoded: {why}") from error

    def encode_failure(self, failure: FailureInfo, namespace: str, workflow_id: str) -> FailureInfo:
        """The failure as it stands on the log. Raises PayloadError."""
        return seal_failure(
            failure,
            lambda payload: self.encode(payload, namespace, workflow_id),
            texts=self.failures,
        )

    def decode_failure(self, failure: FailureInfo, namespace: str, workflow_id: str) -> FailureInfo:
        """The failure as it was. Raises PayloadDecodeError."""
        return open_failure(failure, lambda payload: self.decode(payload, namespace, workflow_id))


CodecsOption = PayloadCodecs | Sequence[PayloadCodec]
"""Codecs in the order in which they encode; none at all leaves payloads as they are."""

NO_CODECS = PayloadCodecs(())


def to_codecs(option: CodecsOption) -> PayloadCodecs:
    """Raises UsageError for what are no codecs."""
    if isinstance(option, PayloadCodecs):
        return option
    return PayloadCodecs(tuple(option)) if option else NO_CODECS


def text_of(payload: Payload) -> str:
    """An encoded payload for people. Never raises."""
    try:
        return label_of(payload)
    except MalformedError as error:
        return str(error)


def _context(namespace: str, workflow_id: str, steps: Sequence[CodecStep]) -> PayloadContext:
    names = [[step.codec, step.key] for step in steps]
    binding = _encode(["weft", 1, namespace, workflow_id, names])
    return PayloadContext(namespace, workflow_id, steps[-1].key, binding)


def _place(namespace: str, workflow_id: str) -> str:
    return f"workflow {workflow_id!r} in namespace {namespace!r}"
