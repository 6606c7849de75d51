"""Conditions of a run's code's own: looked at after each of its steps, until they are true."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from weft.errors import TurnLimitError
from weft.workflow._commands import Commands
from weft.workflow._futures import PatientFuture
from weft.workflow._guard import CALLBACKS_MAX

if TYPE_CHECKING:
    from weft.workflow._loop import WorkflowLoop


class ConditionFuture(PatientFuture):
    """Done once a condition of the code's own is true."""

    def __init__(self, loop: WorkflowLoop, condition: Callable[[], object]) -> None:
        super().__init__(loop, "condition became true")
        self._condition = condition

    def look(self) -> bool:
        """Whether it is done by now. What the condition raises is told where it is awaited."""
        if self.done():
            return True
        try:
            is_met = bool(self._condition())
        except Exception as error:  # noqa: BLE001  # it is the user's code
            self._stop_timeout()
            self.set_exception(error)
            return True
        if is_met:
            self._stop_timeout()
            self.set_result(None)
        return is_met


class Conditions:
    """Of one run."""

    def __init__(self, commands: Commands, loop: WorkflowLoop) -> None:
        self.waiting: list[ConditionFuture] = []
        """Once the code is dropped, clear it: they hold each other."""
        self._commands = commands
        self._loop = loop

    def wait(self, condition: Callable[[], object]) -> ConditionFuture:
        """Done at once if it is met, else after the step of the code that makes it true."""
        self._commands.refuse_onlooker("wait")
        future = ConditionFuture(self._loop, condition)
        if not future.look():
            self.waiting.append(future)
        return future

    def run_while_met(self) -> None:
        """Let the code go on as long as one of them is true. Raises TurnLimitError when there is no end to that."""
        for _ in range(CALLBACKS_MAX):
            waiting, self.waiting = self.waiting, []
            unmet = [future for future in waiting if not future.look()]
            self.waiting = unmet + self.waiting
            if len(unmet) == len(waiting):
                return
            self._loop.run_ready()
        raise TurnLimitError(
            f"The workflow's code waited for {CALLBACKS_MAX} conditions in one turn, all of which became true without "
            "anything that takes time. Wait for an activity, a timer or a signal in between."
        )
