"""What executors and stores raise."""

from __future__ import annotations

from typing import Literal

from weft.errors import WeftError

Code = Literal["not_found", "invalid_input", "provider_unavailable"]


class ExecutorError(WeftError):
    """An executor did not do what was asked; `code` says which sort of trouble it is.

    `not_found`: no such workflow, executor or running run; `invalid_input`: what was asked cannot be;
    `provider_unavailable`: a store or a service did not answer, or a retried function failed every time.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code


class StoreError(WeftError):
    """A store did not do what was asked. The text begins with `<provider>/<operation>: `."""


class FencedStoreError(StoreError):
    """Another store has taken over as the owner; nothing that this one wrote since is in the log."""
