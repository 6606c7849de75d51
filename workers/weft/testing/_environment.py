"""A world for workflows in which time passes only when nothing else is left to do."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar, overload

from weft.activity import Activity
from weft.client import update_error
from weft.codec import decode_messages, encode, encode_payload
from weft.errors import (
    AlreadyStartedError,
    RefusedError,
    UnknownWorkflowError,
    UpdateRejectedError,
    UsageError,
)
from weft.executor import HookObserver, Hooks, Observer
from weft.payloads import CodecsOption, to_codecs
from weft.records import (
    ActivityTask,
    Event,
    MessagesRecord,
    Payload,
    QueryWorkflow,
    Reply,
    ResultsRecord,
    SignalsRecord,
    SignalWorkflow,
    StartWorkflow,
    UpdateWorkflow,
)
from weft.testing._attempts import Attempts
from weft.testing._errors import StuckError
from weft.testing._fake_children import ChildCall, FakeChildren
from weft.testing._fakes import Call, Fakes, name_of
from weft.testing._handle import Duration, Handle
from weft.testing._loop import START, VirtualHost, VirtualLoop
from weft.testing._owner import ASKED_BY, NAMESPACE, Owner
from weft.testing._published import Published
from weft.testing._replay import History, check
from weft.topics import Namespace
from weft.tracing import current_traceparent
from weft.workflow import Child, Machine, Workflow, Workflows

In = TypeVar("In")
Out = TypeVar("Out")

Crashes = Callable[[str, str, int, int], bool]
"""Whether there is a crash before the commit that brings these events: (workflow ID, first, last)."""

TURNS_MAX = 100_000
"""Of one wait: a workflow that goes round for ever must not do so for its test."""
_NOT_A_WORKFLOW = "env.start needs the workflow itself, not {!r}: a function that is decorated with @workflow.define."
_CHECKED_EACH_TURN_MAX = 20
_GROWTH_BETWEEN_CHECKS = 1.25
"""Longer histories are replayed whenever they have grown so much: all checks together stay a multiple of one."""


class Environment:
    """Runs workflows in virtual time, by the code that runs them in production, without a log and without threads.

    Nothing happens by itself: `run.result()`, `run.wait()` and `advance` let things happen. After each turn (of long
    histories: after some, and the last) the run is replayed from its encoded history; code that does not repeat itself
    fails there with NondeterminismError, unless `replay_check` is False. With `strict`, an activity without a fake is a
    mistake instead of being run. `hooks` and `observers` are told what happens, as a worker's are; `payload_codecs` are
    what workers and clients are given.
    """

    def __init__(
        self,
        *,
        strict: bool = False,
        replay_check: bool = True,
        hooks: Hooks | None = None,
        observers: Sequence[Observer] = (),
        payload_codecs: CodecsOption = (),
    ) -> None:
        self.refused: list[str] = []
        """Requests sent with `after` that came too late, when the run had ended, and updates that were rejected."""
        self._loop = VirtualLoop()
        self._host = VirtualHost(self._loop)
        self._codecs = to_codecs(payload_codecs)
        self._fakes = Fakes(lambda: self.now, self._refuse, strict=strict)
        self._attempts = Attempts(
            self._loop,
            self._host,
            self._fakes,
            self._take_result,
            self._refuse,
        )
        self._children = FakeChildren(self._loop, lambda: self.now, self._tell, self._refuse)
        self._workflows = Workflows()
        self._owners: dict[str, Owner] = {}
        """By namespace; made when something is sent there."""
        self._owners_by_run: dict[str, Owner] = {}
        self._published: list[Published] = []
        self._mail: deque[tuple[str, str, bytes]] = deque()
        """(topic, workflow ID, message) on their way from workflow to workflow."""
        self._crashes: Crashes | None = None
        self._observers = [*observers, *([HookObserver(hooks)] if hooks is not None else [])]
        self._owner = self._owner_of(NAMESPACE.name)
        self._replay_check = replay_check
        self._originals = Workflows()
        self._machines: dict[str, Machine] = {}
        """By run ID, those whose code ran last."""
        self._next_check: dict[str, int] = {}
        """By run ID, at how many events its history is replayed next."""
        self._due: tuple[int, Any] = (0, None)
        """When the owner must be woken, and the timer that does it."""
        self._error: Exception | None = None
        self._is_met: Callable[[], bool] | None = None
        """What the loop is run for."""
        self._turn_count = 0
        self._request_count = 0
        self._started_count = 0
        """Workflows that were started without an ID."""
        self._has_run_inline_again = False
        """A crash has interrupted inline activities: they were run again, perhaps in another order."""
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs. The fixture does it."""
        if self._is_closed:
            return
        self._is_closed = True
        self._attempts.close()
        self._children.close()
        self._loop.run(may_jump=False)
        for owner in self._owners.values():
            owner.close()
        self._loop.close()

    # What a test does.

    @overload
    def start(
        self,
        workflow: Workflow[In, Out],
        input: In,
        *,
        id: str = ...,
        timeout: Duration | None = ...,
    ) -> Handle[Out]: ...
    @overload
    def start(
        self, workflow: Workflow[None, Out], *, id: str = ..., timeout: Duration | None = ...
    ) -> Handle[Out]: ...
    def start(
        self,
        workflow: Workflow[Any, Out],
        input: Any = None,
        *,
        id: str = "",
        timeout: Duration | None = None,
    ) -> Handle[Out]:
        """Start a workflow. Its code runs until it waits for something.

        Raises UsageError for a wrong input, AlreadyStartedError, NondeterminismError.
        """
        if not isinstance(workflow, Workflow):
            raise UsageError(_NOT_A_WORKFLOW.format(workflow))
        self._know(workflow)
        plain = workflow.encode_input(input)
        workflow_id = id or self._new_id(workflow.name)
        data = self._owner.payloads.encode(plain, workflow_id)
        timeout_ms = round(_seconds(timeout, "timeout") * 1000) if timeout is not None else 0
        record = StartWorkflow(
            workflow.name,
            self._request_id(),
            data,
            timeout_ms,
            reply_to=ASKED_BY,
            traceparent=current_traceparent(),
            version=workflow.version,
        )
        reply = self._request(self._owner, workflow_id, record)
        if reply.outcome == "conflict":
            raise AlreadyStartedError(
                f"Workflow {workflow_id!r} is running already (run {reply.run_id}).",
                run_id=reply.run_id,
            )
        return Handle(self, workflow, workflow_id, self._owner)

    def fake(
        self,
        activity: Activity[..., Any] | str,
        *outcomes: Any,
        takes: Duration = 0,
    ) -> None:
        """Let an activity do this instead of its own work; a later fake of the same replaces it.

        One outcome is that of every attempt, several are those of one attempt after the other, none is None. A function
        (plain or async) is called with the attempt's arguments, an exception is raised, anything else is the result.
        `takes` is how long each attempt takes, in virtual time. Results are checked against the activity's type.
        """
        self._fakes.fake(activity, outcomes, _seconds(takes, "takes"))

    def calls(self, activity: Activity[..., Any] | str | None = None) -> list[Call]:
        """The attempts so far, faked or not, in the order in which they began: of one activity, or of all."""
        name = name_of(activity) if activity is not None else ""
        return [call for call in self._fakes.calls if not name or call.activity == name]

    def published(self, topic: str = "") -> list[Published]:
        """What workflows have published so far, in its order: on one topic, or on all.

        Here every topic exists, and takes what Kafka takes unless it is told otherwise.
        """
        return [one for one in self._published if not topic or one.topic == topic]

    def fake_child(
        self, workflow: Workflow[Any, Any] | str, *outcomes: Any, takes: Duration = 0
    ) -> None:
        """Let children of this workflow end so, instead of running: they are started, and nothing happens in them.

        Outcomes are as for `fake`; a function is called with the child's input. A child that is cancelled or terminated
        meanwhile ends so; signals to it are taken, and nobody reads them.
        """
        self._children.fake(workflow, outcomes, _seconds(takes, "takes"))

    def child_calls(self, workflow: Workflow[Any, Any] | str | None = None) -> list[ChildCall]:
        """The starts of faked children so far, in their order: of one workflow, or of all."""
        name = workflow.name if isinstance(workflow, Workflow) else workflow
        return [call for call in self._children.calls if not name or call.workflow == name]

    def serve(self, *workflows: Workflow[Any, Any]) -> None:
        """Have these too: children that are called by their names alone."""
        for workflow in workflows:
            self._know(workflow)

    def handle(self, id: str, *, namespace: str = "") -> Handle[Any]:
        """A workflow that is there, such as a child. Raises UnknownWorkflowError when none is."""
        owner = self._owner_of(namespace or NAMESPACE.name)
        head = owner.head(id)
        return Handle(self, self._original(head.workflow, head.version), id, owner)

    def advance(self, duration: Duration) -> None:
        """Let time pass, and everything happen that happens in it."""
        passed: list[bool] = []
        timer = self._loop.call_later(_seconds(duration, "duration"), self._pass, passed)
        try:
            self._run_until(lambda: bool(passed))
        finally:
            timer.cancel()
        self.settle()

    @property
    def now(self) -> datetime:
        """The virtual time, UTC. Every environment begins on 2026-01-01."""
        return datetime.fromtimestamp(self._loop.now_ms / 1000, UTC)

    @property
    def elapsed(self) -> timedelta:
        """How much virtual time has passed."""
        return self.now - START

    def crash(self) -> None:
        """Kill the worker: all memory is lost, and another one goes on from the encoded histories."""
        for owner in list(self._owners.values()):
            owner.crash()
        self._raise_error()

    def deploy(self, *workflows: Workflow[Any, Any]) -> None:
        """Crash, and go on with other code: definitions take the place of those of the same name and version.

        Other versions stay: runs go on with the one that they started with. `withdraw` takes one away.
        """
        for workflow in workflows:
            self._know(workflow)
        self.crash()

    def withdraw(self, *workflows: Workflow[Any, Any]) -> None:
        """Crash, and go on without these definitions: runs of their versions are blocked until they are deployed."""
        for workflow in workflows:
            self._originals.remove(workflow)
            self._workflows.remove(workflow)
        self.crash()

    # What handles do.

    def _has(self, workflow_id: str, namespace: str) -> bool:
        owner = self._owner_of(namespace or NAMESPACE.name)
        return workflow_id in owner.partition.cells

    def _send(
        self, owner: Owner, workflow_id: str, record: SignalsRecord, after: Duration, what: str
    ) -> None:
        """Write a request, now or later. When it is now it raises as a client does."""
        if _seconds(after, "after"):
            self._loop.call_later(
                _seconds(after, "after"), self._send_later, owner, workflow_id, record, what
            )
            return
        reply = self._request(owner, workflow_id, record)
        if reply.outcome == "rejected" and isinstance(record, UpdateWorkflow):
            opened = owner.opened(workflow_id, reply)
            raise update_error(workflow_id, record.update, record.id, opened)
        self._checked(workflow_id, reply, what)

    def _ask(self, owner: Owner, workflow_id: str, name: str, value: object, what: str) -> Payload:
        """A query's answer, once all has happened that takes no time. Raises like `_send`."""
        self.settle()
        data = owner.payloads.encode(encode_payload(value), workflow_id)
        query = QueryWorkflow(name, ASKED_BY, data)
        reply = owner.write(owner.namespace.queries, workflow_id, query)
        assert reply is not None, "a query is answered at once"
        answer = self._checked(workflow_id, reply, what).result
        return owner.payloads.decode(answer, workflow_id)

    @staticmethod
    def _checked(workflow_id: str, reply: Reply, what: str) -> Reply:
        if reply.outcome == "unknown":
            raise UnknownWorkflowError(f"There is no workflow {workflow_id!r} in this environment.")
        if reply.outcome == "refused":
            raise RefusedError(f"{what} was refused: {reply.reason} (run {reply.run_id}).")
        return reply

    def _signal_record(
        self, owner: Owner, workflow_id: str, name: str, payload: object, id: str
    ) -> SignalWorkflow:
        """A signal with an ID of its own, if it is given none."""
        if not name:
            raise UsageError("A signal needs a name.")
        data = owner.payloads.encode(encode_payload(payload), workflow_id)
        return SignalWorkflow(name, data, id or self._request_id(), ASKED_BY)

    def _run_until(
        self, is_met: Callable[[], bool], stuck: Callable[[], str] | None = None
    ) -> None:
        """Let things happen. Raises StuckError when nothing will any more, or too much has, and what a check found."""
        self._raise_error()
        self._turn_count = 0
        self._is_met = is_met
        try:
            while not is_met():
                ran = self._loop.run()
                self._raise_error()
                if self._turn_count >= TURNS_MAX:
                    raise StuckError(f"There was no end to it: {TURNS_MAX} turns, {self.elapsed}.")
                if not ran and not is_met():
                    raise StuckError(stuck() if stuck is not None else "Nothing is left to happen.")
        finally:
            self._is_met = None

    def settle(self) -> None:
        """Let everything happen that takes no time."""
        if not self._loop.is_running():
            self._loop.run(may_jump=False)
            self._raise_error()

    def _raise_error(self) -> None:
        """What was found wrong where it could not be raised."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _original(self, workflow: str, version: str) -> Workflow[Any, Any]:
        """The definition under this name and version."""
        return self._originals.find(workflow, version) or self._originals[workflow]

    # What the world does.

    def _know(self, workflow: Workflow[Any, Any]) -> None:
        self._originals.add(workflow)
        self._workflows.add(_Watched(workflow, self._fakes, self._know_child, self._machines))

    def _know_child(self, workflow: Workflow[Any, Any]) -> None:
        if all(one.version != workflow.version for one in self._originals.versions(workflow.name)):
            self._know(workflow)

    def _owner_of(self, namespace: str) -> Owner:
        owner = self._owners.get(namespace)
        if owner is None:
            owner = self._owners[namespace] = Owner(
                self._host,
                now_ms=lambda: self._loop.now_ms,
                dispatch=lambda *attempt: self._dispatch(self._owner_of(namespace), *attempt),
                committed=lambda changed: self._committed(self._owner_of(namespace), changed),
                lost=lambda: self._lost(self._owner_of(namespace)),
                post=self._post,
                workflows=self._workflows,
                published=self._published,
                codecs=self._codecs,
                namespace=Namespace(namespace),
                observers=self._observers,
            )
            owner.crashes = self._crashes
        return owner

    def _crash_at(self, crashes: Crashes) -> None:
        """Every owner, now and later, asks before each commit whether it crashes there."""
        self._crashes = crashes
        for owner in self._owners.values():
            owner.crashes = crashes

    def _new_id(self, name: str) -> str:
        self._started_count += 1
        return f"{name}-{self._started_count}"

    def _request_id(self) -> str:
        self._request_count += 1
        return f"request-{self._request_count}"

    def _request(self, owner: Owner, workflow_id: str, record: SignalsRecord) -> Reply:
        reply = owner.write(owner.namespace.signals, workflow_id, record)
        self._raise_error()
        if reply is None:
            raise UsageError(f"{type(record).__name__} for workflow {workflow_id!r} was put aside.")
        return reply

    def _send_later(self, owner: Owner, workflow_id: str, record: SignalsRecord, what: str) -> None:
        try:
            self._send(owner, workflow_id, record, 0, what)
        except (RefusedError, UpdateRejectedError) as error:
            self.refused.append(str(error))
        except Exception as error:  # noqa: BLE001  # the test is told
            self._refuse(error)

    def _take_result(self, workflow_id: str, result: ResultsRecord) -> None:
        owner = self._owners_by_run[result.run_id]
        owner.write(owner.namespace.results, workflow_id, result)

    def _dispatch(
        self,
        owner: Owner,
        workflow_id: str,
        task: ActivityTask,
        is_inline: bool,  # noqa: FBT001  # as the owner calls it
    ) -> None:
        self._owners_by_run[task.run_id] = owner
        self._attempts.begin(workflow_id, task, is_inline, owner.payloads)

    def _is_awaited(self, workflow_id: str, task: ActivityTask) -> bool:
        return self._owners_by_run[task.run_id].is_awaited(workflow_id, task)

    def _post(self, topic: str, workflow_id: str, data: bytes) -> None:
        """From workflow to workflow: on the log once it is committed, whoever crashes then."""
        self._mail.append((topic, workflow_id, data))
        self._loop.call_soon(self._deliver)

    def _tell(self, namespace: str, workflow_id: str, message: MessagesRecord) -> None:
        self._post(Namespace(namespace).messages, workflow_id, encode(message))

    def _deliver(self) -> None:
        topic, workflow_id, data = self._mail.popleft()
        owner = self._owner_of(topic.removesuffix(".messages"))
        message = owner.opened(workflow_id, decode_messages(data))
        if not self._children.takes(owner.namespace.name, workflow_id, message):
            owner.bring(topic, workflow_id, data)

    def _committed(self, owner: Owner, workflow_ids: Sequence[str]) -> None:
        self._turn_count += 1
        for workflow_id in workflow_ids:
            self._attempts.cancel_stale(workflow_id, self._is_awaited)
            self._tell_refused(owner.head(workflow_id).run_id)
            if self._replay_check:
                self._check(owner, workflow_id)
        if self._replay_check:
            self._check_continued(owner)
        self._plan()
        if self._loop.is_running() and (
            self._turn_count >= TURNS_MAX or (self._is_met is not None and self._is_met())
        ):
            self._loop.stop()

    def _tell_refused(self, run_id: str) -> None:
        """What a run's code may not do blocks it in production, and it goes on with other code; its test fails here."""
        machine = self._machines.get(run_id)
        if machine is not None and machine.refused is not None:
            del self._machines[run_id]
            self._refuse(machine.refused)

    def _lost(self, owner: Owner) -> None:
        self._has_run_inline_again |= self._attempts.crash_inline(
            lambda task: self._owners_by_run[task.run_id] is owner
        )

    def _plan(self) -> None:
        due_ms, timer = self._due
        next_ms = min(
            filter(None, (owner.next_due_ms() for owner in self._owners.values())), default=0
        )
        if next_ms != due_ms:
            if timer is not None:
                timer.cancel()
            timer = self._loop.call_at(self._loop.at(next_ms), self._fire) if next_ms else None
            self._due = (next_ms, timer)

    def _fire(self) -> None:
        self._due = (0, None)
        for owner in list(self._owners.values()):
            if 0 < owner.next_due_ms() <= self._loop.now_ms:
                owner.fire_due()
        self._plan()  # what turned out not to be due yet

    def _check(self, owner: Owner, workflow_id: str) -> None:
        head = owner.head(workflow_id)
        if head.status == "blocked" or self._error is not None:
            return
        is_due = head.event_count >= self._next_check.get(head.run_id, 0)
        if head.status == "running" and not is_due:
            return
        count = head.event_count
        if count > _CHECKED_EACH_TURN_MAX:
            count = round(count * _GROWTH_BETWEEN_CHECKS)
        self._next_check[head.run_id] = count
        self._replay(workflow_id, owner.history(workflow_id))

    def _replay(self, workflow_id: str, events: Sequence[Event]) -> None:
        try:
            check(History.of(workflow_id, events), self._originals, is_same_code=True)
        except Exception as error:  # noqa: BLE001  # the test is told
            self._refuse(error)

    def _check_continued(self, owner: Owner) -> None:
        """Replay the runs that were continued since the last look: each as a whole, this once."""
        for workflow_id, events in owner.continued[owner.checked_count :]:
            self._replay(workflow_id, events)
        owner.checked_count = len(owner.continued)

    def _pass(self, passed: list[bool]) -> None:
        passed.append(True)
        self._loop.stop()

    def _refuse(self, error: Exception) -> None:
        """Something that the test must be told, however far down it was found."""
        if self._error is None:
            self._error = error
        if self._loop.is_running():
            self._loop.stop()


