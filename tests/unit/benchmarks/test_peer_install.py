"""Peers that cannot be installed are told, and do not keep the others from being measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks.peers import install, run
from benchmarks.peers.install import NotInstalledError
from benchmarks.peers.measure import PEERS


def test_every_peer_has_a_recipe_of_exact_versions() -> None:
    assert set(install.RECIPES) == set(PEERS)
    for recipe in install.RECIPES.values():
        for package in (*recipe.python, *recipe.npm):
            _, _, version = package.removeprefix("@").replace("==", "@").partition("@")
            assert version[0].isdigit()


@pytest.mark.parametrize(
    "command,why",
    [
        (("no-such-program",), "x needs `no-such-program`, which is not there"),
        (
            (sys.executable, "-c", "import sys; sys.exit('there is none')"),
            "failed: there is none",
        ),
    ],
)
def test_failed_installation_says_what_and_why(command: tuple[str, ...], why: str) -> None:
    with pytest.raises(NotInstalledError, match=why):
        install._run("x", *command)


def test_newest_postgresql_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "_SYSTEM_POSTGRES", tmp_path / "none")
    assert install.postgres_bin(tmp_path) is None
    for version in ("9", "15"):
        program = tmp_path / "debian" / "usr" / "lib" / "postgresql" / version / "bin" / "initdb"
        program.parent.mkdir(parents=True)
        program.touch()
    found = install.postgres_bin(tmp_path)
    assert found is not None
    assert found.parent.name == "15"


def test_peer_that_is_not_to_be_had_is_told_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The environment's Python of the second is a program that prints one line."""
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\necho \'{"system": "Linux", "variant": "memory", "p50_ms": 1.0, "p99_ms": 2.0}\'\n'
    )
    python.chmod(0o755)

    def installed(name: str) -> Path:
        if name == "dbos":
            raise NotInstalledError("dbos needs `initdb`")
        return python

    monkeypatch.setattr(install, "install", installed)
    options = ["--only", "dbos,temporal", "--workloads", "W2", "--without-weft"]
    monkeypatch.setattr(sys, "argv", ["run.py", *options])
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 1
    said = capsys.readouterr()
    lines = [json.loads(text) for text in said.out.splitlines() if text.startswith("{")]
    assert lines == [
        {"system": "dbos", "error": "not installed: dbos needs `initdb`"},
        {
            "system": "temporal",
            "workload": "W2",
            "variant": "memory",
            "p50_ms": 1.0,
            "p99_ms": 2.0,
        },
    ]
    assert "| W2 p50 / p99 ms | 1.0 / 2.0 |" in said.out
    assert "FAILED  dbos: not installed: dbos needs `initdb`" in said.err


def test_workload_that_ends_without_telling_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    monkeypatch.setattr(install, "install", lambda _: python)
    assert list(run._peer("dbos", ["W3"], 1.0)) == [
        {"system": "dbos", "workload": "W3", "error": "it ended with 3"}
    ]
