"""Compression, of what it makes smaller."""

from __future__ import annotations

from weft.errors import PayloadDecodeError, UsageError
from weft.payloads._codec import PayloadContext

COMPRESS_ABOVE_BYTES = 2_000
"""Smaller payloads are not compressed: there is little to gain."""
_DECODED_BYTES_MAX = 256 * 1024 * 1024
"""What a few bytes may become: as much as is stored aside at most."""
_ENVELOPE_BYTES = 200
_LEVEL = 3


class Compression:
    """Zstandard, for payloads of more than `above_bytes`, where that saves space on the log, base64 included."""

    name = "zstd"

    def __init__(self, above_bytes: int = COMPRESS_ABOVE_BYTES, *, level: int = _LEVEL) -> None:
        if above_bytes < 0:
            raise UsageError(f"above_bytes={above_bytes} cannot be: give 0 or more.")
        self._above_bytes = above_bytes
        self._level = level

    def encode(self, data: bytes, context: PayloadContext) -> bytes | None:
        """The data, compressed; None when that is not smaller."""
        if len(data) <= self._above_bytes:
            return None
        import zstandard  # noqa: PLC0415  # only for those who compress

        # One each time: a compressor serves one thread at a time.
        compressor = zstandard.ZstdCompressor(level=self._level, write_checksum=True)
        compressed = compressor.compress(data)
        is_smaller = len(compressed) * 4 // 3 + _ENVELOPE_BYTES < len(data)
        return compressed if is_smaller else None

    def decode(self, data: bytes, context: PayloadContext) -> bytes:
        """The data as it was. Raises PayloadDecodeError for what would fill the memory, and what zstandard raises."""
        import zstandard  # noqa: PLC0415  # only for those who compress

        size_bytes = zstandard.frame_content_size(data)
        if not 0 <= size_bytes <= _DECODED_BYTES_MAX:
            raise PayloadDecodeError(
                f"it would become {size_bytes:,} bytes, and {_DECODED_BYTES_MAX:,} is the most"
            )
        return zstandard.ZstdDecompressor().decompress(data)
