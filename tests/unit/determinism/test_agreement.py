"""What the linter finds in the source the guard refuses when it runs, under the same rule; the rest both let pass."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.runs import DrivenRun
from tests.unit.lint.kit import HEAD, codes, findings_in, in_workflow
from weft.errors import DeterminismError
from weft.lint import RULES, refused_names, rule_of
from weft.workflow import Workflow

Load = Callable[[str], Workflow[object, object]]

REFUSED = {
    "WEFT101": (
        ("time.time()", "import time"),
        ("now()", "from time import time as now"),
        ("time.monotonic()", "import time"),
        ("time.perf_counter_ns()", "import time"),
        ("time.process_time()", "import time"),
        ("time.localtime()", "import time"),
        ("time.strftime('%Y')", "import time"),
        ("time.time_ns()", "import time"),
        ("datetime.datetime.now()", "import datetime"),
        ("datetime.now(UTC)", "from datetime import UTC, datetime"),
        ("datetime.utcnow()", "from datetime import datetime"),
        ("datetime.today()", "from datetime import datetime"),
        ("date.today()", "from datetime import date"),
        ("os.times()", "import os"),
    ),
    "WEFT102": (
        ("random.random()", "import random"),
        ("randint(1, 6)", "from random import randint"),
        ("random.choice([1, 2])", "import random"),
        ("random.shuffle([1, 2])", "import random"),
        ("random.uniform(1, 2)", "import random"),
        ("random.seed(1)", "import random"),
        ("random.Random()", "import random"),
        ("random.SystemRandom().random()", "import random"),
        ("secrets.token_hex()", "import secrets"),
        ("secrets.choice([1, 2])", "import secrets"),
        ("os.urandom(4)", "import os"),
        ("os.getrandom(4)", "import os"),
    ),
    "WEFT103": (
        ("uuid.uuid4()", "import uuid"),
        ("uuid4()", "from uuid import uuid4"),
        ("uuid.uuid1()", "import uuid"),
        ("uuid.getnode()", "import uuid"),
    ),
    "WEFT104": (
        ("os.environ['HOME']", "import os"),
        ("os.environ.get('HOME')", "import os"),
        ("environ.setdefault('WEFT_X', '1')", "from os import environ"),
        ("'HOME' in os.environ", "import os"),
        ("dict(os.environ)", "import os"),
        ("os.getenv('HOME')", "import os"),
        ("os.getpid()", "import os"),
        ("os.getcwd()", "import os"),
        ("os.cpu_count()", "import os"),
        ("os.uname()", "import os"),
        ("platform.node()", "import platform"),
        ("platform.python_version() and platform.system()", "import platform"),
        ("socket.gethostname()", "import socket"),
    ),
    "WEFT105": (
        ("socket.socket()", "import socket"),
        ("socket.create_connection(('127.0.0.1', 1))", "import socket"),
        ("socket.getaddrinfo('localhost', 80)", "import socket"),
        ("socket.gethostbyname('localhost')", "import socket"),
        ("urllib.request.urlopen('http://127.0.0.1:1/')", "import urllib.request"),
        (
            "http.client.HTTPConnection('127.0.0.1', 1).request('GET', '/')",
            "import http.client",
        ),
        ("smtplib.SMTP('127.0.0.1', 1)", "import smtplib"),
        ("select.select([], [], [], 0)", "import select"),
    ),
    "WEFT106": (
        ("open('orders.txt')", ""),
        ("io.open('orders.txt')", "import io"),
        ("os.open('orders.txt', 0)", "import os"),
        ("os.listdir()", "import os"),
        ("os.path.exists('orders.txt')", "import os"),
        ("os.stat('.')", "import os"),
        ("os.remove('orders.txt')", "import os"),
        ("os.replace('a', 'b')", "import os"),
        ("os.makedirs('a/b')", "import os"),
        ("list(os.walk('.'))", "import os"),
        ("Path('orders.txt').read_text()", "from pathlib import Path"),
        ("Path('orders.txt').write_text('')", "from pathlib import Path"),
        ("Path('orders.txt').exists()", "from pathlib import Path"),
        ("list(Path('.').iterdir())", "from pathlib import Path"),
        ("list(Path('.').glob('*'))", "from pathlib import Path"),
        ("Path('orders.txt').mkdir()", "from pathlib import Path"),
        ("shutil.copy('a', 'b')", "import shutil"),
        ("shutil.rmtree('nothing')", "import shutil"),
        ("tempfile.NamedTemporaryFile()", "import tempfile"),
        ("tempfile.mkdtemp()", "import tempfile"),
        ("gzip.open('a')", "import gzip"),
        ("bz2.open('a')", "import bz2"),
        ("zipfile.ZipFile('a')", "import zipfile"),
        ("sqlite3.connect(':memory:')", "import sqlite3"),
        ("codecs.open('a')", "import codecs"),
        ("input()", ""),
    ),
    "WEFT107": (
        ("time.sleep(0)", "import time"),
        ("sleep(0)", "from time import sleep"),
        ("signal.sigtimedwait([], 0)", "import signal"),
    ),
    "WEFT108": (
        ("threading.Thread(target=print).start()", "import threading"),
        ("threading.Timer(1, print).start()", "import threading"),
        ("threading.Event().wait(0.01)", "import threading"),
        ("_thread.start_new_thread(print, ())", "import _thread"),
        ("ThreadPoolExecutor().submit(print)", "from concurrent.futures import ThreadPoolExecutor"),
        ("queue.Queue().get(timeout=0.01)", "import queue"),
    ),
    "WEFT109": (
        ("subprocess.run(['true'])", "import subprocess"),
        ("subprocess.Popen(['true'])", "import subprocess"),
        ("os.system('true')", "import os"),
        ("os.popen('true')", "import os"),
        ("os.fork()", "import os"),
        ("os.kill(0, 0)", "import os"),
        ("os.execv('/bin/true', ['true'])", "import os"),
        ("signal.alarm(0)", "import signal"),
    ),
    "WEFT110": (
        ("await asyncio.to_thread(print)", "import asyncio"),
        ("await asyncio.open_connection('127.0.0.1', 1)", "import asyncio"),
        ("await asyncio.create_subprocess_exec('true')", "import asyncio"),
        ("asyncio.run(print)", "import asyncio"),
        ("asyncio.new_event_loop()", "import asyncio"),
        ("asyncio.get_running_loop().run_in_executor(None, print)", "import asyncio"),
        ("asyncio.get_running_loop().close()", "import asyncio"),
    ),
}
LET_PASS = (
    ("ctx.now(), ctx.random().random(), ctx.uuid4()", ""),
    ("random.Random(order).random()", "import random"),
    ("uuid.uuid5(uuid.NAMESPACE_DNS, 'weft')", "import uuid"),
    ("time.gmtime(0), time.strftime('%Y', time.gmtime(0))", "import time"),
    ("datetime.fromisoformat('2026-01-01').date()", "from datetime import datetime"),
    ("ctx.now().astimezone(ZoneInfo('Europe/Paris'))", "from zoneinfo import ZoneInfo"),
    ("logging.getLogger('orders').warning('late')", "import logging"),
    ("ctx.logger.warning('late')", ""),
    ("warnings.warn('late')", "import warnings"),
    ("traceback.format_stack()", "import traceback"),
    ("os.path.join('a', 'b')", "import os"),
    ("Path('a') / 'b'", "from pathlib import Path"),
    ("io.StringIO('a').read()", "import io"),
    ("print('late')", ""),
    ("asyncio.Lock(), asyncio.Queue(), asyncio.Event()", "import asyncio"),
    ("json.dumps({'a': hashlib.sha256(b'a').hexdigest()})", "import hashlib, json"),
    ("Order(1).line", "from dataclasses import dataclass\n@dataclass\nclass Order:\n    line: int"),
    ("Order(line='1').line", "import pydantic\nclass Order(pydantic.BaseModel):\n    line: int"),
)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Makes the workflow of a source, as an import of a module of the project does."""

    def made(source: str) -> Workflow[object, object]:
        path = tmp_path / "app.py"
        path.write_text(HEAD + source, encoding="utf-8")
        linecache.checkcache(str(path))
        name = f"app_{abs(hash(source))}"
        module = ModuleType(name)
        module.__file__ = str(path)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(HEAD + source, path, "exec"), vars(module))  # the source of a test
        found: Workflow[object, object] = module.flow
        return found

    return made


