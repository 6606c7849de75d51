"""Writes the API reference into `docs/reference/`, from signatures and docstrings: `make reference`.

The code is read, not run. A package is on a page unless it is Weft's own business; so is each name that it exports.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
ROOTS = ("topics", "orchestrator", "workers")
LINE_MAX = 88
INTERNAL = frozenset(
    "cli codec core determinism host lint log metrics pytest_plugin records topics".split()  # noqa: SIM905  # reads best
)
"""Packages that users do not import."""


@dataclass(frozen=True)
class Page:
    """What is special about a package's page."""

    first: tuple[str, ...] = ()
    """These names come first; the others follow by the alphabet."""
    made: frozenset[str] = frozenset()
    """Classes that users are given and never make."""
    hidden: frozenset[str] = frozenset()
    """Exported for Weft's other packages."""


PAGES = {
    "weft.workflow": Page(
        ("define", "Context", "WorkflowInfo"),
        frozenset({"CancelScope", "Context", "GeneratorContext", "History", "Saga", "Workflow"})
        | {"Child", "ChildHandle", "OpenQuestion", "ParentInfo", "WorkflowInfo", "WorkflowLogger"},
        frozenset({"ACTIVATIONS", "Activities", "UNGUARDED", "Guard", "Machine"})
        | {"TurnInterrupted", "leave_loop", "running_line"},
    ),
    "weft.activity": Page(
        ("define", "Retry", "info", "heartbeat", "is_cancelled"),
        frozenset({"Activity", "ActivityInfo"}),
        frozenset({"Pulse", "Timeouts", "current_pulse", "to_activity_error", "to_failure"})
        | {"to_ms"},
    ),
    "weft.client": Page(
        ("Client", "Handle"),
        frozenset({"ActivityDescription", "DeadLetter", "Handle", "TimerDescription"})
        | {"UpdateDescription", "WorkflowDescription", "WorkflowSummary"},
        frozenset({"failed_error", "open_updates", "reply_of"}),
    ),
    "weft.worker": Page(
        ("Worker",),
        hidden=frozenset({"AttemptPulse", "AttemptRunner", "Batch", "Directory", "Partition"}),
    ),
    "weft.testing": Page(
        ("Environment", "Handle", "crash_everywhere", "replay"),
        frozenset({"Call", "ChildCall", "Handle", "Published"}),
        frozenset({"check", "read_histories"}),
    ),
    "weft.executor": Page(
        ("DurableExecutor", "DefaultExecutor", "WorkflowStore", "Hooks"),
        frozenset({"Fact", "FunctionContext"}),
        frozenset({"FunctionWorkflow", "HookObserver", "as_activity", "as_workflow", "note"})
        | {"tell_all"},
    ),
    "weft.errors": Page(("WeftError", "UsageError", "Failure", "WorkflowFailedError")),
    "weft.payloads": Page(
        made=frozenset({"StoredObject"}),
        hidden=frozenset({"Payloads", "scope_of"}),
    ),
}
"""By package; one that is not named here has a page too."""

KEEPS = {
    "DefaultExecutor": "DurableExecutor",
    "InMemorySignalChannel": "SignalChannel",
    "InMemoryStore": "WorkflowStore",
    "KafkaHandle": "WorkflowHandle",
    "KafkaStore": "WorkflowStore",
    "Passing": "DurableExecutor",
    "SqliteStore": "WorkflowStore",
}
"""Classes that keep a contract of `weft.executor` without inheriting it: their methods are explained there."""

Member = griffe.Object | griffe.Alias


def texts() -> dict[str, str]:
    """Every file of the reference by its name."""
    names = packages()
    pages = {f"{name.removeprefix('weft.')}.md": text_of(name) for name in names}
    return {"README.md": _index(names), **pages}


def packages() -> list[str]:
    """Public packages: those that PAGES names first, in that order."""
    found = {
        f"weft.{path.name}"
        for root in ROOTS
        for path in (ROOT / root / "weft").iterdir()
        if (path / "__init__.py").exists() and path.name not in INTERNAL
    }
    return [name for name in PAGES if name in found] + sorted(found - set(PAGES))


def exported(package: str) -> dict[str, Member]:
    """What users may import from a package, in the order of its page."""
    page = PAGES.get(package, Page())
    names = [str(name) for name in _load(package).exports or () if name not in page.hidden]
    names.sort(key=lambda name: (page.first.index(name) if name in page.first else 99, name))
    return {name: _target(_load(package)[name]) for name in names}


