"""What both clients do, without the sending of requests: each operation is a generator
that yields requests and pauses and is sent the answers."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ._errors import OttlaError, TransportError
from ._models import Batch, Committed, Position, Record, encoded


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    timeout: float = 30.0  # seconds until the whole answer is there


@dataclass(slots=True)
class Pause:
    seconds: float


@dataclass(slots=True)
class Answer:
    status: int
    body: bytes
    retry_after: float | None = None


T = TypeVar("T")
Steps = Generator["Request | Pause", "Answer | None", T]

MOVED_ON = ("shutting_down", "joining", "node_unreachable", "starting")


def decoded(answer: Answer) -> Any:
    """The JSON of an answer. Raises OttlaError where it is an error."""
    try:
        body = json.loads(answer.body) if answer.body else None
    except ValueError:
        body = {"message": answer.body[:200].decode(errors="replace")}
        if answer.status < 300:
            raise OttlaError(answer.status, {"message": "the answer is not JSON; is it an Ottla server?"}) from None
    if answer.status >= 300:
        raise OttlaError(answer.status, body if isinstance(body, dict) else {}, answer.retry_after)
    return body


def once(request: Request) -> Steps[Any]:
    answer = yield request
    assert answer is not None
    return decoded(answer)


def repeated(request: Request, patience: float, repeatable: bool) -> Steps[Any]:
    """Sends a request until it is answered for good.

    What certainly had no effect is always sent again; what may have had one only where
    that does no harm. ``patience`` bounds the time between tries, in seconds, in all.
    """
    spent, tries = 0.0, 0
    while True:
        try:
            return (yield from once(request))
        except OttlaError as e:
            if not e.retriable or e.outcome != "none" and not repeatable:
                raise
            wait, error = e.retry_after or 0.0, e
        except TransportError as lost:
            if lost.sent and not repeatable:
                raise
            wait, error = 0.0, lost  # type: ignore[assignment]
        tries += 1
        wait = max(wait, min(5.0, 0.05 * 2**tries)) * random.uniform(0.8, 1.2)
        if spent + wait > patience:
            raise error
        spent += wait
        yield Pause(wait)


def json_request(method: str, path: str, body: Any = None, query: Iterable[tuple[str, str]] = (), timeout: float = 30.0) -> Request:
    data = None if body is None else json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
    headers = {} if body is None else {"Content-Type": "application/json"}
    return Request(method, path, list(query), data, headers, timeout)


def record_body(
    value: Any, key: Any = None, *, partition: int | None = None, headers: Mapping[str, str] | None = None,
    timestamp: int | None = None, deliver_at: int | None = None, delay: float | None = None
) -> dict[str, Any]:
    body = {**encoded("value", value)}
    if key is not None:
        body.update(encoded("key", key))
    if partition is not None:
        body["partition"] = partition
    if headers:
        body["headers"] = dict(headers)
    if timestamp is not None:
        body["timestamp"] = timestamp
    if deliver_at is not None:
        body["deliver_at"] = deliver_at
    if delay is not None:
        body["delay_ms"] = int(delay * 1000)
    return body


def receipts_of(records: Iterable[Record]) -> list[str]:
    """The receipts of records of a queue."""
    return [r.delivery.receipt for r in records if r.delivery is not None]


def say(verb: str, records: Iterable[Record], fields: Mapping[str, Any], patience: float) -> Steps[int]:
    """Says something of deliveries; returns of how many it was taken."""
    body = {"receipts": receipts_of(records), **{k: v for k, v in fields.items() if v is not None}}
    answer = yield from repeated(json_request("POST", "/events/" + verb, body), patience, repeatable=True)
    return int(answer["count"])


def produce(topic: str, record: dict[str, Any], cluster: str | None, idempotency_key: str | None, patience: float) -> Steps[Committed]:
    """Writes one record exactly once, however often it has to be sent."""
    request = json_request("POST", "/events", {"topic": topic, **record, **({"cluster": cluster} if cluster else {})})
    request.headers["Idempotency-Key"] = idempotency_key or uuid.uuid4().hex
    body = yield from repeated(request, patience, repeatable=True)
    return Committed(body["topic"], body["partition"], body["offset"], body.get("timestamp"), body.get("duplicate", False))


class ProducerState:
    """One producer: its id and sequence make a repeated batch count once."""

    def __init__(self, topic: str, cluster: str | None, patience: float) -> None:
        self.topic, self.cluster, self.patience = topic, cluster, patience
        self.id, self.sequence = "py-" + uuid.uuid4().hex, 0

    def batch(self, records: list[dict[str, Any]]) -> Steps[list[Committed]]:
        """Writes a batch; raises where not all of it is certainly committed."""
        self.sequence += 1
        query = [("topic", self.topic), ("offsets", "true")]
        if self.cluster:
            query.append(("cluster", self.cluster))
        lines = b"\n".join(json.dumps(r, separators=(",", ":"), allow_nan=False).encode() for r in records)
        request = Request("POST", "/events", query, lines, {
            "Content-Type": "application/x-ndjson",
            "Producer-Id": self.id,
            "Producer-Epoch": "0",
            "Producer-Seq": str(self.sequence),
        })
        spent = 0.0
        while True:
            body = yield from repeated(request, self.patience - spent, repeatable=True)
            if body["committed"]:
                duplicate = bool(body.get("duplicate", False))
                return [Committed(self.topic, o["partition"], o["offset"], None, duplicate) for o in body["offsets"]]
            # Some partitions failed (207). The same batch again completes it where it is missing.
            errors = [p["error"] for p in body["partitions"] if "error" in p]
            if not all(e.get("retriable") for e in errors) or spent >= self.patience:
                raise OttlaError(207, errors[0] if errors else {"message": "not all of the batch is committed"})
            spent += 0.5
            yield Pause(0.5)


@dataclass(slots=True)
class ConsumerState:
    """One member of a group, with at-least-once delivery: a batch is acknowledged by
    the poll for the next one."""

    topics: list[str]
    group: str
    cluster: str | None
    consumer_id: int | None
    max_records: int
    wait_ms: int
    session_timeout_ms: int | None
    start: str | None
    auto_create: bool
    patience: float
    cursor: str | None = None
    generation: int | None = None
    joined: bool = False
    held: tuple[Record, ...] = ()

    def query(self) -> list[tuple[str, str]]:
        q = [("topic", t) for t in self.topics]
        q += [("auto_commit", "false"), ("max_records", str(self.max_records)), ("timeout_ms", str(self.wait_ms))]
        for name, value in (
            ("group", self.group),
            ("cluster", self.cluster),
            ("consumer_id", self.consumer_id),
            ("session_timeout_ms", self.session_timeout_ms),
            ("from", self.start),
            ("ack", self.cursor),
        ):
            if value is not None:
                q.append((name, str(value)))
        if self.auto_create:
            q.append(("auto_create", "true"))
        return q

    def poll(self) -> Steps[Batch]:
        """Acknowledges the last batch and returns the next one, which may be empty."""
        yield from self.acknowledge()
        while True:
            request = Request("GET", "/events", self.query(), timeout=self.wait_ms / 1000 + 30)
            try:
                body = yield from repeated(request, self.patience, repeatable=True)
            except OttlaError as e:
                if e.code not in ("stale_generation", "foreign_cursor") or self.cursor is None:
                    raise
                self.cursor = None  # others have its partitions: what was not acknowledged comes again
                continue
            batch = Batch.of(body)
            self.consumer_id, self.group, self.generation, self.joined = batch.consumer_id, batch.group, batch.generation, True
            self.cursor = batch.cursor if batch.records else None
            self.held = tuple(r for r in batch.records if r.delivery is not None)
            return batch

    def acknowledge(self) -> Steps[None]:
        """Acknowledges the last batch of a queue. What others have been given is not ours."""
        if not self.held:
            return
        try:
            yield from say("ack", self.held, {}, self.patience)
        except OttlaError as e:
            if e.code != "stale_receipt":
                raise
        self.held = ()

    def commit(self, positions: Iterable[Position] | None) -> Steps[list[Position]]:
        """Commits positions, or all that was delivered, at once."""
        if positions is None and self.held:
            yield from self.acknowledge()
            return []
        body: dict[str, Any] = {"consumer_id": self.consumer_id, "group": self.group}
        if self.cluster:
            body["cluster"] = self.cluster
        if positions is not None:
            body["offsets"] = [p.body() for p in positions]
        answer = yield from repeated(json_request("POST", "/offset", body), self.patience, repeatable=True)
        return [Position(o["topic"], o["partition"], o["offset"]) for o in answer["offsets"]]

    def heartbeat(self, session_timeout_ms: int | None) -> Steps[list[tuple[str, int]]]:
        """Renews the lease while a job runs; returns the partitions that are still owned."""
        body = {} if session_timeout_ms is None else {"session_timeout_ms": session_timeout_ms}
        query = [("cluster", self.cluster)] if self.cluster else []
        path = f"/groups/{self.group}/members/{self.consumer_id}/heartbeat"
        answer = yield from repeated(json_request("POST", path, body, query), self.patience, repeatable=True)
        return [(a["topic"], a["partition"]) for a in answer["assignment"]]

    def leave(self) -> Steps[None]:
        """Gives the partitions to the others at once. Nothing more is acknowledged."""
        if not self.joined:
            return
        self.joined = False
        query = [("cluster", self.cluster)] if self.cluster else []
        try:
            yield from repeated(json_request("DELETE", f"/groups/{self.group}/members/{self.consumer_id}", query=query), 5.0, repeatable=True)
        except OttlaError as e:
            if e.status != 404 and e.code != "stale_generation":
                raise


def records(topic: str, partition: int, offset: int | None, timestamp: int | None, max_records: int, wait_ms: int, cluster: str | None, patience: float) -> Steps[tuple[list[Record], int, int]]:
    """A page of a partition, without a group; with the next offset and the high watermark."""
    query = [("max_records", str(max_records)), ("timeout_ms", str(wait_ms))]
    for name, value in (("offset", offset), ("timestamp", timestamp), ("cluster", cluster)):
        if value is not None:
            query.append((name, str(value)))
    path = f"/topic/{topic}/partitions/{partition}/records"
    body = yield from repeated(Request("GET", path, query, timeout=wait_ms / 1000 + 30), patience, repeatable=True)
    return [Record.of(r) for r in body["records"]], body["next_offset"], body["high_watermark"]
