"""The rules: what workflow code may not do, under which code it is reported, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of finding. `what` follows the name of what was found; `advice` is the correct pattern."""

    code: str
    name: str
    what: str
    advice: str
    generator_advice: str = ""
    """Where a generator workflow writes it differently."""

    def advice_for(self, *, is_generator: bool) -> str:
        return self.generator_advice if is_generator and self.generator_advice else self.advice


UNNEEDED_IGNORE = Rule("WEFT001", "unneeded-ignore", "silences nothing on this line", "remove it")
UNKNOWN_IGNORE = Rule(
    "WEFT002",
    "unknown-ignore",
    "names no rule",
    "write `# weft: ignore[WEFT101]` with the code of the rule",
)
WALL_CLOCK = Rule(
    "WEFT101",
    "wall-clock",
    "reads a clock, which shows another time in a replay",
    "use ctx.now()",
    "use ctx.current_utc_datetime",
)
RANDOMNESS = Rule(
    "WEFT102",
    "randomness",
    "draws other numbers in a replay",
    "use ctx.random()",
    "draw them in an activity",
)
RANDOM_UUID = Rule(
    "WEFT103",
    "random-uuid",
    "makes another ID in a replay",
    "use ctx.uuid4()",
    "make it in an activity",
)
ENVIRONMENT = Rule(
    "WEFT104",
    "environment",
    "looks at this process and its machine, and the replay may run on another",
    "pass it as input, or read it in an activity",
)
NETWORK = Rule(
    "WEFT105",
    "network",
    "uses the network, again in every replay, and everything waits for it",
    "put it into an activity",
)
FILES = Rule(
    "WEFT106",
    "files",
    "uses files or the terminal, which a replay finds changed",
    "put it into an activity",
)
SLEEPING = Rule(
    "WEFT107",
    "sleeping",
    "blocks the worker",
    "use `await ctx.sleep(...)` or `await asyncio.sleep(...)`",
    "use `yield ctx.create_timer(...)`",
)
THREADS = Rule(
    "WEFT108",
    "threads",
    "brings in threads or processes, whose order no replay repeats",
    "use asyncio tasks, locks and queues, or put it into an activity",
    "use ctx.when_all and ctx.when_any, or put it into an activity",
)
SUBPROCESS = Rule(
    "WEFT109",
    "subprocess",
    "runs or signals another process, again in every replay",
    "put it into an activity",
)
ASYNCIO = Rule(
    "WEFT110",
    "asyncio-without-loop",
    "does not exist on the event loop of workflows",
    "put it into an activity",
)
SET_ORDER = Rule(
    "WEFT111",
    "set-order",
    "has another order in another process",
    "use sorted(...), or keep the values in a list or dict",
)
MUTABLE_GLOBAL = Rule(
    "WEFT112",
    "mutable-global",
    "is shared by all runs of the process and lost with it",
    "keep it in a local variable, or in the workflow's input and result",
)
HASH_ORDER = Rule(
    "WEFT113",
    "hash-or-id",
    "gives another number in another process",
    "decide by the value itself, or by zlib.crc32 of its bytes",
)
DIRECT_ACTIVITY = Rule(
    "WEFT114",
    "direct-activity",
    "is an activity and is called as a plain function: nothing is recorded, and it runs again in every replay",
    "use `await ctx.execute_activity(...)`",
    "use `yield ctx.call_activity(...)`",
)

RULES = {
    rule.code: rule
    for rule in (
        UNNEEDED_IGNORE, UNKNOWN_IGNORE, WALL_CLOCK, RANDOMNESS, RANDOM_UUID, ENVIRONMENT, NETWORK, FILES, SLEEPING,
        THREADS, SUBPROCESS, ASYNCIO, SET_ORDER, MUTABLE_GLOBAL, HASH_ORDER, DIRECT_ACTIVITY,
    )
}  # fmt: skip
"""By code."""
