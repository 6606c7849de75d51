"""The wheel as a user gets it: what is in it, and that it works in an environment that has nothing else of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
ROOTS = ("topics", "orchestrator", "workers")
HELLO = CHECKOUT / "examples" / "hello" / "hello.py"
CONSUMER = """
from weft import activity, workflow

@activity.define
async def greet(name: str) -> str:
    return f"Hello, {name}!"

@workflow.define
async def hello(ctx: workflow.Context, name: str) -> str:
    reveal_type(await ctx.execute_activity(greet, name))
    return await ctx.execute_activity(greet, 7)
"""


def run(
    *command: str | Path, cwd: Path, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """A command in an environment that knows nothing of the checkout. Fails with its output."""
    done = attempt(*command, cwd=cwd, timeout_s=timeout_s)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def attempt(
    *command: str | Path, cwd: Path, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment(cwd),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def clean_environment(home: Path) -> dict[str, str]:
    """Without PYTHONPATH and settings of ours, and with a home of its own: nothing is left behind on this machine."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("WEFT_", "PYTHON"))
    }
    return kept | {"HOME": str(home)}


def build(target: str, source: Path, folder: Path) -> Path:
    """Build without isolation, so without a network."""
    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        target,
        "--directory",
        folder,
        cwd=source,
    )
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", CHECKOUT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel. The libraries that it depends on are those of the tests' own environment.

    They are found through a path file, which is not followed into others: our editable installation stays unseen.
    """
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    install = ("install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    run(sys.executable, "-m", "pip", "--python", python, *install, wheel, cwd=folder)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = run(python, "-c", code, cwd=folder).stdout.strip()
    Path(packages, "libraries.pth").write_text(
        sysconfig.get_path("purelib") + "\n", encoding="utf-8"
    )
    return folder


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def source_names() -> set[str]:
    """What the wheel must hold, as the source roots are."""
    return {
        file.relative_to(CHECKOUT / root).as_posix()
        for root in ROOTS
        for file in (CHECKOUT / root / "weft").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }


def test_wheel_holds_the_source_roots_in_one_namespace_and_nothing_else(wheel: Path) -> None:
    names = names_in(wheel)
    info = {name for name in names if name.startswith("weft-") and ".dist-info/" in name}
    assert names - info == source_names()
    assert "weft/__init__.py" not in names
    ours = [name for name in names if "tests/" in name or "/test_" in name]
    assert not [*ours, *(name for name in names if name.endswith(".pyc"))]


def test_every_package_in_the_wheel_has_its_types(wheel: Path) -> None:
    names = names_in(wheel)
    packages = {name.split("/")[1] for name in names if name.startswith("weft/")}
    assert {"codec", "core", "workflow", "worker"} <= packages
    assert {package for package in packages if f"weft/{package}/py.typed" not in names} == set()


def test_wheel_says_what_it_needs_and_what_it_installs(wheel: Path) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    with zipfile.ZipFile(wheel) as archive:
        (info,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = HeaderParser().parsestr(archive.read(f"{info}/METADATA").decode())
        entry_points = archive.read(f"{info}/entry_points.txt").decode().split()
    assert sorted(metadata.get_all("Requires-Dist", [])) == sorted(project["dependencies"])
    assert metadata["Requires-Python"] == project["requires-python"]
    assert entry_points == [
        *("[console_scripts]", "weft", "=", "weft.cli:main"),
        *("[pytest11]", "weft", "=", "weft.pytest_plugin"),
        *("[weft.executors]", "kafka", "=", "weft.engine:make_executor"),
    ]


def test_wheel_built_from_the_source_archive_is_the_same(wheel: Path, tmp_path: Path) -> None:
    archive = build("sdist", CHECKOUT, tmp_path / "sdist")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert names_in(build("wheel", source, tmp_path / "again")) == names_in(wheel)


def test_every_package_is_imported_from_the_wheel(environment: Path) -> None:
    packages = sorted({name.split("/")[1] for name in source_names()})
    code = (
        "import importlib, json, sys\n"
        "print(json.dumps([importlib.import_module(f'weft.{name}').__file__ or name for name in sys.argv[1:]]))"
    )
    files = json.loads(
        run(environment / "bin" / "python", "-c", code, *packages, cwd=environment).stdout
    )
    assert len(files) == len(packages)
    assert [file for file in files if not Path(file).is_relative_to(environment)] == []


def test_type_checker_of_a_user_sees_the_types(environment: Path, tmp_path: Path) -> None:
    consumer = tmp_path / "consumer.py"
    consumer.write_text(CONSUMER, encoding="utf-8")
    options = (
        "--strict",
        "--no-incremental",
        "--python-executable",
        environment / "bin" / "python",
    )
    checked = attempt(sys.executable, "-m", "mypy", *options, consumer, cwd=tmp_path, timeout_s=110)
    assert 'consumer.py:10: note: Revealed type is "str"' in checked.stdout
    errors = [line for line in checked.stdout.splitlines() if ": error:" in line]
    assert {line.split(":")[1] for line in errors} == {"11"}, checked.stdout
    assert 'No overload variant of "execute_activity"' in checked.stdout


@pytest.fixture
def dev_worker(environment: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`weft dev` on a log in a folder of its own."""
    process = subprocess.Popen(
        [environment / "bin" / "weft", "dev", HELLO], cwd=tmp_path, env=clean_environment(tmp_path)
    )
    yield process
    process.terminate()
    process.wait(30)


def test_hello_runs_from_the_wheel_on_the_embedded_log(
    environment: Path, dev_worker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    options = ("--input", '"Ada"', "--wait", "--json")
    deadline_s = time.monotonic() + 60
    while True:
        done = attempt(environment / "bin" / "weft", "start", "hello", *options, cwd=tmp_path)
        if done.returncode == 0:
            break
        # Until the worker has made the log, there is nothing to start on.
        assert dev_worker.poll() is None, f"weft dev has ended, and start says: {done.stderr}"
        assert time.monotonic() < deadline_s, done.stderr
        time.sleep(0.2)
    assert json.loads(done.stdout)["result"] == "Hello, Ada!"
