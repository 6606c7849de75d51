"""Whether a Kafka broker answers on a port, asked in Kafka's own protocol so that no client library is needed.

A listening port proves little: another program may hold it, and a starting broker accepts connections before it serves.
"""

from __future__ import annotations

import socket
import struct

_METADATA_KEY = 3
_METADATA_VERSION = 1
_NO_TOPICS = struct.pack(">i", 0)
_RESPONSE_BYTES_MAX = 1_000_000


def broker_ids(host: str, port: int, timeout_s: float = 2.0) -> frozenset[int]:
    """The IDs of the brokers that the one at `host:port` knows to be serving; empty while it is starting.

    Raises `OSError` when nothing listens there, `ValueError` when what listens is not a Kafka broker in plain text.
    """
    with socket.create_connection((host, port), timeout=timeout_s) as connection:
        try:
            return _ask(connection)
        except (struct.error, TimeoutError, ConnectionResetError, EOFError) as error:
            raise ValueError(f"{host}:{port} does not answer as a Kafka broker") from error


def _ask(connection: socket.socket) -> frozenset[int]:
    client = b"weft"
    header = struct.pack(">hhih", _METADATA_KEY, _METADATA_VERSION, 1, len(client)) + client
    request = header + _NO_TOPICS
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _receive(connection, 4))
    if not 8 <= length <= _RESPONSE_BYTES_MAX:
        raise EOFError
    body = _receive(connection, length)
    correlation_id, count = struct.unpack_from(">ii", body)
    if correlation_id != 1:
        raise EOFError
    return _read_ids(body, count)


def _read_ids(body: bytes, count: int) -> frozenset[int]:
    ids: set[int] = set()
    offset = 8
    for _ in range(count):
        (node_id, host_length) = struct.unpack_from(">ih", body, offset)
        offset += 6 + host_length + 4
        (rack_length,) = struct.unpack_from(">h", body, offset)
        offset += 2 + max(rack_length, 0)
        ids.add(node_id)
    return frozenset(ids)


def _receive(connection: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        chunk = connection.recv(length - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return bytes(received)


def is_free(port: int) -> bool:
    """Whether this machine would let a broker listen on the loopback port now."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
            candidate.listen(1)
        except OSError:
            return False
        return True


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nothing listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for candidate in sockets:
            candidate.bind(("127.0.0.1", 0))
        return [int(candidate.getsockname()[1]) for candidate in sockets]
    finally:
        for candidate in sockets:
            candidate.close()
