"""Which requests need nobody."""

from __future__ import annotations

from typing import Any

import pytest

from weft.errors import UsageError
from weft.hitl import InteractionRequest, InteractionResponse, Policy, Risk, approval, approving

READING = Policy("read_*", risk_max="irreversible", name="reading")
NEVER = Policy("pay_*", risk_max="irreversible", explicit=True)
SURE = Policy("write_?", confidence_min=0.8, risk_max="data_modification")
POLICIES = (READING, NEVER, SURE)


@pytest.mark.requirement("R1-21")
@pytest.mark.parametrize(
    "tool,confidence,risk,policy",
    [
        ("read_mail", 0.0, "irreversible", READING),
        ("pay_bill", 1.0, "read_only", None),
        ("write_x", 0.8, "data_modification", SURE),
        ("write_x", 0.79, "read_only", None),
        ("write_x", 1.0, "irreversible", None),
        ("write_xy", 1.0, "read_only", None),
        ("", 1.0, "read_only", None),
    ],
)
def test_first_policy_that_matches_the_tool_decides(
    tool: str, confidence: float, risk: Risk, policy: Policy | None
) -> None:
    assert approving(POLICIES, tool, confidence, risk) is policy


@pytest.mark.requirement("R1-21")
def test_later_policy_is_not_asked_when_an_earlier_one_matches() -> None:
    anything = Policy("*", risk_max="irreversible")
    assert approving((NEVER, anything), "pay_bill", 1.0, "read_only") is None
    assert approving((SURE, anything), "write_x", 0.1, "read_only") is None
    assert approving((NEVER, anything), "fly", 0.0, "irreversible") is anything


def test_request_that_nobody_has_judged_is_asked_about() -> None:
    assert approval([Policy()], InteractionRequest("Delete it?")) is None


def test_approval_names_its_policy() -> None:
    request = InteractionRequest(id="q-1", tool_name="read_mail")
    assert approval(POLICIES, request) == InteractionResponse(
        "approve", by="policy reading", request_id="q-1"
    )


@pytest.mark.parametrize(
    "fields,text",
    [
        ({"confidence_min": 1.1}, "between 0 and 1"),
        ({"risk_max": "some"}, "read_only, data_modification, irreversible"),
        ({"tool": ""}, r"'\*' is for all"),
    ],
)
def test_policy_is_refused_when_it_cannot_decide(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Policy(**fields)


def test_risk_is_refused_when_there_is_no_such() -> None:
    with pytest.raises(UsageError, match="a risk is one of"):
        approving(POLICIES, "read_mail", 1.0, "some")  # type: ignore[arg-type]
