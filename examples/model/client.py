"""Asks any server that speaks the chat-completions protocol: `MODEL_URL`, `MODEL_NAME` and `MODEL_KEY` say which.

Called by activities only: workflow code must not open a socket.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from weft.errors import Failure

TIMEOUT_S = 60.0
_ROOM_FOR_RETRIES = {408, 409, 429}
"""Refusals that another attempt may not meet; those from 500 on as well."""


class ModelRefused(Failure):
    """The server will not take this request, however often it is sent."""


class ModelUnavailable(Failure):
    """The server did not answer, or is overloaded: the activity is tried again."""


async def chat(
    messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """The model's next message: with `content`, or with `tool_calls`."""
    request: dict[str, Any] = {
        "model": os.environ.get("MODEL_NAME", "stub"),
        "messages": list(messages),
    }
    if tools:
        request["tools"] = list(tools)
    answer = await asyncio.to_thread(_exchange, "POST", "/v1/chat/completions", request)
    message: dict[str, Any] = answer["choices"][0]["message"]
    return message


async def ask(prompt: str) -> str:
    """What the model says to one prompt."""
    message = await chat([{"role": "user", "content": prompt}])
    return str(message["content"])


async def look_into(source: str, question: str) -> str:
    """What a source of the stand-in says about a question; empty when it says nothing."""
    path = f"/sources/{quote(source)}?q={quote(question)}"
    return str((await asyncio.to_thread(_exchange, "GET", path, None))["text"])


def _exchange(method: str, path: str, body: object) -> Any:
    """One request, in a thread. Raises ModelRefused or ModelUnavailable."""
    place = urlsplit(os.environ.get("MODEL_URL", "http://127.0.0.1:8089"))
    connect = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    connection = connect(place.netloc, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("MODEL_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    try:
        connection.request(method, place.path.rstrip("/") + path, json.dumps(body), headers)
        response = connection.getresponse()
        data = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise ModelUnavailable(f"no answer from {place.netloc}: {error}") from error
    finally:
        connection.close()
    if response.status >= 500 or response.status in _ROOM_FOR_RETRIES:
        raise ModelUnavailable(f"{place.netloc} answers {response.status}")
    if response.status != 200:
        raise ModelRefused(
            f"{place.netloc} answers {response.status}: {data[:200]!r}", non_retryable=True
        )
    return json.loads(data)
