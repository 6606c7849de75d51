"""Names are resolved as Python resolves them: aliases are seen through, and what hides a name is respected."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.unit.lint.kit import codes, findings_in, in_workflow
from weft.determinism import ALLOWED, ARGUMENTS_NEEDED, RETURNED
from weft.lint import refused_names, rule_of

READ = "import time\ndef read():\n    return time.time()\n"


@pytest.mark.parametrize(
    "before,body",
    [
        ("import time as t", "t.time()"),
        ("from time import time as clock", "clock()"),
        ("from datetime import datetime as dt", "dt.now()"),
        ("import datetime as d", "d.datetime.now()"),
        ("from time import *", "monotonic()"),
        ("import time", "clock = time.time\nclock()"),
        ("import time\nclock = time.time", "clock()"),
        ("import functools, time", "functools.partial(time.time)"),
        ("", "import time\ntime.time()"),
        ("", "from time import time\ntime()"),
        ("try:\n    import time\nexcept ImportError:\n    time = None", "time.time()"),
        ("import time\nclass Clock:\n    def __init__(self):\n        self.read = time.time", "Clock().read()"),
        ("import time", "(lambda: time.time())()"),
        ("import time", "async def later():\n    return time.time()\nawait later()"),
        ("import time", "@ctx.on_query('age')\ndef age():\n    return time.time()"),
        ("import time", "return [time.time() for one in order]"),
        ("import time", "match order:\n    case {'at': _}:\n        return time.time()"),
        ("import time", "await ctx.execute_activity('charge', time.time())"),
        ("import time", "if (now := time.time()) > 1:\n    return now"),
    ],
)  # fmt: skip
def test_alias_is_seen_through(tmp_path: Path, before: str, body: str) -> None:
    assert codes(findings_in(tmp_path, in_workflow(body, before))) == ["WEFT101"]


@pytest.mark.parametrize(
    "before,body",
    [
        ("import time", "time = order\ntime.time()"),
        ("import time", "for time in order:\n    time.time()"),
        ("import time", "return [time.time() for time in order]"),
        ("import time", "return (lambda time: time.time())(order)"),
        ("import time", "def inner(time):\n    return time.time()\nreturn inner(order)"),
        ("import time", "with order as time:\n    time.time()"),
        ("import time", "match order:\n    case {'at': time}:\n        return time.time()"),
        ("import time", "a, (time, *b) = order\ntime.time()"),
        ("import time", "try:\n    await ctx.sleep(1)\nexcept OSError as time:\n    time.time()"),
        ("class time:\n    def time(): ...\n", "time.time()"),
        ("def open(path): ...\n", "open('x')"),
        ("class Clock:\n    import time\n", "return time.time()"),
        ("import time", "return order.time.time()"),
        ("from clocks import time", "return time()"),
        ("import time", "await ctx.execute_activity(lambda: time.time())"),
        (READ, "await ctx.execute_activity(activity.define(read))"),
        (f"{READ}read_it = activity.define(read)", "await ctx.execute_activity(read_it)"),
        ("import time", "@activity.define\ndef read():\n    return time.time()\nawait ctx.execute_activity(read)"),
        ("import time\nSTARTED = time.time()", "return STARTED"),
        ("import time", "def unused(at: 'time.time()') -> 'time.time()': ..."),
    ],
)  # fmt: skip
def test_name_that_means_something_else_is_let_pass(tmp_path: Path, before: str, body: str) -> None:
    assert findings_in(tmp_path, in_workflow(body, before)) == []


@pytest.mark.parametrize(
    "head",
    [
        "@workflow.define",
        "@workflow.define(version='2')",
        "from weft.workflow import define\n@define",
        "import weft.workflow as w\n@w.define(name='x')",
    ],
)
def test_workflow_is_known_by_its_decorator(tmp_path: Path, head: str) -> None:
    source = f"import time\n{head}\nasync def flow(ctx):\n    time.sleep(1)\n"
    assert codes(findings_in(tmp_path, source)) == ["WEFT107"]


def test_workflow_is_known_when_the_decorator_is_called(tmp_path: Path) -> None:
    source = "import time\nasync def flow(ctx):\n    time.sleep(1)\nnamed = workflow.define(name='x')(flow)\n"
    assert codes(findings_in(tmp_path, source)) == ["WEFT107"]


def test_function_that_no_workflow_calls_may_do_anything(tmp_path: Path) -> None:
    source = "import time\ndef main():\n    time.sleep(1)\n@other.define\ndef flow(ctx):\n    open('x')\n"
    assert findings_in(tmp_path, source) == []


def test_name_under_a_refused_module_is_refused_except_its_errors() -> None:
    wildcards = [name for name in refused_names() if name.endswith(".*")]
    assert "random.*" in wildcards
    for name in wildcards:
        if name != "asyncio.AbstractEventLoop.*":
            assert rule_of(name.replace("*", "anything")) is refused_names()[name]
    assert rule_of("subprocess.TimeoutExpired") is None
    assert rule_of("shutil.SameFileError") is None
    assert rule_of("time") is rule_of("nothing.such") is None


def test_names_of_the_standard_library_are_there() -> None:
    """A name with a mistake in it would never be found. The others are of other versions or systems."""
    tables = {*refused_names(), *ALLOWED, *ARGUMENTS_NEEDED, *RETURNED, *RETURNED.values()}
    names = {name.removesuffix(".*") for name in tables}
    missing = {
        name
        for name in names
        if name.partition(".")[0] in sys.stdlib_module_names and not is_there(name)
    }
    assert missing <= {
        *("concurrent.futures.InterpreterPoolExecutor", "os.process_cpu_count", "os.startfile"),
        *("os.path.isjunction", "pathlib.Path.copy", "pathlib.Path.copy_into", "pathlib.Path.move"),
        *("pathlib.Path.move_into", "pathlib.Path.walk", "select.epoll", "select.kqueue"),
        *(
            "uuid.uuid6",
            "uuid.uuid7",
            "uuid.uuid8",
            "os.getenvb",
            "os.environb",
            "pathlib.Path.lchmod",
        ),
    }


def is_there(name: str) -> bool:
    """Whether an import and attributes lead to it."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:count]))
        except ImportError:
            continue
        try:
            for part in parts[count:]:
                found = getattr(found, part)
        except AttributeError:
            return False
        return True
    return False


def test_positions_count_characters_from_one(tmp_path: Path) -> None:
    (finding,) = findings_in(tmp_path, in_workflow("a = 'é'; open('x')"))
    assert (finding.line, finding.column) == (5, 14)
