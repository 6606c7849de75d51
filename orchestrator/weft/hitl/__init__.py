"""The human in the loop: what people are asked, what they answer, and which requests need nobody.

`weft.workflow.Questions` asks from within a workflow: an open question is part of the run and outlives every worker.
`Manager` with `weft.activity.human_activity` asks from within an activity: for answers that come within minutes, and
for applications that have a way of their own to reach people. docs/patterns.md says which to take.
"""

from weft.hitl._manager import DEFAULT_TIMEOUT, Manager
from weft.hitl._policies import Policy, approval, approving
from weft.hitl._values import InteractionRequest, InteractionResponse, InteractionType, Risk

__all__ = [
    "DEFAULT_TIMEOUT",
    "InteractionRequest",
    "InteractionResponse",
    "InteractionType",
    "Manager",
    "Policy",
    "Risk",
    "approval",
    "approving",
]
