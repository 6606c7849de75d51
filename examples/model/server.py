"""A model server's stand-in: it speaks the chat-completions protocol, and answers by a few rules, the same each time.

    python -m examples.model.server          # http://127.0.0.1:8089

So the examples run, and are tested, without a model. It has two sorts of rules: what was found is summed up in JSON,
and with tools at hand it decides which to call (`rules.py`). It serves the sources that the research example reads,
too: `GET /sources/NAME?q=QUESTION`.
"""

from __future__ import annotations

import argparse
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from examples.model.rules import decide, found, summed_up


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/v1/chat/completions":
            self._answer(404, {"error": f"there is no {self.path}"})
            return
        request = json.loads(body)
        messages = request["messages"]
        message = decide(messages) if request.get("tools") else summed_up(messages[-1]["content"])
        self._answer(
            200, {"object": "chat.completion", "choices": [{"index": 0, "message": message}]}
        )

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        text = found(unquote(place.path).removeprefix("/sources/"), parse_qs(place.query)["q"][0])
        if text is None:
            self._answer(503, {"error": "this source is away"})
        else:
            self._answer(200, {"text": text})

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Not on the terminal of whoever runs an example."""


def model_server(port: int = 0) -> ThreadingHTTPServer:
    """Bound to the loopback, not yet serving; 0 is any free port."""
    return ThreadingHTTPServer(("127.0.0.1", port), _Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a model's stand-in until interrupted.")
    parser.add_argument("--port", type=int, default=8089)
    with model_server(parser.parse_args().port) as server:
        print(f"serving on http://127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    main()
