from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Delivery:
    """Of a record of a queue: it is with this worker until the deadline, in milliseconds
    since 1970. ``count`` is how often it was given, this time included."""

    receipt: str
    count: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read.

    ``key`` and ``value`` are the JSON that was sent; what was no JSON is ``bytes``.
    ``timestamp`` is in milliseconds since 1970.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: Any
    value: Any
    headers: dict[str, str] = field(default_factory=dict)
    cursor: str | None = None
    deliver_at: int | None = None
    delivery: Delivery | None = None

    @classmethod
    def of(cls, body: dict[str, Any]) -> Record:
        given = body.get("delivery")
        return cls(
            topic=body["topic"],
            partition=body["partition"],
            offset=body["offset"],
            timestamp=body["timestamp"],
            key=_decoded(body, "key"),
            value=_decoded(body, "value"),
            headers=body.get("headers") or {},
            cursor=body.get("cursor"),
            deliver_at=body.get("deliver_at"),
            delivery=Delivery(given["receipt"], given["count"], given["deadline"]) if given else None,
        )


def _decoded(body: dict[str, Any], name: str) -> Any:
    if name + "_base64" in body:
        return base64.b64decode(body[name + "_base64"])
    if name + "_text" in body:
        return str(body[name + "_text"]).encode()
    return body.get(name)


def encoded(name: str, value: Any) -> dict[str, Any]:
    """The field of a request for a key or value: bytes go as base64, all else as JSON."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {name + "_base64": base64.b64encode(bytes(value)).decode()}
    return {name: value}


@dataclass(frozen=True, slots=True)
class Committed:
    """Where a record stands. ``duplicate`` says that an earlier try had put it there."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None = None
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset to read of a partition."""

    topic: str
    partition: int
    offset: int

    def body(self) -> dict[str, Any]:
        return {"topic": self.topic, "partition": self.partition, "offset": self.offset}


@dataclass(frozen=True, slots=True)
class Gap:
    """Records that were removed before they were read."""

    topic: str
    partition: int
    asked: int
    earliest: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The answer of a poll. ``cursor`` acknowledges it."""

    consumer_id: int
    group: str
    generation: int
    records: tuple[Record, ...]
    cursor: str | None
    timed_out: bool

    @classmethod
    def of(cls, body: dict[str, Any]) -> Batch:
        return cls(
            consumer_id=body["consumer_id"],
            group=body["group"],
            generation=body["generation"],
            records=tuple(Record.of(r) for r in body["records"]),
            cursor=body.get("cursor") or None,
            timed_out=body["timed_out"],
        )
