"""Which server is asked, and what an answer says of it. Both clients share it."""

from __future__ import annotations

import json

import httpx

from ._core import MOVED_ON, Answer, Request


class Servers:
    """One server, or the nodes of a fleet: any of them answers everything."""

    def __init__(self, servers: str) -> None:
        self.bases = [s.strip().rstrip("/") for s in servers.split(",")]
        for base in self.bases:
            url = httpx.URL(base)
            if url.scheme not in ("http", "https") or not url.host:
                raise ValueError(f"server {base!r} is not a URL such as http://127.0.0.1:8080")
        self.at = 0

    def url(self, request: Request) -> str:
        return self.bases[self.at] + request.path

    def move_on(self) -> bool:
        """Has the next node asked; false where there is only one."""
        self.at = (self.at + 1) % len(self.bases)
        return len(self.bases) > 1

    def refused(self, answer: Answer) -> bool:
        """Whether another node may answer what this one has refused without effect."""
        if answer.status != 503 or len(self.bases) == 1:
            return False
        try:
            body = json.loads(answer.body)
        except ValueError:
            return False
        return isinstance(body, dict) and body.get("outcome") == "none" and body.get("code") in MOVED_ON


def answer_of(response: httpx.Response) -> Answer:
    after = response.headers.get("Retry-After")
    return Answer(response.status_code, response.content, float(after) if after and after.isdigit() else None)


def sent(error: httpx.TransportError) -> bool:
    """Whether the request may have arrived."""
    return not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol))


def headers_of(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}
