"""From files to findings: every workflow, and all that it calls within the project."""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from weft.determinism import UNKNOWN_IGNORE, UNNEEDED_IGNORE, Rule
from weft.lint._definitions import Definitions
from weft.lint._files import python_files
from weft.lint._globals import Globals
from weft.lint._ignores import Ignore, ignores_in
from weft.lint._inference import Inference
from weft.lint._modules import Module, Project, module_name, parse, room_for_nesting
from weft.lint._report import Caller, Finding, Report, Unreadable
from weft.lint._scan import Knowledge, Violation, scan
from weft.lint._scopes import FunctionNode
from weft.lint._values import FunctionValue


@dataclass(frozen=True, slots=True)
class _Visit:
    """A function on the way from a workflow; `line` is where `caller` calls it."""

    function: FunctionValue
    caller: _Visit | None = None
    line: int = 0

    @property
    def workflow(self) -> FunctionNode:
        return self.caller.workflow if self.caller else self.function.node

    def chain(self) -> tuple[Caller, ...]:
        if self.caller is None:
            return ()
        function = self.caller.function
        caller = Caller(_name(function), function.module.file, self.line)
        return (caller, *self.caller.chain())


def lint(paths: Sequence[Path]) -> Report:
    """Look at these files and at all Python files in these folders, together.

    Raises UsageError for a path that is not there.
    """
    modules: list[Module] = []
    unreadable: list[Unreadable] = []
    for path in python_files(paths):
        file = path.as_posix()
        try:
            name, is_package = module_name(path)
            modules.append(parse(file, path.read_bytes(), name, is_package=is_package))
        except SyntaxError as error:
            unreadable.append(Unreadable(file, error.lineno or 1, f"no valid Python: {error.msg}"))
        except (ValueError, OSError) as error:
            unreadable.append(Unreadable(file, 1, str(error)))
        except (RecursionError, MemoryError):
            unreadable.append(Unreadable(file, 1, "nested too deeply to be looked at"))
    roots = [PurePath(path.as_posix()) for path in paths if path.is_dir()]
    return lint_modules(modules, roots, unreadable)


def lint_modules(
    modules: Sequence[Module],
    roots: Iterable[PurePath] = (),
    unreadable: Iterable[Unreadable] = (),
) -> Report:
    """Look at modules that are parsed already."""
    project = Project(modules, roots)
    inference = Inference(project)
    with room_for_nesting():
        definitions = Definitions(project, inference)
        findings = findings_from(project, inference, definitions, definitions.workflows)
    return Report(
        sorted(findings, key=lambda one: (one.file, one.line, one.column, one.code)),
        list(unreadable),
        files=len(modules),
        workflows=len(definitions.workflows),
    )


def findings_from(
    project: Project,
    inference: Inference,
    definitions: Definitions,
    workflows: Sequence[FunctionValue],
) -> list[Finding]:
    """What is wrong in these functions and in what they call, and with comments that should silence it."""
    globals_ = Globals(project, inference)
    changed = globals_.changed() if workflows else {}
    knowledge = Knowledge(inference, definitions, globals_, changed)
    waiting = deque(_Visit(workflow) for workflow in workflows)
    seen = {visit.function.node for visit in waiting}
    silencer = _Silencer(project.modules)
    found: dict[tuple[str, int, int, str], Finding] = {}
    while waiting:
        visit = waiting.popleft()
        violations, steps = scan(visit.function, knowledge)
        for violation in violations:
            if not silencer.silences(violation):
                finding = _finding(violation, visit)
                found.setdefault(
                    (finding.file, finding.line, finding.column, finding.code), finding
                )
        for step in steps:
            if step.target.node not in seen:
                seen.add(step.target.node)
                waiting.append(_Visit(step.target, visit, step.line))
    return [*found.values(), *silencer.findings()]


class _Silencer:
    """Knows the comments of all files, and which of them were needed."""

    def __init__(self, modules: Sequence[Module]) -> None:
        self._ignores = {module.file: ignores_in(module.data) for module in modules}
        self._needed: set[tuple[str, Ignore]] = set()

    def silences(self, violation: Violation) -> bool:
        """Whether a comment on a line of the violation names its rule."""
        file, node = violation.module.file, violation.node
        lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        silencing = [
            ignore
            for ignore in self._ignores[file]
            if ignore.code == violation.rule.code and ignore.line in lines
        ]
        self._needed |= {(file, ignore) for ignore in silencing}
        return bool(silencing)

    def findings(self) -> Iterable[Finding]:
        for file, ignores in self._ignores.items():
            for ignore in ignores:
                if (file, ignore) not in self._needed:
                    yield _ignore_finding(file, ignore)


def _ignore_finding(file: str, ignore: Ignore) -> Finding:
    rule: Rule = UNNEEDED_IGNORE if ignore.is_known else UNKNOWN_IGNORE
    message = f"`# weft: ignore[{ignore.code}]` {rule.what}"
    return Finding(file, ignore.line, ignore.column + 1, rule.code, rule.name, message, rule.advice)


def _finding(violation: Violation, visit: _Visit) -> Finding:
    rule, node, module = violation.rule, violation.node, violation.module
    return Finding(
        module.file,
        node.lineno,
        _column(module, node),
        rule.code,
        rule.name,
        f"{violation.subject} {rule.what}",
        rule.advice_for(is_generator=isinstance(visit.workflow, ast.FunctionDef)),
        _chain(violation, visit),
    )


def _chain(violation: Violation, visit: _Visit) -> tuple[Caller, ...]:
    if not violation.called_at:
        return visit.chain()
    function = visit.function
    caller = Caller(_name(function), function.module.file, violation.called_at)
    return (caller, *visit.chain())


def _column(module: Module, node: ast.expr) -> int:
    """In characters; the parser counts the bytes of UTF-8."""
    lines = module.data.splitlines()
    if node.lineno > len(lines):
        return node.col_offset + 1
    return len(lines[node.lineno - 1][: node.col_offset].decode("utf-8", "replace")) + 1


def _name(function: FunctionValue) -> str:
    owner = function.module.scopes.class_of.get(function.node)
    return f"{owner.name}.{function.node.name}" if owner else function.node.name
