"""Uses the client that openapi-python-client has made of /openapi.json."""

import sys
from typing import TypeVar

from ottla_client import Client
from ottla_client.api.groups import heartbeat, leave_group
from ottla_client.api.records import poll, produce, read_records
from ottla_client.models import (
    Batch,
    BatchPlaced,
    Error,
    ErrorCode,
    Event,
    Fetched,
    HeadersInType0,
    HeadersType0,
    Heartbeat,
    HeartbeatRequest,
    Placed,
    Poll,
    RecordIn,
)

T = TypeVar("T")


def expect(kind: type[T], answer: object) -> T:
    assert isinstance(answer, kind), answer
    return answer


def main(server: str) -> None:
    client = Client(base_url=server)
    headers = HeadersInType0.from_dict({"source": "test"})
    event = Event(topic="generated-py", key="a", value={"a": [1, None]}, headers=headers)
    placed = expect(Placed, produce.sync(client=client, body=event))
    assert placed.committed, placed
    batch = Batch(topic="generated-py", records=[RecordIn(value=n, partition=placed.partition) for n in range(3)])
    assert expect(BatchPlaced, produce.sync(client=client, body=batch)).count == 3

    topics = ["generated-py"]
    mine = expect(Poll, poll.sync(client=client, topic=topics, group="py", auto_commit=False))
    values = [record.value for record in mine.records]
    assert values == [{"a": [1, None]}, 0, 1, 2], values
    assert expect(HeadersType0, mine.records[0].headers).to_dict() == {"source": "test"}
    lease = expect(
        Heartbeat, heartbeat.sync(mine.group, mine.consumer_id, client=client, body=HeartbeatRequest(session_timeout_ms=20000))
    )
    assert lease.lease_ms == 20000 and lease.generation == mine.generation, lease
    done = poll.sync(
        client=client, topic=topics, group="py", consumer_id=mine.consumer_id, auto_commit=False, ack=mine.cursor, timeout_ms=0
    )
    assert expect(Poll, done).records == []

    stale = poll.sync(client=client, topic=["generated-ppy"])
    error = expect(Error, stale)
    assert error.code == ErrorCode.TOPIC_NOT_FOUND and not error.retriable, error
    fetched = expect(Fetched, read_records.sync("generated-py", placed.partition, client=client))
    assert fetched.next_offset == 4, fetched
    assert leave_group.sync_detailed("py", mine.consumer_id, client=client).status_code == 204
    print("python client: ok")


main(sys.argv[1])
