"""What a context has for other workflows: children, and signals to anybody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar, overload

from weft.errors import UsageError
from weft.topics import Namespace, check_workflow_id
from weft.workflow._child import Child, to_child
from weft.workflow._children import ChildHandle
from weft.workflow._futures import WorkflowFuture

if TYPE_CHECKING:
    from weft.workflow._definition import Workflow
    from weft.workflow._machine import Machine

In = TypeVar("In")
Out = TypeVar("Out")


class ChildCalls:
    """The part of an async workflow's context that is about other workflows."""

    _machine: Machine

    @overload
    def execute_child(
        self, workflow: Workflow[In, Out] | Child[In, Out], input: In, /
    ) -> asyncio.Future[Out]: ...
    @overload
    def execute_child(
        self, workflow: Workflow[None, Out] | Child[None, Out], /
    ) -> asyncio.Future[Out]: ...
    @overload
    def execute_child(self, workflow: str, input: Any = None, /) -> asyncio.Future[Any]: ...
    def execute_child(self, workflow: Any, input: Any = None, /) -> Any:
        """Run a workflow as a child of this one; it is on its way at once.

        It has an ID, a history and a status of its own. Raises ChildWorkflowError, when awaited, if it does not
        complete; cancelling what awaits it asks the child to end. By name ("order") it may be another app's; its result
        is then plain JSON. `fulfil.options(...)` and `workflow.child("order", ...)` say more: ID, namespace, timeout,
        retries, and what becomes of it when this run ends.
        """
        child = to_child(workflow)
        return self._machine.children.execute(child, child.encode_input(input))

    @overload
    def start_child(
        self, workflow: Workflow[In, Out] | Child[In, Out], input: In, /
    ) -> asyncio.Future[ChildHandle[Out]]: ...
    @overload
    def start_child(
        self, workflow: Workflow[None, Out] | Child[None, Out], /
    ) -> asyncio.Future[ChildHandle[Out]]: ...
    @overload
    def start_child(
        self, workflow: str, input: Any = None, /
    ) -> asyncio.Future[ChildHandle[Any]]: ...
    def start_child(self, workflow: Any, input: Any = None, /) -> Any:
        """Start a child like `execute_child`; awaited, it gives a handle once the child runs.

        Raises ChildWorkflowError, when awaited, if it cannot be started: its ID may be another workflow's.
        """
        child = to_child(workflow)
        return self._machine.children.start(child, child.encode_input(input))

    def signal(
        self, workflow_id: str, name: str, payload: object = None, *, namespace: str = ""
    ) -> asyncio.Future[None]:
        """Send a signal to another workflow, exactly once; awaited, it is done when that workflow has it.

        It leaves with this step, whether or not it is awaited. Raises SignalNotDeliveredError, when awaited, if there
        is no such workflow, or it has ended.
        """
        check_workflow_id(workflow_id)
        if not name:
            raise UsageError("a signal needs a name")
        if namespace:
            Namespace(namespace)
        return self._machine.children.signal(workflow_id, name, payload, namespace)


class GeneratorChildCalls:
    """The same in a generator workflow's context, by the name that Dapr teaches."""

    _machine: Machine

    def call_child_workflow(
        self, workflow: Any, input: Any = None, instance_id: str | None = None
    ) -> WorkflowFuture:
        """Run a workflow as a child of this one, under an ID of its own."""
        child = to_child(workflow)
        if instance_id:
            child = child.with_id(instance_id)
        return self._machine.children.execute(child, child.encode_input(input))
