from __future__ import annotations

from typing import Any


class OttlaError(Exception):
    """An answer of the server that says that a request failed.

    ``code`` is the name to decide by (docs/errors.md lists them), ``outcome`` says
    whether anything happened all the same: ``none``, ``applied`` or ``unknown``.
    """

    def __init__(self, status: int, body: dict[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.code: str = str(body.get("code", "not_ottla"))
        self.error_code: int = int(body.get("error_code", status * 100))
        self.message: str = str(body.get("message", ""))
        self.retriable: bool = bool(body.get("retriable", status in (429, 503, 504)))
        self.outcome: str = str(body.get("outcome", "unknown"))
        self.request_id: str = str(body.get("request_id", ""))
        self.details: dict[str, Any] = body.get("details") or {}
        self.retry_after = retry_after
        super().__init__(f"{status} {self.code}: {self.message}")


class TransportError(Exception):
    """No answer came. ``sent`` is false where the request cannot have arrived."""

    def __init__(self, message: str, sent: bool) -> None:
        self.sent = sent
        super().__init__(message)
