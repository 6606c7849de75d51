"""Calls are followed through the project, and a finding says how it is reached."""

from __future__ import annotations

from pathlib import Path

from tests.unit.lint.kit import codes, findings_in, report_on

FLOW = """
from weft import workflow
{imports}

@workflow.define
async def fulfil(ctx, order):
    return {call}
"""


def chains(folder: Path, files: dict[str, str]) -> list[tuple[str, list[str]]]:
    """(where it is, its callers) of every finding, with files named from the folder on."""
    return [
        (
            f"{Path(one.file).relative_to(folder).as_posix()}:{one.line} {one.code}",
            [
                f"{caller.function} {Path(caller.file).relative_to(folder).as_posix()}:{caller.line}"
                for caller in one.chain
            ],
        )
        for one in report_on(folder, files).findings
    ]


def flow(imports: str, call: str) -> str:
    return FLOW.format(imports=imports, call=call)


def test_helper_in_the_same_module_is_followed(tmp_path: Path) -> None:
    source = """
    import time
    def stamp():
        return time.time()
    def label(order):
        return f"{order} {stamp()}"
    @workflow.define
    async def fulfil(ctx, order):
        return label(order)
    """
    (finding,) = findings_in(tmp_path, source)
    assert finding.line == 5
    assert [(one.function, one.line) for one in finding.chain] == [("label", 7), ("fulfil", 10)]
    assert str(finding).endswith("(called by label at line 7, called by fulfil at line 10)")


def test_modules_are_followed_through_every_kind_of_import(tmp_path: Path) -> None:
    helper = "import time\ndef stamp():\n    return time.time()\n"
    package = {"shop/__init__.py": "", "shop/deep/__init__.py": "", "shop/deep/clock.py": helper}
    found = ("shop/deep/clock.py:3 WEFT101", ["fulfil shop/flow.py:7"])
    for number, (imports, call) in enumerate(
        [
            ("from shop.deep.clock import stamp", "stamp()"),
            ("from shop.deep.clock import stamp as s", "s()"),
            ("import shop.deep.clock", "shop.deep.clock.stamp()"),
            ("import shop.deep.clock as c", "c.stamp()"),
            ("from shop.deep import clock", "clock.stamp()"),
            ("from .deep import clock", "clock.stamp()"),
            ("from .deep.clock import stamp", "stamp()"),
            ("from . import deep", "deep.clock.stamp()"),
            ("from shop.deep.clock import *", "stamp()"),
            ("from .deep.clock import stamp", "order.map(stamp)"),
        ]
    ):
        folder = tmp_path / str(number)
        assert chains(folder, {**package, "shop/flow.py": flow(imports, call)}) == [found], imports


def test_package_that_shows_a_helper_is_followed_to_it(tmp_path: Path) -> None:
    files = {
        "shop/__init__.py": "from shop._clock import stamp\nfrom shop.flow import fulfil",
        "shop/_clock.py": "import time\ndef stamp():\n    return time.time()\n",
        "shop/flow.py": flow("import shop", "shop.stamp()"),
    }
    assert chains(tmp_path, files) == [("shop/_clock.py:3 WEFT101", ["fulfil shop/flow.py:7"])]


def test_folders_without_init_files_are_followed(tmp_path: Path) -> None:
    files = {
        "src/shop/clock.py": "import time\ndef stamp():\n    return time.time()\n",
        "src/shop/flow.py": flow("from shop.clock import stamp", "stamp()"),
        "flat.py": flow("import clock", "clock.stamp()"),
        "clock.py": "def stamp():\n    return open('x')\n",
    }
    assert chains(tmp_path, files) == [
        ("clock.py:2 WEFT106", ["fulfil flat.py:7"]),
        ("src/shop/clock.py:3 WEFT101", ["fulfil src/shop/flow.py:7"]),
    ]


def test_nearest_of_several_modules_is_meant_when_they_share_a_name(tmp_path: Path) -> None:
    files = {
        "clock.py": "def stamp():\n    return open('x')\n",
        "scripts/clock.py": "import time\ndef stamp():\n    return time.time()\n",
        "scripts/flow.py": flow("import clock", "clock.stamp()"),
    }
    assert chains(tmp_path, files) == [("scripts/clock.py:3 WEFT101", ["fulfil scripts/flow.py:7"])]


def test_module_of_ours_that_is_named_like_a_library_is_not_it(tmp_path: Path) -> None:
    files = {
        "shop/__init__.py": "",
        "shop/secrets.py": "def token():\n    return 1\n",
        "shop/flow.py": flow("from shop import secrets", "secrets.token()"),
    }
    assert chains(tmp_path, files) == []


