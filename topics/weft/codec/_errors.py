"""What is wrong with bytes."""

from __future__ import annotations

from weft.errors import WeftError


class MalformedError(WeftError):
    """Bytes that are not the record they should be. The text says what is wrong and at which field."""
