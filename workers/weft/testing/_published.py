"""Records that workflows have published, as a test looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.codec import decode_payload
from weft.errors import UsageError


@dataclass(frozen=True, slots=True)
class Published:
    """A record of `ctx.publish`, once it was committed."""

    topic: str
    key: str | None
    """As text; of a key that is none, with its bytes as escapes."""
    data: bytes | None
    """The value as it stands on the topic; None is a tombstone."""
    headers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def value(self) -> Any:
        """The value as plain JSON; as bytes when it is none."""
        try:
            return None if self.data is None else decode_payload(self.data)
        except UsageError:
            return self.data

    def decode(self, hint: Any) -> Any:
        """The value as `hint`. Raises UsageError when it is not of that type."""
        return None if self.data is None else decode_payload(self.data, hint)


def published(topic: str, key: bytes | None, value: bytes | None, headers: Any) -> Published:
    """What a test sees of a record that was written."""
    text = None if key is None else key.decode(errors="backslashreplace")
    return Published(topic, text, value, dict(headers))
