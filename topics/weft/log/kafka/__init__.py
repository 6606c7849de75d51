"""The log on Apache Kafka, through librdkafka (confluent-kafka): the whole contract of `weft.log`.

Where librdkafka's ways differ from the contract, this package bends them: a group's companion topics follow its first
one by hand, a membership without a generation is refused (the broker would let it commit), and a record that is too
large is refused before it would spoil a transaction.
"""

from weft.log.kafka._log import KafkaLog, open_kafka

__all__ = ["KafkaLog", "open_kafka"]