class _Watched(Workflow[Any, Any]):
    """The same workflow, of whose code the environment learns what it asks for, and what it was refused."""

    def __init__(
        self,
        workflow: Workflow[Any, Any],
        fakes: Fakes,
        know: Callable[[Workflow[Any, Any]], None],
        machines: dict[str, Machine],
    ) -> None:
        super().__init__(workflow.function, name=workflow.name, version=workflow.version)
        self._watched = workflow
        self._fakes = fakes
        self._know = know
        self._machines = machines

    def run(self, machine: Machine, data: Payload) -> Any:
        self._machines[machine.run_id] = machine
        schedule = machine.activities.schedule

        def noting(activity: Activity[..., Any] | str, *arguments: Any) -> Any:
            if isinstance(activity, Activity):
                self._fakes.know(activity)
            return schedule(activity, *arguments)

        start = machine.children.schedule

        def noting_child(child: Child[Any, Any], input: Payload) -> Any:
            if isinstance(child.workflow, Workflow):
                self._know(child.workflow)
            return start(child, input)

        machine.activities.schedule = noting  # type: ignore[method-assign, assignment]
        machine.children.schedule = noting_child  # type: ignore[method-assign, assignment]
        return self._watched.run(machine, data)


def _seconds(duration: Duration, name: str) -> float:
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if not 0 <= seconds < float("inf"):
        raise UsageError(
            f"{name}={duration!r} is no duration: give a timedelta or seconds, 0 or more."
        )
    return seconds
