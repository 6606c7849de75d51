"""Brokers as processes of a Java runtime, from jars that Maven resolves once into the cache folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from deploy.kafka._layout import CACHE, HOST, BrokerError, Layout, Node, broker_settings
from deploy.kafka._processes import detach, end_process, is_ours

_POM = Path(__file__).with_name("pom.xml")
_JAVA_VERSION_MIN = 17
_MAVEN_TIMEOUT_S = 600
_FORMAT_TIMEOUT_S = 120
_STOP_PATIENCE_S = 30.0
_LOG_SETTINGS = """\
status = error
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c{1})%n%ex{12}
"""


class JavaRuntime:
    """Runs the brokers with `java`."""

    name = "java"

    def prepare(self, progress: Callable[[str], None]) -> None:
        """Raises `BrokerError` when there is no fit Java runtime, or the jars cannot be had."""
        _java_version()
        _jars(progress)

    def create(self, layout: Layout) -> None:
        for node in layout.nodes:
            folder = layout.node_folder(node)
            folder.mkdir(parents=True)
            (folder / "log4j2.properties").write_text(_LOG_SETTINGS, encoding="utf-8")
            settings = broker_settings(layout) | _own_settings(layout, node)
            lines = "".join(f"{key}={value}\n" for key, value in settings.items())
            (folder / "server.properties").write_text(lines, encoding="utf-8")
            self._format(layout, node)

    def _format(self, layout: Layout, node: Node) -> None:
        folder = layout.node_folder(node)
        arguments = ["format", "-t", layout.cluster_id, "-c", str(folder / "server.properties")]
        done = subprocess.run(
            [*_command(folder, heap="256m"), "kafka.tools.StorageTool", *arguments],
            capture_output=True, text=True, check=False, timeout=_FORMAT_TIMEOUT_S,
        )  # fmt: skip
        if done.returncode != 0:
            raise BrokerError(
                f"Kafka could not format {folder}: {(done.stderr or done.stdout).strip()[-2000:]}"
            )

    def start(self, layout: Layout, node: Node) -> None:
        folder = layout.node_folder(node)
        with (folder / "broker.log").open("ab") as log:
            process = subprocess.Popen(
                [*_command(folder, heap=_heap(layout)), "kafka.Kafka", str(folder / "server.properties")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, start_new_session=True,
            )  # fmt: skip
        detach(process)
        (folder / "pid").write_text(str(process.pid), encoding="utf-8")

    def pid(self, layout: Layout, node: Node) -> int | None:
        """The broker's process ID while it runs."""
        folder = layout.node_folder(node)
        try:
            pid = int((folder / "pid").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        return pid if is_ours(pid, str(folder)) else None

    def is_running(self, layout: Layout, node: Node) -> bool:
        return self.pid(layout, node) is not None

    def stop(self, layout: Layout, node: Node) -> None:
        pid = self.pid(layout, node)
        if pid is not None:
            end_process(pid, first=signal.SIGTERM, patience_s=_STOP_PATIENCE_S)

    def kill(self, layout: Layout, node: Node) -> None:
        pid = self.pid(layout, node)
        if pid is not None:
            end_process(pid, first=signal.SIGKILL, patience_s=_STOP_PATIENCE_S)

    def log_tail(self, layout: Layout, node: Node, lines: int) -> str:
        try:
            log = (layout.node_folder(node) / "broker.log").read_text(
                encoding="utf-8", errors="replace"
            )
        except FileNotFoundError:
            return ""
        return "\n".join(log.splitlines()[-lines:])

    def remove(self, layout: Layout) -> None:
        # The data goes too, so a clean shutdown would only take time.
        for node in layout.nodes:
            self.kill(layout, node)
        shutil.rmtree(layout.folder, ignore_errors=True)


def _own_settings(layout: Layout, node: Node) -> dict[str, str]:
    voters = ",".join(f"{other.node_id}@{HOST}:{other.controller_port}" for other in layout.nodes)
    listeners = f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}"
    advertised = f"PLAINTEXT://{HOST}:{node.port}"
    if node.proxy_port:
        listeners += f",PROXIED://{HOST}:{node.proxied_port}"
        advertised += f",PROXIED://{HOST}:{node.proxy_port}"
    return {
        "node.id": str(node.node_id),
        "controller.quorum.voters": voters,
        "listeners": listeners,
        "advertised.listeners": advertised,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(layout.node_folder(node) / "data"),
    }


def _command(folder: Path, heap: str) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={(folder / 'log4j2.properties').as_uri()}"
    return [_java(), f"-Xmx{heap}", "-XX:+UseG1GC", logging, "-cp", f"{_jars_folder()}{os.sep}*"]


def _heap(layout: Layout) -> str:
    """Several brokers of one machine share it."""
    return "1g" if len(layout.nodes) == 1 else "512m"


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    candidate = Path(home) / "bin" / "java" if home else None
    found = str(candidate) if candidate and candidate.exists() else shutil.which("java")
    if found is None:
        raise BrokerError(
            f"there is no Java runtime (`java` of version {_JAVA_VERSION_MIN} or later)"
        )
    return found


def _java_version() -> int:
    java = _java()
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    match = re.search(r'version "(\d+)', output)
    version = int(match.group(1)) if match else 0
    if version < _JAVA_VERSION_MIN:
        raise BrokerError(
            f"`{java}` is version {version or 'unknown'}; Kafka needs {_JAVA_VERSION_MIN} or later"
        )
    return version


def _jars_folder() -> Path:
    return CACHE / f"jars-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"


def _jars(progress: Callable[[str], None]) -> Path:
    """The folder with the broker's jars; the first call lets Maven fill it (about 55 MB)."""
    folder = _jars_folder()
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            maven = shutil.which("mvn")
            if maven is None:
                raise BrokerError(
                    "there is a Java runtime but no Maven (`mvn`) to resolve the broker's jars with"
                )
            progress("resolving the jars of Kafka with Maven, this first time only ...")
            _resolve(maven, folder)
    return folder


def _resolve(maven: str, folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    goal = [
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        f"-DoutputDirectory={partial}",
    ]
    try:
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(_POM), *goal],
            capture_output=True, text=True, check=False, timeout=_MAVEN_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BrokerError(
            f"Maven did not resolve the broker's jars within {_MAVEN_TIMEOUT_S} s"
        ) from error
    if done.returncode != 0 or not any(partial.glob("kafka_*.jar")):
        reason = "\n".join((done.stdout + done.stderr).strip().splitlines()[:8])
        raise BrokerError(
            f"Maven could not resolve the broker's jars (network, or a mirror in settings.xml?): {reason}"
        )
    partial.rename(folder)
