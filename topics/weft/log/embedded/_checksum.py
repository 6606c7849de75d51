"""Checksums beside what is stored, so that a bit that turned in the file is noticed and never served.

SQLite notices pages that make no sense; it takes what stands inside of a row for what was written. CRC-32 costs a
fraction of a microsecond a record here, far less than the insert itself.
"""

from __future__ import annotations

from zlib import crc32

_TOMBSTONE = 0x5A5A5A5A
_PRIME = 4_294_967_291
"""The largest below 2**32: no single bit of a number is lost modulo this one."""


def record_checksum(
    record_id: int, timestamp_ms: int, key: bytes | None, headers: bytes | None, value: bytes | None
) -> int:
    """Of a whole record and its place: one that turns up elsewhere is as damaged as one that was changed.

    The lengths of the parts need not go in: a part cannot change its length without the whole changing it too. No
    checksum (-1) fits parts that are not of the type they are written as: damage may make text of bytes.
    """
    try:
        checksum = (record_id ^ timestamp_ms) % _PRIME
        if key is not None:
            checksum = crc32(key, checksum)
        if headers is not None:
            checksum = crc32(headers, checksum)
        return crc32(value, checksum) if value is not None else checksum ^ _TOMBSTONE
    except TypeError:
        return -1


def row_checksum(*values: object) -> int:
    """Of a row of numbers and text."""
    return crc32(repr(values).encode())
