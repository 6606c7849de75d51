"""Which partition a key belongs to: what Kafka's Java client does by default.

Other clients hash otherwise (librdkafka and kcat: CRC32), so writers of ours always name the partition, and a record
that comes on another one is forwarded by whoever reads it.
"""

from __future__ import annotations

import struct

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_WORDS = tuple(struct.Struct(f"<{count}I") for count in range(65))
"""Ready made for keys of up to 259 bytes; longer ones look theirs up in struct's own cache."""


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key` among `partitions`."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    """Murmur2 of the Java client, as an unsigned 32-bit number.

    Only the last operation of each word is cut to 32 bits: in between, the higher bits of a product never reach the
    lower ones. The exceptions are the two shifts to the right.
    """
    length = len(data)
    count, rest = divmod(length, 4)
    words = (
        _WORDS[count].unpack_from(data) if count < 65 else struct.unpack_from(f"<{count}I", data)
    )
    h = _SEED ^ length
    for word in words:
        k = word * _M & _MASK
        h = (h * _M ^ (k ^ k >> 24) * _M) & _MASK
    if rest:
        h = (h ^ int.from_bytes(data[-rest:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15
