"""Which topics there are, how they are set, and which partition a workflow is on."""

from weft.topics._catalogue import INPUT_BYTES_MAX, OUTPUT_BYTES_MAX, catalogue
from weft.topics._check import Problem, check, create, partition_count, queues
from weft.topics._names import Namespace, check_workflow_id
from weft.topics._partitioner import partition_of

__all__ = [
    "INPUT_BYTES_MAX",
    "OUTPUT_BYTES_MAX",
    "Namespace",
    "Problem",
    "catalogue",
    "check",
    "check_workflow_id",
    "create",
    "partition_count",
    "partition_of",
    "queues",
]