@pytest.mark.requirement("R2-13", "R2-14", "R2-15", "R2-16", "R2-17")
@pytest.mark.parametrize(
    ("rule", "body", "before"),
    [(rule, *case) for rule, cases in REFUSED.items() for case in cases],
    ids=lambda value: value.replace("import ", ""),
)
def test_guard_refuses_what_the_linter_finds(
    rule: str, body: str, before: str, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = in_workflow(body, before)
    with pytest.raises(DeterminismError) as raised:
        DrivenRun(load(source), 1)
    error = raised.value
    line = (HEAD + source).splitlines().index(f"    {body}") + 1
    assert error.rule == rule
    assert error.line == f"{tmp_path / 'app.py'}, line {line}"
    assert error.name in str(error)
    assert RULES[rule].advice in str(error)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.py"]
    found = findings_in(tmp_path, source)
    assert rule in codes(found)
    assert line in [finding.line for finding in found]


@pytest.mark.filterwarnings("ignore:late")
@pytest.mark.parametrize(("body", "before"), LET_PASS)
def test_guard_and_linter_let_pass_what_a_replay_repeats(
    body: str, before: str, load: Load, tmp_path: Path
) -> None:
    source = in_workflow(f"{body}\nreturn 'done'", before)
    run = DrivenRun(load(source), 1)
    assert run.status == "completed"
    run.close()
    assert findings_in(tmp_path, source) == []


def test_every_rule_about_names_is_shown() -> None:
    assert set(REFUSED) == {rule.code for rule in refused_names().values()}


def test_every_name_that_the_guard_gives_is_in_the_table() -> None:
    from weft.determinism import _patches  # noqa: PLC0415  # its private tables

    named = {name for _, _, name in _patches._FUNCTIONS}
    for _, owner, methods in _patches._METHODS:
        named |= {f"{owner}.{method}" for method in methods.split()}
    assert [name for name in named if rule_of(name) is None] == []
