"""The code of a partition's workflows: found, brought to where a run's history ends, and asked."""

from __future__ import annotations

from functools import partial

from weft.core import Run
from weft.errors import NondeterminismError, PayloadError, QueryError
from weft.payloads import Payloads
from weft.records import NULL, Payload, QueryWorkflow
from weft.worker._cell import Cell
from weft.worker._publisher import Publisher
from weft.worker._reasons import told
from weft.workflow import Guard, Machine, Workflows

BROKEN = (Exception, SystemExit, KeyboardInterrupt)
"""Whatever broke, only this run may stop. An interrupt is the user code's own: signals go to the main thread."""


class Code:
    """Of one partition. A run's code is with its cell as long as the run is warm and nothing went wrong with it."""

    def __init__(
        self, workflows: Workflows, *, guard: Guard, payloads: Payloads, publisher: Publisher
    ) -> None:
        self.workflows = workflows
        self._guard = guard
        self._payloads = payloads
        self._publisher = publisher

    def new_machine(self, cell: Cell) -> Machine:
        """What drives a run whose workflow is here. Nothing of it has run yet."""
        run = running(cell)
        definition = self.workflows.find(run.workflow, run.version)
        assert definition is not None, "it was looked for before"
        decode = partial(self._payloads.decode, workflow_id=cell.workflow_id)
        place = partial(self._publisher.place, cell.workflow_id)
        return Machine(
            definition,
            cell.workflow_id,
            self._guard,
            decode,
            cell.history_after,
            place,
        )

    def drive(self, cell: Cell) -> str:
        """Bring the code to where the history ends; the reason when that cannot be."""
        run = running(cell)
        problem = self.workflows.problem(run.workflow, run.version)
        if problem:
            return problem
        machine = self.new_machine(cell)
        try:
            machine.replay(cell.history())
        except NondeterminismError as error:
            machine.close()
            return str(error)
        except BROKEN as error:
            reason = f"replay broke with {told(error, machine)}"
            machine.close()
            return reason
        cell.machine = machine
        return ""

    def brings_activities(self, cell: Cell) -> bool:
        """Whether its activities are made by its code, and gone with it."""
        definition = self.workflows.find(running(cell).workflow, running(cell).version)
        return definition is not None and definition.brings_activities

    def query(self, cell: Cell, query: QueryWorkflow) -> tuple[Payload, str]:
        """What the code of an open run answers, and why it cannot: one of them is empty. The run stays as it is."""
        if cell.machine is None:
            problem = self.drive(cell)
            if problem:
                return NULL, problem
        machine = cell.machine
        assert machine is not None, "the code was driven"
        payloads, workflow_id = self._payloads, cell.workflow_id
        try:
            answer = machine.query(query.query, payloads.decode(query.payload, workflow_id))
            return payloads.encode(answer, workflow_id), ""
        except (QueryError, PayloadError) as error:
            return NULL, str(error)
        except BROKEN as error:
            reason = f"the handler of query {query.query!r} raised {told(error, machine)}"
            # Where it was broken off nobody knows; a replay brings the code back as it was.
            cell.close()
            return NULL, reason


def running(cell: Cell) -> Run:
    run = cell.run
    assert run is not None, "turns are taken on warm cells"
    return run
