"""Every rule, with code that breaks it and code that keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.lint.kit import codes, findings_in, in_workflow
from weft.lint import RULES

CHARGE = "@activity.define\nasync def charge(order): ...\n"
DATES = "from datetime import UTC, datetime, timedelta"
REGISTRY = """
STEPS = {}
def step(function):
    STEPS[function.__name__] = function
    return function
@step
def pay(): ...
"""
FUTURE = """
loop = asyncio.get_running_loop()
future = loop.create_future()
future.set_result(loop.time())
"""
GROUP = """
async with asyncio.timeout(1), asyncio.TaskGroup() as tasks:
    tasks.create_task(ctx.sleep(1))
"""
WAITED = """
done, pending = await asyncio.wait([ctx.sleep(1)])
for one in pending:
    one.cancel()
"""
TASKS = """
tasks = {asyncio.create_task(ctx.sleep(1)), ctx.receive_signal('a'), ctx.sleep(3)}
for one in tasks:
    one.cancel()
"""
BACKGROUND = """
tasks = set()
task = asyncio.create_task(ctx.sleep(1))
tasks.add(task)
for one in tasks:
    one.cancel()
"""

BROKEN: dict[str, list[tuple[str, str]]] = {
    "WEFT101": [
        ("import time", "return time.time()"),
        ("import time", "return time.monotonic_ns()"),
        ("import time", "return time.strftime('%Y')"),
        ("from time import perf_counter", "return perf_counter()"),
        ("import datetime", "return datetime.datetime.now(datetime.UTC)"),
        ("from datetime import datetime", "return datetime.utcnow()"),
        ("from datetime import datetime", "return datetime.today()"),
        ("from datetime import date", "return date.today()"),
    ],
    "WEFT102": [
        ("import random", "return random.random()"),
        ("import random", "random.shuffle(order)"),
        ("import random", "return random.Random().random()"),
        ("import random", "return random.SystemRandom().random()"),
        ("import secrets", "return secrets.token_hex(8)"),
        ("import os", "return os.urandom(8)"),
        ("import numpy as np", "return np.random.rand()"),
        ("import numpy as np", "return np.random.default_rng().random()"),
    ],
    "WEFT103": [
        ("import uuid", "return uuid.uuid4()"),
        ("from uuid import uuid1", "return str(uuid1())"),
        ("from uuid import uuid4", "return uuid4().hex"),
    ],
    "WEFT104": [
        ("import os", "return os.environ['HOME']"),
        ("import os", "return os.environ.get('HOME')"),
        ("import os", "return 'HOME' in os.environ"),
        ("from os import environ", "return environ['HOME']"),
        ("import os", "return os.getenv('HOME')"),
        ("import os", "return os.getpid()"),
        ("import socket", "return socket.gethostname()"),
        ("import sys", "return sys.argv[1]"),
    ],
    "WEFT105": [
        ("import requests", "return requests.get('http://x').json()"),
        ("import requests", "with requests.Session() as session:\n    session.get('http://x')"),
        ("import httpx", "async with httpx.AsyncClient() as client:\n    await client.get('http://x')"),
        ("import aiohttp", "async with aiohttp.ClientSession() as session:\n    await session.get('x')"),
        ("from urllib.request import urlopen", "return urlopen('http://x').read()"),
        ("import urllib.request", "urllib.request.urlretrieve('http://x', 'y')"),
        ("import socket", "socket.create_connection(('x', 1))"),
        ("import http.client", "http.client.HTTPSConnection('x').request('GET', '/')"),
    ],
    "WEFT106": [
        ("", "return open('x').read()"),
        ("", "with open('x') as file:\n    return file.read()"),
        ("", "return input()"),
        ("from pathlib import Path", "return Path('x').read_text()"),
        ("from pathlib import Path", "return (Path('x') / 'y').exists()"),
        ("from pathlib import Path", "path = Path('x')\npath.write_text('y')"),
        ("import os", "return os.listdir('.')"),
        ("import os.path", "return os.path.exists('x')"),
        ("import shutil", "shutil.rmtree('x')"),
        ("import tempfile", "return tempfile.mkdtemp()"),
    ],
    "WEFT107": [
        ("import time", "time.sleep(1)"),
        ("from time import sleep", "sleep(1)"),
        ("import time", "list(map(time.sleep, [1, 2]))"),
    ],
    "WEFT108": [
        ("import threading", "threading.Thread(target=print).start()"),
        ("import threading\nLOCK = threading.Lock()", "with LOCK:\n    return 1"),
        ("from concurrent.futures import ThreadPoolExecutor", "return ThreadPoolExecutor(2)"),
        ("import multiprocessing", "multiprocessing.Process(target=print).start()"),
        ("import queue", "return queue.Queue().get()"),
    ],
    "WEFT109": [
        ("import subprocess", "subprocess.run(['ls'], check=True)"),
        ("from subprocess import Popen", "Popen(['ls']).wait()"),
        ("import os", "os.system('ls')"),
        ("import os", "os.kill(1, 9)"),
    ],
    "WEFT110": [
        ("import asyncio", "await asyncio.to_thread(print)"),
        ("import asyncio", "await asyncio.open_connection('x', 1)"),
        ("import asyncio", "await asyncio.create_subprocess_exec('ls')"),
        ("import asyncio", "await asyncio.get_running_loop().run_in_executor(None, print)"),
        ("import asyncio", "loop = asyncio.get_running_loop()\nloop.call_soon_threadsafe(print)"),
    ],
    "WEFT111": [
        ("", "for one in {'a', 'b'}:\n    await ctx.sleep(1)"),
        ("", "for one in set(order):\n    await ctx.sleep(1)"),
        ("", "return [one for one in {name for name in order}]"),
        ("", "return list(frozenset(order))"),
        ("", "return ','.join(set(order) | {'a'})"),
        ("", "return next(iter({*order}))"),
        ("", "return dict.fromkeys(set(order), 0)"),
        ("", "names = set(order)\nreturn names.pop()"),
        ("", "names = set()\nnames.add(order['name'])\nreturn [*names]"),
        ("def total(names: set[str]):\n    return list(names)\n", "return total(order)"),
        ("import asyncio", "return await asyncio.gather(*{ship(one) for one in order})"),
    ],
    "WEFT112": [
        ("CACHE = {}", "CACHE[order] = 1"),
        ("SEEN = []", "SEEN.append(order)"),
        ("COUNT = 0", "global COUNT\nCOUNT = 1"),
        ("COUNT = 0", "global COUNT\nCOUNT += 1"),
        ("RATE = 1\ndef change(to):\n    global RATE\n    RATE = to\n", "return RATE * 2"),
        ("RATES = {}\n@activity.define\ndef load():\n    RATES['a'] = 1\n", "return RATES['a']"),
        ("class Desk:\n    count = 0\n", "Desk.count += 1"),
        ("import itertools\nIDS = itertools.count()", "return next(IDS)"),
        ("class Desk:\n    seen = []\n", "Desk.seen.append(order)"),
    ],
    "WEFT113": [
        ("", "return hash(order['id']) % 2"),
        ("", "return sorted(order, key=id)"),
        ("", "return sorted(order, key=hash)"),
        ("", "return id(order) < 5"),
        ("", "return f'{id(order)}'"),
    ],
    "WEFT114": [
        (CHARGE, "return await charge(order)"),
        ("@activity.define(timeout=5)\ndef charge(order): ...\n", "return charge(order)"),
    ],
}  # fmt: skip

KEPT: dict[str, list[tuple[str, str]]] = {
    "WEFT101": [
        ("", "return ctx.now()"),
        ("import time", "return time.strftime('%Y', time.gmtime(0))"),
        (DATES, "return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(1)"),
        ("from datetime import datetime", "return datetime.fromisoformat(order)"),
    ],
    "WEFT102": [
        ("", "return ctx.random().choice(order)"),
        ("import random", "return random.Random(5).random()"),
        ("import random", "def pick(rng: random.Random): return rng.random()\nreturn pick(ctx.random())"),
        ("import numpy as np", "return np.random.default_rng(5).random()"),
        ("import secrets", "return secrets.compare_digest(order, 'a')"),
    ],
    "WEFT103": [
        ("", "return ctx.uuid4()"),
        ("import uuid", "return uuid.uuid5(uuid.NAMESPACE_URL, order)"),
        ("import uuid", "return uuid.UUID(order)"),
    ],
    "WEFT104": [
        ("", "return order['home']"),
        ("import os\nHOME = os.environ.get('HOME', '')", "return HOME"),
        ("import os", "return os.path.join('a', 'b') + os.sep"),
    ],
    "WEFT105": [
        ("import requests", "try:\n    await ctx.sleep(1)\nexcept requests.ConnectionError:\n    return 1"),
        ("import requests", "raise requests.exceptions.ConnectionError('x')"),
        ("from urllib.parse import urlsplit", "return urlsplit(order).netloc"),
        ("import httpx", "return httpx.URL(order).host"),
        ("import socket", "return socket.htons(1)"),
    ],
    "WEFT106": [
        ("from pathlib import Path", "return Path('x').with_suffix('.json').name"),
        ("from pathlib import PurePath", "return str(PurePath('x') / 'y')"),
        ("import io", "return io.StringIO('x').read()"),
        ("import json", "return json.loads(order)"),
    ],
    "WEFT107": [
        ("import asyncio", "await asyncio.sleep(1)"),
        ("", "await ctx.sleep(1)"),
    ],
    "WEFT108": [
        ("import asyncio", "async with asyncio.Lock():\n    return 1"),
        ("import anyio", "async with anyio.create_task_group() as group:\n    await anyio.sleep(1)"),
        ("import threading", "return isinstance(order, threading.Thread)"),
    ],
    "WEFT109": [
        ("import subprocess", "try:\n    await ctx.sleep(1)\nexcept subprocess.CalledProcessError:\n    return 1"),
    ],
    "WEFT110": [
        ("import asyncio", "await asyncio.gather(ctx.sleep(1), ctx.sleep(2))"),
        ("import asyncio", GROUP),
        ("import asyncio", FUTURE),
        ("import asyncio", "await asyncio.wait_for(asyncio.Event().wait(), 1)"),
    ],
    "WEFT111": [
        ("", "return sorted({name for name in order})"),
        ("", "return [name for name in sorted(set(order))]"),
        ("", "names = set(order)\nnames = sorted(names)\nreturn [*names]"),
        ("", "return 'a' in {'a', 'b'} or len(set(order)) > 1"),
        ("", "return any(name == 'a' for name in set(order))"),
        ("", "return {name.lower() for name in set(order)}"),
        ("", "for number in {1, 2, 3}:\n    await ctx.sleep(number)"),
        ("", "for name in dict.fromkeys(order):\n    await ctx.sleep(1)"),
        ("def total(ids: set[int]):\n    return list(ids)\n", "return total(order)"),
        ("import asyncio", WAITED),
        ("import asyncio", TASKS),
        ("import asyncio", BACKGROUND),
    ],
    "WEFT112": [
        ("PRICES = {'a': 1}", "return PRICES['a']"),
        ("", "cache = {}\ncache[order] = 1\nreturn cache"),
        ("NAMES = []", "NAMES = []\nNAMES.append(order)\nreturn NAMES"),
        (REGISTRY, "return STEPS"),
        ("from collections import Counter", "counts = Counter()\ncounts.update(order)\nreturn counts"),
    ],
    "WEFT113": [
        ("", "names = {id(one): one for one in order}\nreturn names[id(order)]"),
        ("", "return hash(5) % 2"),
        ("class Key:\n    def __hash__(self):\n        return hash('a') ^ 1\n", "return {Key(): 1}"),
        ("", "return id(order) == id(ctx)"),
    ],
    "WEFT114": [
        (CHARGE, "return await ctx.execute_activity(charge, order)"),
        (CHARGE, "return await ctx.execute_activity(charge.options(timeout=5), order)"),
        (CHARGE, "async with ctx.saga() as saga:\n    saga.on_failure(charge, order)"),
    ],
}  # fmt: skip

REQUIREMENTS = {
    "WEFT101": ["R2-14"],
    "WEFT102": ["R2-13"],
    "WEFT103": ["R2-17"],
    "WEFT104": ["R2-16"],
    "WEFT105": ["R2-15"],
}


def cases(table: dict[str, list[tuple[str, str]]]) -> list[object]:
    """(code, before, body), marked with the requirement that the code's rule serves."""
    return [
        pytest.param(
            code,
            before,
            body,
            id=f"{code}-{number}",
            marks=[pytest.mark.requirement(*REQUIREMENTS[code])] if code in REQUIREMENTS else [],
        )
        for code, examples in table.items()
        for number, (before, body) in enumerate(examples)
    ]


