"""The question how a run ends, which may be answered only days later.

An owner remembers who waits in its memory only, so the question is asked anew every few seconds.
"""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from weft.client._bridge import Bridge
from weft.client._outcome import reply_of
from weft.client._request import Address, Request
from weft.codec import encode
from weft.errors import WeftError
from weft.records import ENDED, AwaitResult, Head, Reply, ReplyTo, StartWorkflow, is_same_chain
from weft.topics import Namespace

AWAIT_AGAIN_S = (2.0, 5.0, 10.0)
"""Waits before a run is asked for again; the last one repeats."""
EXECUTE_AGAIN_S = (3.0, 5.0, 10.0)
"""The same when the question came with the start of the run."""
LOOK_AGAIN_S = (0.0, 10.0, 30.0, 90.0, 300.0)
"""Waits before the state topic is looked at (again) for a run whose owner is silent."""
FRESH_S = 15.0
"""A run may be confirmed a moment before the log shows its state to readers: as long as the brokers, at their worst,
take to bring a decision to a partition."""
_LOOK_FRESH_AGAIN_S = 1.0
_ON_THE_WAY_S = 0.5
"""How long after its commit an owner's answer may come."""


class StateWatch(Protocol):
    """Looks at the state topic for a run whose owner does not answer."""

    def look(self, request: EndRequest) -> None: ...


class EndRequest(Request):
    """A question that is answered when a run has ended; `start` starts that run first.

    As long as nobody has confirmed the start, the start itself is asked again (one request ID is one run); afterwards
    the run is asked for by its ID. When its owner is silent, the state topic is looked at: a run that has ended is
    readable with no worker up.
    """

    __slots__ = (
        "_client_reply_to",
        "_fresh_until",
        "_look_at",
        "_looks",
        "_start",
        "_topics",
        "_watch",
        "reason",
        "run_id",
        "status",
    )

    def __init__(
        self,
        bridge: Bridge,
        address: Address,
        topics: Namespace,
        watch: StateWatch,
        *,
        reply_to: ReplyTo,
        start: StartWorkflow | None = None,
        run_id: str = "",
        fresh_until: float = 0.0,
    ) -> None:
        if start is not None:
            topic, value = topics.signals, encode(start)
        else:
            topic, value = topics.queries, encode(AwaitResult(reply_to, run_id))
        again_s = AWAIT_AGAIN_S if start is None else EXECUTE_AGAIN_S
        super().__init__(bridge, address, reply_to.request, topic, value, again_s)
        self.run_id = run_id
        """The run that is waited for, as soon as it is known."""
        self.status = ""
        """What was last heard of it."""
        self.reason = ""
        self._topics = topics
        self._watch = watch
        self._client_reply_to = reply_to
        self._start = start
        self._fresh_until = fresh_until
        """Until then, in the loop's time, a state that lacks the run proves nothing."""
        self._looks = 0
        self._look_at = 0.0

    def take(self, reply: Reply) -> None:
        if reply.outcome in {"accepted", "running"}:
            self.status, self.reason = reply.status, reply.reason
            if not self.run_id:
                self._learn(reply.run_id)
        else:
            self._finish(reply)

    @property
    def is_pending(self) -> bool:
        """It asks for a start that nobody has confirmed: a state without the run says nothing then."""
        return self._start is not None and not self.run_id

    def is_about(self, head: Head | None) -> bool:
        """Whether this is the head of the run that is waited for, or of one that continues it."""
        if head is None:
            return False
        return not self.run_id or is_same_chain(self.run_id, head.run_id)

    def take_head(self, head: Head | None, known_run_id: str, *, is_decided: bool) -> None:
        """What the state topic says. `known_run_id` is what `run_id` was when reading it began.

        Unless it `is_decided`, a later record of the workflow is there, and not shown to readers (yet).
        """
        if self.run_id != known_run_id:
            return  # An owner answered meanwhile and knows better.
        if self.is_pending and (head is None or head.request_id != self._start_request_id()):
            return  # No owner has taken the start up yet.
        if head is None or not self.is_about(head):
            now = self._bridge.loop.time()
            if not is_decided or now < self._fresh_until:
                self._look_at = now + _LOOK_FRESH_AGAIN_S
                return
            # It may have ended and been replaced this very moment: then its owner's answer is on the way.
            unknown = Reply(self.request_id, "unknown")
            self._bridge.loop.call_later(_ON_THE_WAY_S, self._finish, unknown)
            return
        self.run_id = head.run_id
        self.status, self.reason = head.status, head.reason
        if head.status in ENDED:
            try:
                self._finish(reply_of(head, self.request_id))
            except WeftError as error:
                self.fail(error)

    def _start_request_id(self) -> str:
        return self._start.request_id if self._start is not None else ""

    def _learn(self, run_id: str) -> None:
        """The start is confirmed. Ask for this run at once: the waiter that came with the start may be lost."""
        self.run_id = run_id
        self._fresh_until = self._bridge.loop.time() + FRESH_S
        if self.asks > 1 and not self._future.done():
            if self._timer is not None:
                self._timer.cancel()
            self._on_time()

    def _question(self) -> tuple[str, bytes]:
        if not self.asks:
            return self._topic, self._value
        if self._start is not None and self.is_pending:
            reply_to = msgspec.structs.replace(self._client_reply_to, until="accepted")
            start = msgspec.structs.replace(self._start, reply_to=reply_to)
            return self._topics.signals, encode(start)
        return self._topics.queries, encode(AwaitResult(self._client_reply_to, self.run_id))

    def _on_time(self) -> None:
        now = self._bridge.loop.time()
        is_silent = self._bridge.heard_at.get(self.partition, -math.inf) < self._asked_at
        if is_silent and self.asks and self._look_at <= now < self._deadline:
            self._looks += 1
            self._look_at = now + LOOK_AGAIN_S[min(self._looks, len(LOOK_AGAIN_S) - 1)]
            self._watch.look(self)
        super()._on_time()