def public_members(member: Member) -> dict[str, Member]:
    """What a class shows: values, then what it can do itself, then what it has from parts. None of anything else.

    What it has from another class of the reference stands there.
    The tests in a class of tests are for whoever inherits it, not for whoever reads.
    """
    if not isinstance(member, griffe.Class):
        return {}
    elsewhere = {
        name for base in member.mro() if base.name in _public_names() for name in base.all_members
    }
    inherited = {
        name: one for name, one in member.inherited_members.items() if name not in elsewhere
    }
    names = {**member.members, **inherited}
    shown = {
        name: _target(one)
        for name, one in names.items()
        if not name.startswith(("_", "test_")) and not _is_nested(one)
    }
    return dict(sorted(shown.items(), key=lambda item: not item[1].is_attribute))


def _is_nested(member: Member) -> bool:
    return isinstance(_target(member), griffe.Class | griffe.Module)


def missing_docstrings() -> Iterator[str]:
    """Public names that nobody has explained."""
    for package in packages():
        if not _load(package).docstring:
            yield package
        for name, member in exported(package).items():
            yield from _unexplained(f"{package}.{name}", member)


def _unexplained(path: str, member: Member) -> Iterator[str]:
    if not member.docstring:
        yield path
    for name, one in public_members(member).items():
        if not _docstring(one) and not (one.is_attribute and _is_plain_field(one)):
            yield f"{path}.{name}"


def _is_plain_field(member: Member) -> bool:
    """A value with a type, whose class says what it means; a property is code."""
    return "property" not in member.labels


def text_of(package: str) -> str:
    """One page."""
    page, names = PAGES.get(package, Page()), exported(package)
    parts = [f"# `{package}`", _docstring(_load(package)), _contents(names)]
    for name, member in names.items():
        parts += _section(name, member, is_made=name in page.made)
    return "\n\n".join(part for part in parts if part) + "\n"


def _index(names: Iterable[str]) -> str:
    rows = [
        f"| [`{name}`]({name.removeprefix('weft.')}.md) | {_first_sentence(_load(name))} |"
        for name in names
    ]
    return (
        "# API reference\n\nMade from the docstrings by `make reference`. The [guide](../guide/README.md) shows how it "
        "all goes together.\n\n| package | what for |\n|---|---|\n" + "\n".join(rows) + "\n"
    )


def _contents(names: dict[str, Member]) -> str:
    rows = []
    anchors: Counter[str] = Counter()
    for name, one in names.items():
        anchor = name.lower()
        number = (
            f"-{anchors[anchor]}" if anchors[anchor] else ""
        )  # as GitHub tells equal heads apart
        anchors[anchor] += 1
        rows.append(f"| [`{name}`](#{anchor}{number}) | {_first_sentence(one)} |")
    return "| | |\n|---|---|\n" + "\n".join(rows)


def _section(name: str, member: Member, *, is_made: bool) -> list[str]:
    parts = [f"## {name}"]
    if isinstance(member, griffe.Function):
        parts.append(_code(_signatures(name, member)))
    elif isinstance(member, griffe.Class):
        parameters = [] if is_made else _constructor(member)
        made_by = [_call(name, parameters, "")] if parameters else []
        parts.append(_code([_class(name, member), *made_by]))
        is_made = not parameters
    elif isinstance(member, griffe.Attribute):
        typed = f"{name}: {member.annotation}" if member.annotation else f"{name} = {member.value}"
        parts.append(_code([typed]))
    parts.append(_docstring(member))
    members = public_members(member)
    fields = {key: one for key, one in members.items() if one.is_attribute}
    parts.append(_fields(fields, is_made=is_made))
    for key, one in members.items():
        if isinstance(one, griffe.Function):
            parts += [f"### {name}.{key}", _code(_signatures(key, one)), _docstring(one)]
    return parts


def _fields(fields: dict[str, Member], *, is_made: bool) -> str:
    """Values of an object; of one that users make, those that say more than its constructor."""
    shown = {key: one for key, one in fields.items() if is_made or one.docstring}
    if not shown:
        return ""
    rows = [
        f"| `{key}` | {_type(one)} | {' '.join(_docstring(one).split())} |"
        for key, one in shown.items()
    ]
    return "| | | |\n|---|---|---|\n" + "\n".join(rows)


def _type(member: Member) -> str:
    annotation = getattr(member, "annotation", None)
    value = annotation if annotation is not None else getattr(member, "value", None)
    return f"`{value}`".replace("|", "\\|") if value is not None else ""