def test_methods_are_followed(tmp_path: Path) -> None:
    source = """
    import time
    class Base:
        def stamp(self):
            return time.time()
    class Desk(Base):
        def label(self):
            return super().stamp()
        @property
        def age(self):
            return self.stamp()
        @classmethod
        def made(cls):
            return open("x")
        def __enter__(self):
            time.sleep(1)
    def use(desk: "Desk | None"):
        return desk.label(), desk.age
    @workflow.define
    async def fulfil(ctx, order):
        use(order)
        Desk.made()
        with Desk():
            pass
    """
    found = {
        (one.line, one.code): [caller.function for caller in one.chain]
        for one in findings_in(tmp_path, source)
    }
    assert found == {
        (6, "WEFT101"): ["Desk.label", "use", "fulfil"],
        (15, "WEFT106"): ["fulfil"],
        (17, "WEFT107"): ["fulfil"],
    }


def test_constructor_and_defaults_of_fields_are_followed(tmp_path: Path) -> None:
    source = """
    import uuid
    from dataclasses import dataclass, field
    @dataclass
    class Parcel:
        order: str
        id: uuid.UUID = field(default_factory=uuid.uuid4)
        def __post_init__(self):
            print(open("x"))
    @workflow.define
    async def fulfil(ctx, order):
        return Parcel(order)
    """
    found = [(one.line, one.code, one.chain[0].line) for one in findings_in(tmp_path, source)]
    assert found == [(8, "WEFT103", 13), (10, "WEFT106", 13)]
    given = source.replace("Parcel(order)", "Parcel(order, id=ctx.uuid4())")
    assert codes(findings_in(tmp_path, given)) == ["WEFT106"]
    placed = source.replace("Parcel(order)", "Parcel(order, ctx.uuid4())")
    assert codes(findings_in(tmp_path, placed)) == ["WEFT106"]


def test_place_that_several_workflows_reach_is_one_finding(tmp_path: Path) -> None:
    source = """
    def load():
        return open("x")
    @workflow.define
    async def first(ctx):
        return load()
    @workflow.define
    async def second(ctx):
        return load()
    """
    (finding,) = findings_in(tmp_path, source)
    assert [one.function for one in finding.chain] == ["first"]


def test_recursion_ends(tmp_path: Path) -> None:
    source = """
    def even(n): return n == 0 or odd(n - 1)
    def odd(n): return n != 0 and even(n - 1) and open("x")
    a = b
    b = a
    class A(B): ...
    class B(A): ...
    @workflow.define
    async def flow(ctx, n):
        return even(n), a.x, A().y, await flow(ctx, n)
    """
    assert codes(findings_in(tmp_path, source)) == ["WEFT106"]


def test_activities_are_not_followed_into_helpers(tmp_path: Path) -> None:
    source = """
    def load():
        return open("x")
    @activity.define
    def read():
        return load()
    @workflow.define
    async def flow(ctx):
        return await ctx.execute_activity(read)
    """
    assert findings_in(tmp_path, source) == []


def test_global_of_another_module_is_seen(tmp_path: Path) -> None:
    files = {
        "state.py": "CACHE = {}\nLIMIT = 1\ndef raise_limit():\n    global LIMIT\n    LIMIT = 2\n",
        "flow.py": flow(
            "import state\nfrom state import CACHE", "state.LIMIT, CACHE.update(order)"
        ),
    }
    (reading, changing) = report_on(tmp_path, files).findings
    assert "`LIMIT`, which is changed at " in reading.message
    assert "state.py:5" in reading.message
    assert "`CACHE`, which is changed here" in changing.message


def test_imports_in_a_circle_end_somewhere(tmp_path: Path) -> None:
    """A file that is called like the library it imports, two that import from one another, a package and its parts."""
    clock = "import time\ndef stamp():\n    return time.time()\n"
    files = {
        "requests.py": flow("from requests import get", "get(order)"),
        "one.py": flow("from two import name", "name(order)"),
        "two.py": "from one import name\n",
        "shop/__init__.py": "from shop import clock\nfrom shop import missing\n",
        "shop/clock.py": clock,
        "app.py": flow("import shop", "shop.clock.stamp(), shop.missing()"),
    }
    found = [(place, callers) for place, callers in chains(tmp_path, files)]
    assert ("shop/clock.py:3 WEFT101", ["fulfil app.py:7"]) in found
    assert [place for place, _ in found if place.startswith(("one", "two", "app"))] == []
