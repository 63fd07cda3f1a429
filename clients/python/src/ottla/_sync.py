"""The client that blocks. Made by tools/make_clients.py."""

from __future__ import annotations

import time
import json
from collections.abc import Iterator, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar

import httpx

from . import _core
from ._core import Answer, Pause, Request, Steps
from ._errors import TransportError
from ._models import Batch, Committed, Position, Record
from ._transport import Servers, answer_of, headers_of, sent

T = TypeVar("T")


class Client:
    """A client of a server, or of the nodes of a fleet (URLs with commas between them).

    ``patience`` bounds in seconds how long an operation is tried again while the server
    is away or overloaded. ``verify`` and ``cert`` are those of httpx.
    """

    def __init__(
        self,
        servers: str = "http://127.0.0.1:8080",
        *,
        token: str | None = None,
        patience: float = 30.0,
        verify: Any = True,
        cert: Any = None,
        cluster: str | None = None,
    ) -> None:
        self._servers = Servers(servers)
        self._patience = patience
        self._cluster = cluster
        self._http = httpx.Client(
            headers=headers_of(token),
            verify=verify,
            cert=cert,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        )

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        answer: Answer | None = None
        lost: TransportError | None = None
        while True:
            try:
                step = steps.throw(lost) if lost is not None else steps.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer, lost = None, None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            try:
                answer = self._send(step)
            except TransportError as e:
                lost = e

    def _send(self, request: Request) -> Answer:
        refused: Answer | None = None
        for _ in self._servers.bases:
            try:
                response = self._http.request(
                    request.method,
                    self._servers.url(request),
                    params=tuple(request.query) or None,
                    content=request.body,
                    headers=request.headers,
                    timeout=httpx.Timeout(request.timeout, connect=5.0),
                )
            except httpx.TransportError as e:
                error = TransportError(f"{request.method} {request.path}: {e or type(e).__name__}", sent(e))
                if not self._servers.move_on() or error.sent:
                    raise error from e
                continue
            answer = answer_of(response)
            if not self._servers.refused(answer):
                return answer
            refused = answer
            self._servers.move_on()
        if refused is not None:
            return refused
        raise TransportError(f"{request.method} {request.path}: none of the servers can be reached", sent=False)

    def request(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """Sends a request for which there is no method; returns the JSON of the answer."""
        return self._run(_core.once(_core.json_request(method, path, body, (query or {}).items())))

    def produce(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
        timestamp: int | None = None,
        deliver_at: int | None = None,
        delay: float | None = None,
        idempotency_key: str | None = None,
    ) -> Committed:
        """Writes one record, and returns where it is once a majority has it on disk.

        Values and keys are any JSON, or bytes. It is written once, however often it has
        to be sent; an ``idempotency_key`` of your own makes that hold over restarts.
        Queues give it to a worker no earlier than ``deliver_at`` (milliseconds since
        1970), or ``delay`` seconds from now.
        """
        record = _core.record_body(
            value, key, partition=partition, headers=headers, timestamp=timestamp, deliver_at=deliver_at, delay=delay
        )
        return self._run(_core.produce(topic, record, self._cluster, idempotency_key, self._patience))

    def producer(self, topic: str) -> Producer:
        """A producer of batches, in order."""
        return Producer(self, _core.ProducerState(topic, self._cluster, self._patience))

    def consumer(
        self,
        topics: str | Iterable[str],
        *,
        group: str,
        consumer_id: int | None = None,
        max_records: int = 500,
        wait: float = 5.0,
        session_timeout: float | None = None,
        start: str | None = None,
        auto_create: bool = False,
    ) -> Consumer:
        """A member of a group; ``stream`` reads without one, and leaves nothing behind.
        ``start`` is ``earliest``, ``latest`` or milliseconds since 1970: where a group
        begins that has no offsets. Times are in seconds. Raises ValueError where no group
        is named."""
        if not group:
            raise ValueError("a consumer needs a group; stream reads without one")
        names = [topics] if isinstance(topics, str) else list(topics)
        lease = None if session_timeout is None else int(session_timeout * 1000)
        state = _core.ConsumerState(
            names, group, self._cluster, consumer_id, max_records, int(wait * 1000), lease, start, auto_create, self._patience
        )
        return Consumer(self, state)

    def ack(self, *records: Record) -> int:
        """Ends records of a queue: they are never given to it again. Returns of how many;
        raises OttlaError ``stale_receipt`` where all were given again or are ended."""
        return self._run(_core.say("ack", records, {}, self._patience))

    def nack(self, *records: Record, delay: float | None = None, reason: str | None = None, dead: bool = False) -> int:
        """Gives records of a queue back: they are given again after ``delay`` seconds, or as
        the queue has it; with ``dead`` they go to the dead letters."""
        fields = {"delay_ms": None if delay is None else int(delay * 1000), "reason": reason, "dead": dead or None}
        return self._run(_core.say("nack", records, fields, self._patience))

    def extend(self, *records: Record, ack_wait: float) -> int:
        """Moves the deadlines of records of a queue to so many seconds from now."""
        return self._run(_core.say("extend", records, {"ack_wait_ms": int(ack_wait * 1000)}, self._patience))

    def records(
        self,
        topic: str,
        partition: int,
        *,
        offset: int | None = None,
        timestamp: int | None = None,
        max_records: int = 500,
        wait: float = 0.0,
    ) -> tuple[list[Record], int, int]:
        """Reads a partition without a group: the records, the next offset and the end."""
        return self._run(
            _core.records(topic, partition, offset, timestamp, max_records, int(wait * 1000), self._cluster, self._patience)
        )

    def stream(self, topic: str, *, start: str = "latest", after: str | None = None, key: str | None = None) -> Iterator[Record]:
        """Reads a topic without a group, from all partitions, for ever. Each record has a
        ``cursor``, behind which ``after`` goes on. Lost connections are made again."""
        pause = 0.1
        while True:
            query = {"from": start} if after is None else {"after": after}
            if key is not None:
                query["key"] = key
            if self._cluster:
                query["cluster"] = self._cluster
            try:
                with self._http.stream(
                    "GET",
                    self._servers.bases[self._servers.at] + f"/topic/{topic}/stream",
                    params=query,
                    headers={"Accept": "application/x-ndjson"},
                    timeout=httpx.Timeout(60.0, connect=5.0),
                ) as response:
                    if response.status_code >= 300:
                        response.read()
                        _core.decoded(answer_of(response))
                    for line in response.iter_lines():
                        if not line.strip():
                            continue
                        body = json.loads(line)
                        if "offset" not in body:
                            continue  # a gap, or a sign of life
                        record = Record.of(body)
                        after, pause = record.cursor or after, 0.1
                        yield record
            except httpx.TransportError:
                self._servers.move_on()
            time.sleep(pause)
            pause = min(5.0, pause * 2)


class Producer:
    """Writes batches in order. A batch that has to be sent again is written once."""

    def __init__(self, client: Client, state: _core.ProducerState) -> None:
        self._client, self._state = client, state
        self._waiting: list[dict[str, Any]] = []

    def add(
        self,
        value: Any,
        *,
        key: Any = None,
        partition: int | None = None,
        headers: Mapping[str, str] | None = None,
        timestamp: int | None = None,
    ) -> int:
        """Puts a record in the next batch, and returns how many are in it."""
        self._waiting.append(_core.record_body(value, key, partition=partition, headers=headers, timestamp=timestamp))
        return len(self._waiting)

    def flush(self) -> list[Committed]:
        """Writes the batch, and returns where its records are, in their order."""
        if not self._waiting:
            return []
        committed = self._client._run(self._state.batch(self._waiting))
        self._waiting = []
        return committed

    def send(self, values: Iterable[Any], *, key: Any = None, batch: int = 500) -> int:
        """Writes values in batches of at most ``batch`` records, and returns how many."""
        written = 0
        for value in values:
            if self.add(value, key=key) >= batch:
                written += len(self.flush())
        return written + len(self.flush())

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.flush()


class Consumer:
    """A member of a group: at least once, in order within a partition.

    Iterating gives records; each batch is acknowledged when its last record has been
    asked for and the next batch is polled. ``with`` leaves the group at the end.
    """

    def __init__(self, client: Client, state: _core.ConsumerState) -> None:
        self._client, self._state = client, state

    @property
    def consumer_id(self) -> int | None:
        """The id of the member, known after the first poll."""
        return self._state.consumer_id

    @property
    def group(self) -> str:
        return self._state.group

    def poll(self) -> Batch:
        """Acknowledges the batch before, and returns the next one; it may be empty. Of a
        queue the records have a ``delivery``."""
        return self._client._run(self._state.poll())

    def commit(self, positions: Iterable[Position] | None = None) -> list[Position]:
        """Commits positions, or all that was delivered, without a poll."""
        return self._client._run(self._state.commit(positions))

    def heartbeat(self, session_timeout: float | None = None) -> list[tuple[str, int]]:
        """Renews the lease while a job runs. Returns the partitions that are still owned;
        raises OttlaError ``unknown_member`` where others have them."""
        lease = None if session_timeout is None else int(session_timeout * 1000)
        return self._client._run(self._state.heartbeat(lease))

    def close(self) -> None:
        """Leaves the group: the others get its partitions at once."""
        self._client._run(self._state.leave())

    def __iter__(self) -> Iterator[Record]:
        while True:
            for record in (self.poll()).records:
                yield record

    def __enter__(self) -> Consumer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
