"""What a call of the linter found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A function on the way from a workflow to a finding, and the line where it calls the next one."""

    function: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    code: str
    name: str
    message: str
    """What is wrong there."""
    advice: str
    """The correct pattern."""
    chain: tuple[Caller, ...] = ()
    """The nearest caller first, the workflow last; empty when the finding is in the workflow itself."""

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}:{self.column}: {self.code} [{self.name}] {self.message}: {self.advice}"
        if not self.chain:
            return text
        file, callers = self.file, []
        for caller in self.chain:
            place = "" if caller.file == file else f" of {caller.file}"
            callers.append(f"called by {caller.function} at line {caller.line}{place}")
            file = caller.file
        return f"{text} ({', '.join(callers)})"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file that could not be looked at."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything, in the order of files and lines."""

    findings: list[Finding]
    unreadable: list[Unreadable]
    files: int
    workflows: int

    def summary(self) -> str:
        """One line for people."""
        looked_at = f"{_count(self.workflows, 'workflow')} in {_count(self.files, 'file')}"
        text = f"{_count(len(self.findings), 'finding') if self.findings else 'no findings'}: {looked_at}"
        if self.unreadable:
            text += f"; {_count(len(self.unreadable), 'file')} could not be read"
        return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
