from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.errors import UsageError
from weft.executor import Config, ExecutorError, _registry, new, providers, register


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_registry, "_factories", dict(_registry._factories))


@pytest.mark.requirement("R1-2", "R1-30", "R1-31")
def test_registered_executor_is_made_by_its_name_with_its_config() -> None:
    seen = []
    made = object()

    def factory(config: Config) -> object:
        seen.append(config)
        return made

    register("mine", factory)  # type: ignore[arg-type]
    config = Config(extra={"client": 1})
    assert new("mine", config) is made
    assert new("mine") is made
    assert seen == [config, Config()]
    assert "mine" in providers()


@pytest.mark.requirement("R1-31")
def test_new_refuses_an_unknown_name() -> None:
    with pytest.raises(ExecutorError, match=r'^workflow: unknown executor "nobody"$') as caught:
        new("nobody")
    assert caught.value.code == "not_found"


@pytest.mark.requirement("R1-30")
def test_register_refuses_what_cannot_be() -> None:
    def factory(config: Config) -> object:
        return object()

    with pytest.raises(UsageError, match=r"^workflow: Register called with empty name$"):
        register("", factory)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^workflow: Register called with nil factory for x$"):
        register("x", None)  # type: ignore[arg-type]
    register("x", factory)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"^workflow: Register called twice for x$"):
        register("x", factory)  # type: ignore[arg-type]


@pytest.mark.requirement("R1-32")
def test_providers_are_sorted() -> None:
    for name in ("zebra", "ant"):
        register(name, lambda config: config)  # type: ignore[arg-type,return-value]
    names = providers()
    assert names == sorted(names)
    assert {"ant", "zebra"} <= set(names)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A distribution that brings an executor."""
    folder = tmp_path / "weft_ours-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: weft-ours\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[weft.executors]\nours = weft_ours_module:factory\n")
    (tmp_path / "weft_ours_module.py").write_text("def factory(config): return ['ours', config]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("weft_ours_module", None)


@pytest.mark.requirement("R1-2", "R1-32")
def test_installed_package_brings_an_executor(installed: Path) -> None:
    assert "ours" in providers()
    assert "weft_ours_module" not in sys.modules
    made: object = new("ours", Config(extra={"a": 1}))
    assert made == ["ours", Config(extra={"a": 1})]
    assert providers().count("ours") == 1
