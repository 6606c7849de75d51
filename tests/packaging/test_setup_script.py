"""`deploy/setup.sh` on machines that have this and lack that: the commands it looks for are stand-ins."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "setup.sh"
TOOLS = ("sh", "sed", "head")


class Machine:
    """A machine whose only commands are those that were given to it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        self.bin.mkdir()
        self.calls.touch()
        for tool in TOOLS:
            real = shutil.which(tool)
            assert real, tool
            (self.bin / tool).symlink_to(real)
        self.has("id", "echo 1000")

    def has(self, command: str, script: str) -> None:
        file = self.bin / command
        file.write_text(
            f'#!/bin/sh\necho "{command} $*" >> "{self.calls}"\n{script}\n', encoding="utf-8"
        )
        file.chmod(0o755)

    def has_java(self, version: str) -> None:
        self.has("java", f"echo 'openjdk version \"{version}\" 2026-01-20' >&2")

    def is_debian_with_root(self, *packages: str) -> None:
        """apt-get brings a Java and a Maven that work."""
        self.has("id", "echo 0")
        self.has(
            "apt-cache",
            "\n".join(f'case "$3" in "^{name}$") echo {name};; esac' for name in packages),
        )
        java, maven = self.bin / "java", self.bin / "mvn"
        self.has(
            "apt-get",
            f"""if [ "$1" = install ]; then
                printf '#!/bin/sh\\necho "openjdk version \\"17.0.1\\"" >&2\\n' > {java}
                printf '#!/bin/sh\\n' > {maven}
                chmod +x {java} {maven}
            fi""".replace("chmod", shutil.which("chmod") or "chmod"),
        )

    def run(self, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "sh"), str(SCRIPT)],
            env={"PATH": str(self.bin), **env},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def installed(self) -> list[str]:
        """What apt-get was asked for."""
        calls = self.calls.read_text(encoding="utf-8").splitlines()
        return [
            word
            for call in calls
            if call.startswith("apt-get install")
            for word in call.split()[2:]
            if word[0] != "-"
        ]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_nothing_is_done_when_java_and_maven_are_there(machine: Machine) -> None:
    machine.is_debian_with_root()
    machine.has_java("17.0.9")
    machine.has("mvn", "")
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.installed() == []


def test_nothing_is_done_when_docker_answers(machine: Machine) -> None:
    machine.has("docker", "exit 0")
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_is_done_when_a_broker_is_named(machine: Machine) -> None:
    done = machine.run(WEFT_KAFKA="kafka.example:9092")
    assert (done.returncode, done.stderr) == (0, "")


def test_java_of_java_home_is_seen(machine: Machine, tmp_path: Path) -> None:
    machine.has_java("21")
    home = tmp_path / "home" / "bin"
    home.mkdir(parents=True)
    (machine.bin / "java").rename(home / "java")
    machine.has("mvn", "")
    assert machine.run(JAVA_HOME=str(home.parent)).returncode == 0


@pytest.mark.parametrize("java", [None, "11.0.2", "1.8.0_292"])
def test_ordinary_user_is_told_what_to_install(machine: Machine, java: str | None) -> None:
    machine.has("docker", "exit 1")
    if java:
        machine.has_java(java)
    done = machine.run()
    assert done.returncode == 1
    assert "needs Docker, or Java 17 or later and Maven" in done.stderr
    assert "WEFT_KAFKA=host:port" in done.stderr


def test_root_on_debian_gets_java_and_maven(machine: Machine) -> None:
    machine.is_debian_with_root("openjdk-17-jre-headless")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert machine.installed() == ["openjdk-17-jre-headless", "maven"]


def test_java_that_the_release_has_is_taken(machine: Machine) -> None:
    machine.is_debian_with_root("openjdk-21-jre-headless", "openjdk-25-jre-headless")
    machine.run()
    assert machine.installed() == ["openjdk-21-jre-headless", "maven"]


def test_default_java_is_taken_when_the_release_names_it_otherwise(machine: Machine) -> None:
    machine.is_debian_with_root()
    machine.run()
    assert machine.installed() == ["default-jre-headless", "maven"]


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.is_debian_with_root()
    machine.has_java("17.0.9")
    assert machine.run().returncode == 0
    assert machine.installed() == ["maven"]


def test_failed_installation_is_an_error(machine: Machine) -> None:
    machine.is_debian_with_root()
    machine.has("apt-get", 'test "$1" = update')
    assert machine.run().returncode != 0