@pytest.mark.parametrize("code,before,body", cases(BROKEN))
def test_rule_finds_the_code_that_breaks_it(
    tmp_path: Path, code: str, before: str, body: str
) -> None:
    findings = findings_in(tmp_path, in_workflow(body, before))
    assert codes(findings) == [code]
    (finding,) = findings
    rule = RULES[code]
    assert (finding.name, finding.advice) == (rule.name, rule.advice)
    assert rule.what in finding.message


@pytest.mark.parametrize("code,before,body", cases(KEPT))
def test_rule_lets_the_correct_pattern_pass(
    tmp_path: Path, code: str, before: str, body: str
) -> None:
    assert findings_in(tmp_path, in_workflow(body, before)) == []


@pytest.mark.parametrize("code,before,body", cases(BROKEN))
def test_activity_may_do_all_of_it(tmp_path: Path, code: str, before: str, body: str) -> None:
    if code == "WEFT114":
        body = body.replace("ctx.", "")
    source = in_workflow(body, before).replace("@workflow.define", "@activity.define")
    assert findings_in(tmp_path, source) == []


def test_every_rule_has_code_that_breaks_it_and_code_that_keeps_it() -> None:
    wanted = {code for code in RULES if code >= "WEFT1"}
    assert set(BROKEN) == set(KEPT) == wanted


@pytest.mark.requirement("R2-13", "R2-14")
def test_generator_is_given_its_own_advice(tmp_path: Path) -> None:
    source = """
    import random, time
    @activity.define
    def charge(order): ...
    @workflow.define
    def flow(ctx, order):
        yield charge(order)
        time.sleep(random.random() + time.time())
    """
    assert [(one.code, one.advice) for one in findings_in(tmp_path, source)] == [
        ("WEFT114", "use `yield ctx.call_activity(...)`"),
        ("WEFT107", "use `yield ctx.create_timer(...)`"),
        ("WEFT102", "draw them in an activity"),
        ("WEFT101", "use ctx.current_utc_datetime"),
    ]
