"""Makes src/ottla/_sync.py and _aio.py of one source; words in angle brackets differ.

Run it in clients/python after a change; a test holds the two files against it."""

SRC = '''"""<DOC>"""

from __future__ import annotations

import <SLEEPMOD>
import json
from collections.abc import <ITERATOR>, Iterable, Mapping
from types import TracebackType
from typing import Any, TypeVar

import httpx

from . import _core
from ._core import Answer, Pause, Request, Steps
from ._errors import TransportError
from ._models import Batch, Committed, Position, Record
from ._transport import Servers, answer_of, headers_of, sent

T = TypeVar("T")


class <P>Client:
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
        self._http = httpx.<P>Client(
            headers=headers_of(token),
            verify=verify,
            cert=cert,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        )

    <DEF> <CLOSE>(self) -> None:
        """Closes the connections."""
        <AWAIT>self._http.<CLOSE>()

    <DEF> __<A>enter__(self) -> <P>Client:
        return self

    <DEF> __<A>exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        <AWAIT>self.<CLOSE>()

    <DEF> _run(self, steps: Steps[T]) -> T:
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
                <AWAIT><SLEEPMOD>.sleep(step.seconds)
                continue
            try:
                answer = <AWAIT>self._send(step)
            except TransportError as e:
                lost = e

    <DEF> _send(self, request: Request) -> Answer:
        refused: Answer | None = None
        for _ in self._servers.bases:
            try:
                response = <AWAIT>self._http.request(
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

    <DEF> request(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """Sends a request for which there is no method; returns the JSON of the answer."""
        return <AWAIT>self._run(_core.once(_core.json_request(method, path, body, (query or {}).items())))

    <DEF> produce(
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
        return <AWAIT>self._run(_core.produce(topic, record, self._cluster, idempotency_key, self._patience))

    def producer(self, topic: str) -> <P>Producer:
        """A producer of batches, in order."""
        return <P>Producer(self, _core.ProducerState(topic, self._cluster, self._patience))

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
    ) -> <P>Consumer:
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
        return <P>Consumer(self, state)

    <DEF> ack(self, *records: Record) -> int:
        """Ends records of a queue: they are never given to it again. Returns of how many;
        raises OttlaError ``stale_receipt`` where all were given again or are ended."""
        return <AWAIT>self._run(_core.say("ack", records, {}, self._patience))

    <DEF> nack(self, *records: Record, delay: float | None = None, reason: str | None = None, dead: bool = False) -> int:
        """Gives records of a queue back: they are given again after ``delay`` seconds, or as
        the queue has it; with ``dead`` they go to the dead letters."""
        fields = {"delay_ms": None if delay is None else int(delay * 1000), "reason": reason, "dead": dead or None}
        return <AWAIT>self._run(_core.say("nack", records, fields, self._patience))

    <DEF> extend(self, *records: Record, ack_wait: float) -> int:
        """Moves the deadlines of records of a queue to so many seconds from now."""
        return <AWAIT>self._run(_core.say("extend", records, {"ack_wait_ms": int(ack_wait * 1000)}, self._patience))

    <DEF> records(
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
        return <AWAIT>self._run(
            _core.records(topic, partition, offset, timestamp, max_records, int(wait * 1000), self._cluster, self._patience)
        )

    <DEF> stream(self, topic: str, *, start: str = "latest", after: str | None = None, key: str | None = None) -> <ITERATOR>[Record]:
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
                <ASYNC>with self._http.stream(
                    "GET",
                    self._servers.bases[self._servers.at] + f"/topic/{topic}/stream",
                    params=query,
                    headers={"Accept": "application/x-ndjson"},
                    timeout=httpx.Timeout(60.0, connect=5.0),
                ) as response:
                    if response.status_code >= 300:
                        <AWAIT>response.<READ>()
                        _core.decoded(answer_of(response))
                    <ASYNC>for line in response.<ALINES>():
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
            <AWAIT><SLEEPMOD>.sleep(pause)
            pause = min(5.0, pause * 2)


class <P>Producer:
    """Writes batches in order. A batch that has to be sent again is written once."""

    def __init__(self, client: <P>Client, state: _core.ProducerState) -> None:
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

    <DEF> flush(self) -> list[Committed]:
        """Writes the batch, and returns where its records are, in their order."""
        if not self._waiting:
            return []
        committed = <AWAIT>self._client._run(self._state.batch(self._waiting))
        self._waiting = []
        return committed

    <DEF> send(self, values: Iterable[Any], *, key: Any = None, batch: int = 500) -> int:
        """Writes values in batches of at most ``batch`` records, and returns how many."""
        written = 0
        for value in values:
            if self.add(value, key=key) >= batch:
                written += len(<AWAIT>self.flush())
        return written + len(<AWAIT>self.flush())

    <DEF> __<A>enter__(self) -> <P>Producer:
        return self

    <DEF> __<A>exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            <AWAIT>self.flush()


class <P>Consumer:
    """A member of a group: at least once, in order within a partition.

    Iterating gives records; each batch is acknowledged when its last record has been
    asked for and the next batch is polled. ``with`` leaves the group at the end.
    """

    def __init__(self, client: <P>Client, state: _core.ConsumerState) -> None:
        self._client, self._state = client, state

    @property
    def consumer_id(self) -> int | None:
        """The id of the member, known after the first poll."""
        return self._state.consumer_id

    @property
    def group(self) -> str:
        return self._state.group

    <DEF> poll(self) -> Batch:
        """Acknowledges the batch before, and returns the next one; it may be empty. Of a
        queue the records have a ``delivery``."""
        return <AWAIT>self._client._run(self._state.poll())

    <DEF> commit(self, positions: Iterable[Position] | None = None) -> list[Position]:
        """Commits positions, or all that was delivered, without a poll."""
        return <AWAIT>self._client._run(self._state.commit(positions))

    <DEF> heartbeat(self, session_timeout: float | None = None) -> list[tuple[str, int]]:
        """Renews the lease while a job runs. Returns the partitions that are still owned;
        raises OttlaError ``unknown_member`` where others have them."""
        lease = None if session_timeout is None else int(session_timeout * 1000)
        return <AWAIT>self._client._run(self._state.heartbeat(lease))

    <DEF> <CLOSE>(self) -> None:
        """Leaves the group: the others get its partitions at once."""
        <AWAIT>self._client._run(self._state.leave())

    <DEF> __<A>iter__(self) -> <ITERATOR>[Record]:
        while True:
            for record in (<AWAIT>self.poll()).records:
                yield record

    <DEF> __<A>enter__(self) -> <P>Consumer:
        return self

    <DEF> __<A>exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        <AWAIT>self.<CLOSE>()
'''

WORDS = {
    "_sync.py": {
        "DOC": "The client that blocks. Made by tools/make_clients.py.", "SLEEPMOD": "time", "ITERATOR": "Iterator", "P": "", "DEF": "def",
        "CLOSE": "close", "AWAIT": "", "A": "", "ASYNC": "", "READ": "read", "ALINES": "iter_lines",
    },
    "_aio.py": {
        "DOC": "The client for asyncio. Made by tools/make_clients.py.", "SLEEPMOD": "asyncio", "ITERATOR": "AsyncIterator", "P": "Async",
        "DEF": "async def", "CLOSE": "aclose", "AWAIT": "await ", "A": "a", "ASYNC": "async ", "READ": "aread", "ALINES": "aiter_lines",
    },
}


def make(name: str) -> str:
    text = SRC
    for word, instead in WORDS[name].items():
        text = text.replace(f"<{word}>", instead)
    return text


if __name__ == "__main__":
    for name in WORDS:
        with open(f"src/ottla/{name}", "w") as f:
            f.write(make(name))
