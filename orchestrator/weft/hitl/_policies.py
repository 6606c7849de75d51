"""Which requests are approved without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import get_args

from weft.errors import UsageError
from weft.hitl._values import InteractionRequest, InteractionResponse, Risk

_RISKS: tuple[Risk, ...] = get_args(Risk)
"""The least first."""


@dataclass(frozen=True, slots=True)
class Policy:
    """For tools whose name matches `tool` (`*`, `?`, `[...]`): how sure, and how harmless, needs no person.

    `explicit` asks a person always. The first policy that matches a tool decides; without one, a person does.
    """

    tool: str = "*"
    confidence_min: float = 0.0
    risk_max: Risk = "read_only"
    explicit: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.confidence_min <= 1:
            raise UsageError(
                f"confidence_min is between 0 and 1, not {self.confidence_min}: how sure the asking side must be"
            )
        if self.risk_max not in _RISKS:
            raise UsageError(f"risk_max is one of {', '.join(_RISKS)}, not {self.risk_max!r}")
        if not self.tool:
            raise UsageError("a policy is for the tools that match `tool`; '*' is for all")


def approving(
    policies: Iterable[Policy], tool_name: str, confidence: float, risk: Risk
) -> Policy | None:
    """The policy that approves this without a person; None when a person must decide.

    Raises UsageError for a risk that there is not.
    """
    if risk not in _RISKS:
        raise UsageError(f"a risk is one of {', '.join(_RISKS)}, not {risk!r}")
    policy = next((each for each in policies if fnmatchcase(tool_name, each.tool)), None)
    if policy is None or policy.explicit:
        return None
    is_sure = confidence >= policy.confidence_min
    is_harmless = _RISKS.index(risk) <= _RISKS.index(policy.risk_max)
    return policy if is_sure and is_harmless else None


def approval(policies: Iterable[Policy], request: InteractionRequest) -> InteractionResponse | None:
    """The answer that a policy gives to a request; None when a person must."""
    policy = approving(policies, request.tool_name, request.confidence, request.risk)
    if policy is None:
        return None
    return InteractionResponse(
        "approve", by=f"policy {policy.name or policy.tool}", request_id=request.id
    )
