"""Encryption with AES-256-GCM and keys that can be changed while everything runs.

A payload is bound to its namespace, its workflow and the codecs that it went through: moved elsewhere, it cannot be
decrypted. The nonce of 96 bits is random, so one key is good for some billions of payloads.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from weft.errors import PayloadDecodeError, UsageError
from weft.payloads._codec import PayloadContext

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Encryption:
    """Encrypts with the key `key_id`, and decrypts with any of `keys` (32 bytes each, by their IDs).

    Without a `key_id` it is the first of them. Raises UsageError, which never shows a key.
    """

    name = "aes-gcm"

    def __init__(self, keys: Mapping[str, bytes], key_id: str = "") -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # only for those who encrypt

        for one, key in keys.items():
            if not _KEY_ID.fullmatch(one):
                raise UsageError(
                    f"{one!r} is no ID of a key: use letters, digits, '.', '_' and '-', as in 2026-01."
                )
            if len(key) != KEY_BYTES:
                raise UsageError(
                    f"Key {one} has {len(key)} bytes; AES-256 takes {KEY_BYTES}. Make one with: "
                    "weft payloads new-key ID"
                )
        self.key_id = key_id or next(iter(keys), "")
        if self.key_id not in keys:
            raise UsageError(
                f"There is no key {self.key_id!r} to encrypt with (there are: {', '.join(keys) or 'none'})."
            )
        self._ciphers = {one: AESGCM(key) for one, key in keys.items()}

    @classmethod
    def from_text(cls, text: str, key_id: str = "", *, source: str = "the keys") -> Self:
        """Keys as a file has them: `ID BASE64` on each line (or after each comma); `#` begins a comment."""
        keys: dict[str, bytes] = {}
        for number, line in enumerate(re.split(r"[\n,]", text), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            if len(words) != 2:
                raise UsageError(f"{source}, entry {number}: not a key's ID and the key in base64.")
            if words[0] in keys:
                raise UsageError(f"{source}, entry {number}: there is a key {words[0]} already.")
            keys[words[0]] = _key(words[1], f"{source}, entry {number}")
        return cls(keys, key_id)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], key_id: str = "") -> Self:
        """Keys from a file, such as a mounted secret. Raises UsageError."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise UsageError(f"The keys in {path} cannot be read: {why}") from None
        return cls.from_text(text, key_id, source=str(path))

    def __repr__(self) -> str:
        return f"<Encryption with key {self.key_id} of {', '.join(self._ciphers)}>"

    def encode(self, data: bytes, context: PayloadContext) -> bytes:
        """A nonce of its own, then the data encrypted with the key `key_id`, bound to the context."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._ciphers[self.key_id].encrypt(nonce, data, context.binding)

    def decode(self, data: bytes, context: PayloadContext) -> bytes:
        """The data as it was. Raises PayloadDecodeError when the key is missing, and for what was changed or moved."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # only for those who encrypt

        cipher = self._ciphers.get(context.key_id)
        if cipher is None:
            raise PayloadDecodeError(
                f"there is no key {context.key_id!r} here (there are: {', '.join(self._ciphers)}). Give this process "
                "that key beside the others; whatever waits for it goes on then"
            )
        if len(data) < _NONCE_BYTES + _TAG_BYTES:
            raise PayloadDecodeError("it was cut short")
        try:
            return cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context.binding)
        except InvalidTag:
            raise PayloadDecodeError(
                f"it was changed, or belongs to another workflow, or key {context.key_id!r} is another one here than "
                "where it was encrypted"
            ) from None


def new_key(key_id: str) -> str:
    """A line for a file of keys. Raises UsageError for what cannot be an ID."""
    key = secrets.token_bytes(KEY_BYTES)
    Encryption({key_id: key})
    return f"{key_id} {base64.b64encode(key).decode()}"


def _key(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"{where}: the key is no base64.") from None
