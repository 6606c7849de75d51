"""Which backend a log is opened with. Neither is imported before it is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from weft.errors import UsageError
from weft.log._api import Log


def open_log(
    *,
    kafka: str | None = None,
    embedded: str | os.PathLike[str] | None = None,
    kafka_config: Mapping[str, Any] | None = None,
) -> Log:
    """Open the Kafka cluster at `host:port`, or the embedded log in a file. Blocks for a bounded time.

    `kafka_config` are further settings by librdkafka's names (`security.protocol`, `sasl.username`, ...). Raises
    UsageError when not exactly one of the two is given, and what the backend's own `open_` function raises:
    LogUnavailableError when the broker cannot be reached.
    """
    if kafka and embedded is None:
        from weft.log.kafka import open_kafka  # noqa: PLC0415  # librdkafka is for those who use it

        return open_kafka(kafka, kafka_config or {})
    if embedded is not None and not kafka:
        if kafka_config:
            raise UsageError(
                "kafka_config was given with an embedded log, which has no use for it. Leave it out, or give "
                "kafka='host:port' instead of the file."
            )
        from weft.log.embedded import open_embedded  # noqa: PLC0415  # SQLite likewise

        return open_embedded(embedded)
    found = "both were" if kafka else "neither was"
    raise UsageError(
        f"A log is either Kafka (kafka='host:port') or a file (embedded='PATH'): {found} given."
    )
