"""What a run's code asks for in one activation, under which numbers, and when it may ask for nothing."""

from __future__ import annotations

from typing import NoReturn

from weft.core import CancelActivity, CancelTimer, Command, PublishRecord, ScheduleActivity
from weft.errors import TurnLimitError, UsageError, WeftError
from weft.workflow._guard import COMMANDS_MAX, TurnInterrupted


class Commands:
    """Of one run. Each part of it asks here, for what stands in the history under a number of its own."""

    def __init__(self) -> None:
        self.ended = False
        """The code has come to its end, or is being dropped: what it asks for now is nobody's business."""
        self.onlooker = ""
        """Who may only look at what there is, while it is asked."""
        self.stopped_by: WeftError | None = None
        """Why the code cannot go on: looked at when it rests, for it may have swallowed what was raised in it."""
        self.last_number = 0
        self._by_key: dict[int | str, Command] = {}
        """In order: by its number, cancellations by the number below zero, patches by their IDs, answers to updates by
        theirs after a null character, and the end by zero."""

    # What the code asks for.

    def refuse_onlooker(self, wanted: str) -> None:
        """Raises UsageError in the handler of a query, and in the validator of an update."""
        if self.onlooker:
            raise UsageError(f"{self.onlooker} may only look at what there is, not {wanted}")

    def next_number(self, wanted: str) -> int:
        """For a command that nothing else of the run is called by. Raises UsageError for who may only look."""
        if self.onlooker:
            self.refuse_onlooker(wanted)
        self.last_number += 1
        return self.last_number

    def ask(self, command: Command, key: int | str) -> None:
        """`key`: the command's number, or that below zero when it takes back an earlier one."""
        if len(self._by_key) >= COMMANDS_MAX:
            if self.stopped_by is None:
                self.stopped_by = TurnLimitError(
                    f"The workflow's code asked for more than {COMMANDS_MAX} activities and timers without waiting for "
                    "any of them. Split the work: into several rounds, or into several workflows."
                )
            raise TurnInterrupted
        self._by_key[key] = command

    def withdraw(self, number: int) -> bool:
        """Take back what was asked for in this very activation; False when it is too late for that."""
        return self._by_key.pop(number, None) is not None

    def withdraw_or_add(self, number: int, command: CancelActivity | CancelTimer) -> None:
        """What was asked for in this very activation is withdrawn and leaves no trace."""
        if self._by_key.pop(number, None) is None and not self.ended:
            self.ask(command, -number)

    # What becomes of it.

    def stop(self, why: WeftError) -> NoReturn:
        """Interrupt the code, for something that is no matter of its own."""
        self.stopped_by = why
        raise TurnInterrupted from None

    def place(self, record: PublishRecord) -> None:
        """Where the record goes is known now; it keeps its place in the order."""
        self._by_key[record.publish_id] = record

    def end(self, outcome: Command) -> None:
        """The last command of the run, as which its code has ended."""
        self._by_key[0] = outcome
        self.ended = True

    def activities(self) -> frozenset[str]:
        """The names of the activities that were asked for in this activation."""
        return frozenset(
            command.activity
            for command in self._by_key.values()
            if isinstance(command, ScheduleActivity)
        )

    def take(self) -> list[Command]:
        """All that was asked for, in order; the next activation begins with none."""
        commands = list(self._by_key.values())
        self._by_key.clear()
        return commands
