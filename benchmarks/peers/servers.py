"""Server and worker processes of the peers: on the loopback interface, ended by their process IDs."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

CHECKOUT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
_END_S_MAX = 20.0
_READY_S_MAX = 60.0
_RETRY_S = 0.1
_WATCH_S = 0.5
T = TypeVar("T")

Process = subprocess.Popen[bytes]
_running: dict[Process, Path] = {}
"""What was started and is not to end by itself, with its log."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def start(
    command: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    user: pwd.struct_passwd | None = None,
) -> Process:
    """A process of ours that writes to `log`. `env` comes on top of the environment."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            cwd=CHECKOUT,
            env={**os.environ, **(env or {})},
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=user and (),
        )
    _running[process] = log
    return process


def run_to_end(
    command: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    user: pwd.struct_passwd | None = None,
) -> None:
    """The same, until it has ended. RuntimeError with the log's end when it failed."""
    process = start(command, log, env=env, user=user)
    del _running[process]
    if process.wait() != 0:
        raise RuntimeError(f"`{command[0]}` ended with {process.returncode}: {tail(log)}")


def start_worker(peer: str, log: Path, *arguments: str) -> Process:
    """The peer's worker process, in this same environment."""
    module = "benchmarks.peers.measure"
    return start([sys.executable, "-m", module, peer, "serve", *arguments], log)


def stop(process: Process, ending: signal.Signals = signal.SIGTERM) -> None:
    """End a process: gently, then not."""
    _running.pop(process, None)
    if process.poll() is None:
        process.send_signal(ending)
    try:
        process.wait(_END_S_MAX)
    except subprocess.TimeoutExpired:
        kill(process)


def kill(process: Process) -> None:
    _running.pop(process, None)
    process.kill()
    process.wait()


@contextmanager
def stopped_at_the_end(
    process: Process, ending: signal.Signals = signal.SIGTERM
) -> Iterator[Process]:
    try:
        yield process
    finally:
        stop(process, ending)


async def while_all_run(work: Coroutine[None, None, None], seconds_max: float) -> None:
    """Do this work. RuntimeError when a server or worker ends meanwhile, TimeoutError when it takes too long."""
    working = asyncio.create_task(work)
    end_s = time.monotonic() + seconds_max
    try:
        while not working.done():
            await asyncio.wait([working], timeout=_WATCH_S)
            for process, log in _running.items():
                if process.poll() is not None and not working.done():
                    raise RuntimeError(f"a process ended with {process.returncode}: {tail(log)}")
            if time.monotonic() > end_s and not working.done():
                raise TimeoutError(f"not done within {seconds_max:.0f} s")
    finally:
        working.cancel()
        await asyncio.wait([working])
    await working


async def until_it_answers(ask: Callable[[], Awaitable[T]], process: Process, log: Path) -> T:
    """What `ask` gives once it gives something without an error. TimeoutError or RuntimeError with the log's end."""
    end_s = time.monotonic() + _READY_S_MAX
    while True:
        try:
            return await ask()
        except Exception as error:
            if process.poll() is not None:
                raise RuntimeError(f"it ended with {process.returncode}: {tail(log)}") from error
            if time.monotonic() > end_s:
                raise TimeoutError(
                    f"not ready after {_READY_S_MAX:.0f} s: {error}; {tail(log)}"
                ) from error
            await asyncio.sleep(_RETRY_S)


async def http(url: str, body: bytes | None = None) -> bytes:
    """One answer of a server of ours; for settings and health, not for what is measured."""
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, body, headers)  # noqa: S310  # an http:// address of ours

    def ask() -> bytes:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return bytes(answer.read())

    return await asyncio.to_thread(ask)


def tail(log: Path) -> str:
    text = log.read_text(errors="replace") if log.exists() else ""
    return " | ".join(text.splitlines()[-5:])[-300:]


def someone_else() -> pwd.struct_passwd | None:
    """A user for servers that refuse to run as root; None when we are not root, and need none."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL does not run as root, and there is no user `nobody`")
