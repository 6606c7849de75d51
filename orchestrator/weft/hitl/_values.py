"""A question to a person, and the answer. Both cross the log as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

InteractionType = Literal["approval", "feedback", "input", "annotation"]
"""What sort of answer is asked for."""
Risk = Literal["read_only", "data_modification", "irreversible"]
"""What may break when it goes wrong."""
Decision = Literal["approve", "reject", "modify"]


@dataclass(frozen=True, slots=True)
class InteractionRequest:
    """What a person is asked.

    `tool_name`, `input` are what is about to be done, `confidence` (0 to 1) how sure the asking side is that it is
    right, `risk` what it may break: what nobody has judged counts as unsure and irreversible. `timeout` goes before
    that of whoever asks. An `id` is given where there is none; people answer under it.
    """

    description: str = ""
    id: str = ""
    type: InteractionType = "approval"
    tool_name: str = ""
    input: dict[str, Any] = field(default_factory=dict)
    confidence: float = 0.0
    risk: Risk = "irreversible"
    timeout: timedelta | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InteractionResponse:
    """What a person said. `modified` is what is to be done instead, when the decision is `modify`."""

    decision: Decision
    by: str = ""
    feedback: str = ""
    modified: dict[str, Any] | None = None
    request_id: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
