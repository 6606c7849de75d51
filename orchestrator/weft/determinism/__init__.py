"""What workflow code may not do because no replay repeats it: the rules, the names, and the guard that refuses them.

One table serves two: the linter (`weft.lint`) finds its names in the source, before anything runs; the guard refuses
them while a workflow's code runs. The guard is inside of nothing else: activities, workers, other threads and tests
call what they like.
"""

from weft.determinism._code import GuardedCode, judge, running_code, unguarded
from weft.determinism._frames import is_users, is_users_file
from weft.determinism._names import (
    ALLOWED,
    ARGUMENTS_NEEDED,
    RETURNED,
    refused_names,
    rule_of,
    rule_of_value,
)
from weft.determinism._patches import cover
from weft.determinism._rules import (
    DIRECT_ACTIVITY,
    HASH_ORDER,
    MUTABLE_GLOBAL,
    RULES,
    SET_ORDER,
    UNKNOWN_IGNORE,
    UNNEEDED_IGNORE,
    Rule,
)

__all__ = [
    "ALLOWED",
    "ARGUMENTS_NEEDED",
    "DIRECT_ACTIVITY",
    "HASH_ORDER",
    "MUTABLE_GLOBAL",
    "RETURNED",
    "RULES",
    "SET_ORDER",
    "UNKNOWN_IGNORE",
    "UNNEEDED_IGNORE",
    "GuardedCode",
    "Rule",
    "cover",
    "is_users",
    "is_users_file",
    "judge",
    "refused_names",
    "rule_of",
    "rule_of_value",
    "running_code",
    "unguarded",
]
