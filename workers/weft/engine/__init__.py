"""The engine on the log as an executor: `from weft.engine import KafkaExecutor`.

Importing it registers the executor `kafka`, which an installed Weft is found to have without that too.
"""

from weft.engine._executor import KafkaExecutor, KafkaHandle, make_executor

__all__ = ["KafkaExecutor", "KafkaHandle", "make_executor"]
