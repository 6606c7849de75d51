"""The signals that come to a run: kept in order until its code receives them, in line or by a handler.

A signal on the log may have its payload in the store, or encoded: such a one is fetched between two steps of the code,
which takes time, and handed over then.

Every signal is consumed by one run of a chain. What this run has not taken goes on to the next, when it continues as a
new one: what nobody received, and what a future has that nobody has looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from weft.codec import decode_payload, decoder, is_sealed
from weft.errors import SignalPayloadError, UsageError
from weft.records import Payload, SignalReceived
from weft.workflow._commands import Commands
from weft.workflow._continue import ContinuedAsNew
from weft.workflow._fetching import Fetch, fetched
from weft.workflow._futures import PatientFuture
from weft.workflow._handler import Handler
from weft.workflow._handler_calls import HandlerCalls

if TYPE_CHECKING:
    from weft.workflow._loop import WorkflowLoop


class SignalFuture(PatientFuture):
    """The next signal of one name."""

    def __init__(
        self, signals: Signals, loop: WorkflowLoop, name: str, decode: Callable[[Payload], Any]
    ) -> None:
        super().__init__(loop, f"signal {name!r} came")
        self.name = name
        self.event_id = 0
        """Of the signal, once it has one."""
        self._signals = signals
        self._decode = decode

    def result(self) -> Any:
        """Whoever takes what is in it has taken the signal."""
        self._signals.untaken.take(self.event_id)
        return super().result()

    def exception(self) -> BaseException | None:
        self._signals.untaken.take(self.event_id)
        return super().exception()

    def __await__(self) -> Generator[Any, None, Any]:
        # As asyncio's own, in Python: that one does not ask `result`.
        if not self.done():
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    __iter__ = __await__

    def resolve(self, signal: SignalReceived) -> None:
        """A payload that does not fit is told at the receive call: who sent it may not be who wrote the workflow."""
        self._stop_timeout()
        try:
            value = self._decode(signal.payload)
        except Exception as error:  # noqa: BLE001  # a user's type may check its values in any way
            self.set_exception(_unfit(signal, error))
        else:
            self.set_result(value)

    def _stop_waiting(self) -> None:
        self._signals.stop_receiving(self)


class SignalHandler:
    """A function of the workflow's code that is called for every signal of one name.

    It takes signals as a future does that waits for one; only, it is never done.
    """

    __slots__ = ("_calls", "_handler", "_loop")

    def __init__(
        self, calls: HandlerCalls, loop: WorkflowLoop, name: str, function: Callable[..., Any]
    ) -> None:
        """Raises UsageError for what takes more than one value."""
        self._calls = calls
        self._loop = loop
        self._handler = Handler("signal", name, function)

    def done(self) -> bool:
        return False

    def expect(self) -> None:
        """A signal is on its way to it."""
        self._calls.begin(self._handler.what)

    def take(self, signal: SignalReceived) -> None:
        self.expect()
        self.resolve(signal)

    def resolve(self, signal: SignalReceived) -> None:
        """Call the function, as a task. Was expected before."""
        self._loop.create_task(self._run(signal), name=self._handler.what)

    async def _run(self, signal: SignalReceived) -> None:
        calls, handler = self._calls, self._handler
        try:
            try:
                arguments = handler.arguments(signal.payload)
            except Exception as error:  # noqa: BLE001  # a user's type may check its values in any way
                raise _unfit(signal, error) from None
            await handler.run(arguments)
        except ContinuedAsNew:
            calls.fail(
                UsageError(
                    f"{handler.what} called ctx.continue_as_new: only the main code can; let it wait for a condition"
                )
            )
        except Exception as error:  # noqa: BLE001  # it is the user's code
            calls.fail(error)
        finally:
            calls.end(handler.what)


Receiver = SignalFuture | SignalHandler


class Untaken:
    """Signals that futures were given, until somebody takes them from there; by event ID."""

    __slots__ = ("_by_event_id",)

    def __init__(self) -> None:
        self._by_event_id: dict[int, SignalReceived] = {}

    def give(self, future: SignalFuture, signal: SignalReceived) -> None:
        future.event_id = signal.event_id
        self._by_event_id[signal.event_id] = signal

    def take(self, event_id: int) -> None:
        self._by_event_id.pop(event_id, None)

    def clear(self) -> None:
        self._by_event_id.clear()

    @property
    def signals(self) -> Iterable[SignalReceived]:
        return self._by_event_id.values()


class Signals:
    """Of one run."""

    def __init__(self, commands: Commands, calls: HandlerCalls, loop: WorkflowLoop) -> None:
        self.handlers: dict[str, SignalHandler] = {}
        self.untaken = Untaken()
        self.unfetched: list[tuple[Receiver, SignalReceived]] = []
        """Signals that the code has taken, handed over when it rests: their payloads may lie in the store."""
        self._kept: dict[str, deque[SignalReceived]] = {}
        self._receivers: dict[str, deque[SignalFuture]] = {}
        self._commands = commands
        self._calls = calls
        self._loop = loop

    # What the context asks for.

    def receive(self, name: str, hint: Any) -> SignalFuture:
        """The next signal of that name: one that is there already, or the first to come."""
        self._commands.refuse_onlooker("receive a signal")
        if name in self.handlers:
            raise _refuse_two_ways(name)
        future = SignalFuture(self, self._loop, name, decoder(hint))
        kept = self._kept.get(name)
        if kept:
            signal = kept.popleft()
            if is_sealed(signal.payload):
                self.unfetched.append((future, signal))
            else:
                self._give(future, signal, signal)
        else:
            self._receivers.setdefault(name, deque()).append(future)
        return future

    def stop_receiving(self, future: SignalFuture) -> None:
        """Nobody waits for it any more."""
        receivers = self._receivers.get(future.name)
        if receivers and future in receivers:
            receivers.remove(future)

    def add_handler(self, name: str, function: Callable[..., Any]) -> None:
        """This function is called for the signals of that name: those that came before first, once the code rests."""
        self._commands.refuse_onlooker("take signals")
        if self._receivers.get(name):
            raise _refuse_two_ways(name)
        handler = self.handlers[name] = SignalHandler(self._calls, self._loop, name, function)
        for signal in self._kept.pop(name, ()):
            handler.expect()
            self.unfetched.append((handler, signal))

    # What the history tells. A signal is told as the code is to see it, and as it stands on the log.

    def is_waited_for(self, name: str) -> bool:
        """Whether the code is told of one that comes now."""
        return name in self.handlers or bool(self._receivers.get(name))

    def keep(self, signal: SignalReceived) -> None:
        """Until somebody receives it."""
        self._kept.setdefault(signal.name, deque()).append(signal)

    def take(self, told: SignalReceived, signal: SignalReceived) -> None:
        """Give it to whoever waits for one of that name."""
        handler = self.handlers.get(told.name)
        if handler is not None:
            handler.take(told)
            return
        receivers = self._receivers.get(told.name)
        if receivers:
            self._give(receivers.popleft(), told, signal)
        else:
            self.keep(told)

    def fetched(self, fetch: Fetch) -> list[tuple[Receiver, SignalReceived, SignalReceived]]:
        """Those that are to be handed over now, each with who has taken it. Raises what `fetch` raises."""
        taken, self.unfetched = self.unfetched, []
        return [(receiver, fetched(signal, "payload", fetch), signal) for receiver, signal in taken]

    def hand_over(self, signals: Sequence[tuple[Receiver, SignalReceived, SignalReceived]]) -> None:
        """Whatever is given up by now goes to the next who waits, or stays."""
        given_up = []
        for receiver, told, signal in signals:
            receivers = self._receivers.get(signal.name)
            if not receiver.done():
                self._give(receiver, told, signal)
            elif receivers:
                self._give(receivers.popleft(), told, signal)
            elif signal.name in self.handlers:
                self.handlers[signal.name].take(told)
            else:
                given_up.append(signal)
        for signal in reversed(given_up):
            self._kept.setdefault(signal.name, deque()).appendleft(signal)

    def _give(self, receiver: Receiver, told: SignalReceived, signal: SignalReceived) -> None:
        """Resolve it with a signal, which it has until somebody takes it."""
        if isinstance(receiver, SignalFuture):
            self.untaken.give(receiver, signal)
        receiver.resolve(told)

    # What others want to know.

    @property
    def awaited(self) -> list[str]:
        """The names of the signals that the code waits for, or has handlers for."""
        return sorted({*self.handlers, *self.receiver_counts})

    @property
    def receiver_counts(self) -> dict[str, int]:
        """How many receive calls wait for the signals of each name."""
        return {name: len(receivers) for name, receivers in self._receivers.items() if receivers}

    @property
    def kept(self) -> dict[str, list[SignalReceived]]:
        """Those that nobody has received, by name."""
        return {name: list(signals) for name, signals in self._kept.items() if signals}

    def unconsumed(self) -> list[SignalReceived]:
        """The signals that no code has taken, in the order in which they came, as they stand on the log."""
        waiting = [signal for signals in self._kept.values() for signal in signals]
        waiting += [signal for _, signal in self.unfetched]
        waiting += self.untaken.signals
        return sorted(waiting, key=lambda signal: signal.event_id)

    def clear(self) -> None:
        """Once the code is dropped: it and what it waited for hold each other."""
        self.handlers.clear()
        self.untaken.clear()
        self._receivers.clear()


def _unfit(signal: SignalReceived, error: Exception) -> SignalPayloadError:
    """The error for a signal whose payload is not what its receiver takes."""
    which = f"signal {signal.name!r}" + (
        f" with ID {signal.signal_id!r}" if signal.signal_id else ""
    )
    why = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    try:
        payload = decode_payload(signal.payload)
    except UsageError:  # nobody has looked into it before
        payload = None
    return SignalPayloadError(
        f"{which}: {why}", signal=signal.name, signal_id=signal.signal_id, payload=payload
    )


def _refuse_two_ways(name: str) -> UsageError:
    """One signal cannot go to both."""
    return UsageError(
        f"signal {name!r} has a handler (ctx.on_signal) and is received in line (ctx.receive_signal): each signal goes "
        "to one of them. Use one of the two, or two names."
    )
