"""Activities out of what an agent works with: a language model, tools, people.

Each helper makes an `Activity` like any other: it stands at a file's top level, and `options(...)` changes how it is
run. What is wrong with its input fails it at once, for another attempt would get the same input.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, NotRequired, TypedDict, TypeVar, cast

from weft.activity._definition import Activity, define
from weft.activity._info import current
from weft.activity._options import Retry
from weft.codec import decode_payload, encode_payload
from weft.errors import Failure, UsageError
from weft.hitl import InteractionRequest, InteractionResponse, Manager

In = TypeVar("In")
Out = TypeVar("Out")

HUMAN_TIMEOUT = timedelta(days=30)
"""Of an attempt that waits for a person: the question's own timeout ends it, long before this does."""


class ToolCall(TypedDict):
    """The input of `tool_activity`: which tool, and its arguments by name."""

    name: str
    args: NotRequired[dict[str, Any]]


def llm_activity(
    invoker: Callable[[str], Awaitable[str]] | Callable[[str], str], *, name: str = ""
) -> Activity[[str], str]:
    """An activity that hands a prompt to a language model, and gives what it answered.

    `invoker` is an async function, or a plain one, which runs in a thread. What it raises is the attempt's failure.
    The activity is named after it unless `name` is given (as one without a name of its own needs).
    """

    def checked(prompt: Any) -> str:
        if not isinstance(prompt, str):
            raise _invalid(f"workflow/llm_activity: expected string input, got {_kind(prompt)}")
        return prompt

    def answered(answer: Any) -> str:
        if not isinstance(answer, str):
            _drop(answer)
            raise _invalid(f"workflow/llm_activity: expected string result, got {_kind(answer)}")
        return answer

    call: Callable[..., Any]
    if _is_async(invoker):

        async def ask(prompt: Any) -> str:
            return answered(await cast("Callable[[str], Awaitable[str]]", invoker)(checked(prompt)))

        call = ask
    else:

        def ask_in_thread(prompt: Any) -> str:
            return answered(invoker(checked(prompt)))

        call = ask_in_thread
    return _defined(call, invoker, name or _name_of(invoker, "llm_activity"))


def tool_activity(
    execute: Callable[[str, dict[str, Any]], Awaitable[Any]] | Callable[[str, dict[str, Any]], Any],
    *,
    name: str = "",
) -> Activity[[ToolCall], Any]:
    """An activity that runs one of several tools: `{"name": "look_up", "args": {"order": "order-7"}}`.

    `execute(name, args)` is an async function, or a plain one, which runs in a thread; `args` may be left out and are
    {} then. The activity is named after it unless `name` is given.
    """
    call: Callable[..., Any]
    if _is_async(execute):

        async def use(tool_call: Any) -> Any:
            return await execute(*_tool_and_arguments(tool_call))

        call = use
    else:

        def use_in_thread(tool_call: Any) -> Any:
            result = execute(*_tool_and_arguments(tool_call))
            if inspect.isawaitable(result):
                _drop(result)
                raise _invalid(f"workflow/tool_activity: expected a result, got {_kind(result)}")
            return result

        call = use_in_thread
    return _defined(call, execute, name or _name_of(execute, "tool_activity"))


def human_activity(
    manager: Manager, *, name: str = "human_activity"
) -> Activity[[InteractionRequest], InteractionResponse]:
    """An activity that asks a person through `manager`, and waits in its worker until the answer is there.

    The question has the same ID in every attempt, so that when a worker dies another one asks it again instead of a new
    one. No answer in time is no reason to ask once more: it has one attempt. For answers that take hours or days ask
    from the workflow, with `weft.workflow.Questions`: that waits without a worker.
    """

    async def ask(request: Any) -> InteractionResponse:
        request = _interaction(request)
        try:
            return await manager.request(request)
        except (TimeoutError, UsageError) as error:
            raise Failure(
                f"workflow/human_activity: {error}", type="provider_unavailable"
            ) from error

    activity = _defined(ask, manager.request, name)
    return activity.options(timeout=HUMAN_TIMEOUT, retry=Retry(max_attempts=1))


def _tool_and_arguments(call: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(call, dict):
        raise _invalid(f"workflow/tool_activity: expected dict[str, Any] input, got {_kind(call)}")
    name = call.get("name")
    if not name or not isinstance(name, str):
        raise _invalid("workflow/tool_activity: missing 'name' in input")
    arguments = call.get("args")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise _invalid(
            f"workflow/tool_activity: expected dict[str, Any] 'args' of {name!r}, got {_kind(arguments)}"
        )
    return name, arguments


def _interaction(value: Any) -> InteractionRequest:
    """Off the log it is a dict; its ID is the same for every attempt."""
    expected = "workflow/human_activity: expected hitl.InteractionRequest, got"
    if isinstance(value, InteractionRequest):
        request = value
    elif isinstance(value, dict):
        try:
            request = decode_payload(encode_payload(value), InteractionRequest)
        except UsageError as error:
            raise _invalid(f"{expected} {error}") from None
    else:
        raise _invalid(f"{expected} {_kind(value)}")
    about = current.get(None)
    if not request.id and about is not None:
        request = replace(request, id=about.idempotency_key)
    return request


def _defined(call: Callable[..., Any], source: object, name: str) -> Activity[..., Any]:
    call.__name__ = name
    call.__doc__ = getattr(source, "__doc__", None)
    return define(name=name)(call)


def _name_of(function: object, otherwise: str) -> str:
    name = getattr(function, "__name__", "")
    return name if name.isidentifier() else otherwise


def _is_async(function: Callable[..., Any]) -> bool:
    """Also an object whose `__call__` is async, and a `functools.partial` of an async function."""
    call = getattr(function, "__call__", None)  # noqa: B004  # asked for itself, not for whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _drop(value: object) -> None:
    """A coroutine that nobody will await: it would say so in a warning, somewhere else."""
    if inspect.iscoroutine(value):
        value.close()


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _invalid(message: str) -> Failure:
    return Failure(message, type="invalid_input", non_retryable=True)
