"""What the figures were measured on: the machine, and the versions of everything that takes part."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sqlite3
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import confluent_kafka
from benchmarks.stage import Line

POM = Path(__file__).parent.parent / "deploy" / "kafka" / "pom.xml"
_GIB = 2**30


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def machine() -> Line:
    """One line like a workload's, with the workload `machine`."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "workload": "machine",
        "variant": "",
        "backend": "",
        "date": today(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(memory_bytes / _GIB),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "weft": version("weft"),
        "confluent_kafka": confluent_kafka.__version__,
        "librdkafka": confluent_kafka.libversion()[0],
        "sqlite": sqlite3.sqlite_version,
        "kafka": _kafka(),
        "java": _java(),
    }


def _processor() -> str:
    for text in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = text.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def _kafka() -> str:
    """The version that a started broker has; of one that WEFT_KAFKA names nothing is known."""
    if os.environ.get("WEFT_KAFKA"):
        return ""
    found = re.search(r"<kafka\.version>(.*?)</kafka\.version>", POM.read_text(encoding="utf-8"))
    return found[1] if found else ""


def _java() -> str:
    if os.environ.get("WEFT_KAFKA") or shutil.which("java") is None:
        return ""
    done = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "([^"]*)"', done.stderr)
    return found[1] if found else ""
