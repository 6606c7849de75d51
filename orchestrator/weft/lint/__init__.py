"""The determinism linter: finds in workflow code what a replay would not repeat, before it runs.

It reads source text only: nothing is imported or run. `lint(paths)` is all of it; `weft lint` prints what it gives.
"""

from weft.determinism import RULES, Rule, refused_names, rule_of, rule_of_value
from weft.lint._linter import lint
from weft.lint._report import Caller, Finding, Report, Unreadable

__all__ = [
    "RULES",
    "Caller",
    "Finding",
    "Report",
    "Rule",
    "Unreadable",
    "lint",
    "refused_names",
    "rule_of",
    "rule_of_value",
]