def _class(name: str, member: griffe.Class) -> str:
    """With what else an object of it is; nothing about the machinery of types."""
    told = [str(base) for base in member.bases if _is_told(base)]
    return f"class {name}" + (f"({', '.join(told)})" if told else "")


def _is_told(base: str | griffe.Expr) -> bool:
    """Whether it is a class that readers know, and not a part of this one or of the types' machinery."""
    path = base if isinstance(base, str) else base.canonical_path
    if path.startswith("weft."):
        return path.rpartition(".")[2] in _public_names()
    return not path.startswith("typing.")


@cache
def _public_names() -> frozenset[str]:
    return frozenset(name for package in packages() for name in exported(package))


def _constructor(member: griffe.Class) -> list[griffe.Parameter]:
    init = member.all_members.get("__init__")
    target = _target(init) if init is not None else None
    return list(target.parameters)[1:] if isinstance(target, griffe.Function) else []


def _signatures(name: str, function: griffe.Function) -> list[str]:
    return [_signature(name, one) for one in function.overloads or [function]]


def _signature(name: str, function: griffe.Function) -> str:
    parameters = [one for one in function.parameters if one.name not in {"self", "cls"}]
    start = "async " if "async" in function.labels else ""
    returns = f" -> {function.returns}" if function.returns is not None else ""
    return _call(f"{start}{name}", parameters, returns)


def _call(start: str, parameters: Iterable[griffe.Parameter], returns: str) -> str:
    """On one line where it fits, else a parameter a line."""
    written = list(_written(parameters))
    line = f"{start}({', '.join(written)}){returns}"
    if len(line) <= LINE_MAX:
        return line
    return f"{start}(\n" + "".join(f"    {one},\n" for one in written) + f"){returns}"


def _written(parameters: Iterable[griffe.Parameter]) -> Iterator[str]:
    """As in the source, with `/` and `*`."""
    former = None
    for one in parameters:
        if former == griffe.ParameterKind.positional_only != one.kind:
            yield "/"
        starred = {griffe.ParameterKind.keyword_only, griffe.ParameterKind.var_positional}
        if one.kind == griffe.ParameterKind.keyword_only and former not in starred:
            yield "*"
        yield _parameter(one)
        former = one.kind
    if former == griffe.ParameterKind.positional_only:
        yield "/"


def _parameter(one: griffe.Parameter) -> str:
    stars = {
        griffe.ParameterKind.var_positional: "*",
        griffe.ParameterKind.var_keyword: "**",
    }
    start = stars.get(one.kind, "") if one.kind is not None else ""
    annotation = f": {one.annotation}" if one.annotation is not None else ""
    if one.default is None or start:
        return f"{start}{one.name}{annotation}"
    return f"{one.name}{annotation}{' = ' if annotation else '='}{one.default}"


def _code(lines: Iterable[str]) -> str:
    return "```python\n" + "\n".join(lines) + "\n```"


def _docstring(member: Member) -> str:
    """Its own, or that of what it overrides."""
    if member.docstring:
        return inspect.cleandoc(member.docstring.value)
    parent = member.parent
    if isinstance(parent, griffe.Class):
        contract = KEEPS.get(parent.name)
        kept = [exported("weft.executor")[contract]] if contract else []
        for base in (*parent.mro(), *kept):
            overridden = base.members.get(member.name)
            if overridden is not None and overridden.docstring:
                return inspect.cleandoc(overridden.docstring.value)
    return ""


def _first_sentence(member: Member) -> str:
    paragraph = " ".join(_docstring(member).split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.:?]) (?=[A-Z`])", paragraph)[0].rstrip(":")
    return sentence.replace("|", "\\|")


def _target(member: Member) -> Member:
    return member.final_target if isinstance(member, griffe.Alias) else member


@cache
def _loader() -> griffe.GriffeLoader:
    return griffe.GriffeLoader(search_paths=[str(ROOT / root) for root in ROOTS])


@cache
def _load(package: str) -> griffe.Module:
    module = _loader().load(package)
    _loader().resolve_aliases()
    assert isinstance(module, griffe.Module), package
    return module


def main() -> None:
    wanted = texts()
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.glob("*.md"):
        if file.name not in wanted:
            file.unlink()
            print(f"removed {file.name}")
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    print(f"{len(wanted)} pages in docs/reference/")


if __name__ == "__main__":
    main()
