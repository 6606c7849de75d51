"""What the stand-in answers: rules instead of a model, so that a run can be repeated and checked."""

from __future__ import annotations

import json
import re
from typing import Any

SOURCES = {
    "encyclopedia": {
        "lighthouse": "The Pharos of Alexandria was about a hundred metres high.",
        "tide": "Tides follow the moon and the sun.",
    },
    "papers": {
        "lighthouse": "Ruins on the sea floor suggest a tower of at least a hundred metres.",
    },
    "news": {"lighthouse": "Divers have found more blocks of the Pharos."},
}
"""By name, what each says about which word. Any other source is away."""

_FINDING = re.compile(r"^- \[(\w+)\] (.+)$", re.MULTILINE)
_FEEDBACK = re.compile(r"^A reviewer says: (.+)$", re.MULTILINE)
_ORDER = re.compile(r"order-\d+")


def found(source: str, question: str) -> str | None:
    """What a source says about a question; empty when it says nothing, None when it is away."""
    if source not in SOURCES:
        return None
    words = question.lower()
    return " ".join(text for word, text in SOURCES[source].items() if word in words)


def summed_up(prompt: str) -> dict[str, Any]:
    """The findings of the prompt in one answer. Each source makes it surer, and so does what a reviewer says."""
    findings = _FINDING.findall(prompt)
    feedback = _FEEDBACK.findall(prompt)
    confidence = min(0.95, 0.2 + 0.25 * len(findings) + 0.2 * len(feedback))
    text = " ".join(text for _, text in findings) or "Nothing was found."
    answer = {"answer": " ".join([text, *feedback]), "confidence": round(confidence, 2)}
    return {"role": "assistant", "content": json.dumps(answer)}


def decide(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The next step of a customer-care agent: look an order up, give the money back when it is damaged, answer.

    Of an order "at once" it wants to give the money back without a look, and of "for ever" it never knows enough.
    """
    task = next(each["content"] for each in messages if each["role"] == "user")
    results = [each["content"] for each in messages if each["role"] == "tool"]
    order = _ORDER.search(task)
    if order is None:
        return {"role": "assistant", "content": "Which order is it about?"}
    is_hasty = "at once" in task and not results
    if is_hasty or any('"damaged": true' in each for each in results[-1:]):
        return _call("refund", {"order_id": order[0]}, len(results))
    is_looked_up = any('"damaged"' in each for each in results)
    if not is_looked_up or "for ever" in task:
        return _call("look_up_order", {"order_id": order[0]}, len(results))
    return {"role": "assistant", "content": f"{order[0]}: {results[-1]}"}


def _call(name: str, arguments: dict[str, Any], number: int) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"call-{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}
