from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.topics import partition_of
from weft.topics._partitioner import _murmur2

JAVA_VECTORS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""From the test of Kafka's own client (UtilsTest.testMurmur2), as Java prints them: signed."""


@pytest.mark.parametrize("key", JAVA_VECTORS)
def test_hash_is_that_of_the_java_client(key: bytes) -> None:
    assert _murmur2(key) == JAVA_VECTORS[key] % 2**32


@pytest.mark.parametrize("key", JAVA_VECTORS)
@pytest.mark.parametrize("partitions", [1, 2, 7, 8, 64, 1000])
def test_partition_is_the_positive_hash_modulo_the_count(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (JAVA_VECTORS[key] & 0x7FFFFFFF) % partitions


@given(key=st.binary(max_size=300))
def test_hash_is_that_of_a_literal_transcription(key: bytes) -> None:
    assert _murmur2(key) == _murmur2_as_in_java(key)


@pytest.mark.parametrize("length", [0, 1, 255, 256, 259, 260, 261, 1020, 5003])
def test_hash_of_a_key_of_any_length(length: int) -> None:
    key = bytes(index * 31 % 256 for index in range(length))
    assert _murmur2(key) == _murmur2_as_in_java(key)


@given(key=st.binary(max_size=64), partitions=st.integers(1, 10_000))
def test_partition_is_one_of_the_topics(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions


def _murmur2_as_in_java(data: bytes) -> int:
    """`org.apache.kafka.common.utils.Utils.murmur2`, line by line, with each int cut to 32 bits as Java does."""

    def cut(number: int) -> int:
        return number & 0xFFFFFFFF

    length = len(data)
    m, r = 0x5BD1E995, 24
    h = cut(0x9747B28C ^ length)
    for i in range(length // 4):
        k = data[i * 4] + (data[i * 4 + 1] << 8) + (data[i * 4 + 2] << 16) + (data[i * 4 + 3] << 24)
        k = cut(k * m)
        k ^= k >> r
        k = cut(k * m)
        h = cut(h * m)
        h ^= k
    rest = length & ~3
    if length % 4 == 3:
        h ^= data[rest + 2] << 16
    if length % 4 >= 2:
        h ^= data[rest + 1] << 8
    if length % 4 >= 1:
        h ^= data[rest]
        h = cut(h * m)
    h ^= h >> 13
    h = cut(h * m)
    h ^= h >> 15
    return h
