from __future__ import annotations

import asyncio
import itertools
import pathlib
import runpy
import threading
import time
from typing import Any

import pytest
from conftest import Server

from ottla import AsyncClient, Client, OttlaError, Position, TransportError

names = (f"topic-{i}" for i in itertools.count())


def new_topic(c: Client, partitions: int = 3) -> str:
    name = next(names)
    c.request("POST", "/topic", {"name": name, "partitions": partitions})
    return name


@pytest.mark.parametrize("group", [None, ""])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_a_consumer_without_a_group_is_refused_before_anything_is_asked(kind: Any, group: Any) -> None:
    with pytest.raises(ValueError, match="^a consumer needs a group; stream reads without one$"):
        kind("http://127.0.0.1:1").consumer("a", group=group)


def test_values_come_back_as_they_were(server: Server) -> None:
    values: list[Any] = [1, 1.5, "text", None, True, [1, {"a": "b"}], {"x": "ü\u2028"}, b"\x00\xff", b"plain"]
    with Client(server.url) as c:
        topic = new_topic(c, 1)
        for i, v in enumerate(values):
            committed = c.produce(topic, v, key=v, headers={"n": str(i)})
            assert (committed.partition, committed.offset, committed.duplicate) == (0, i, False)
        records, next_offset, end = c.records(topic, 0, offset=0)
        assert [r.value for r in records] == values
        assert [r.key for r in records] == [v for v in values]
        assert [r.headers["n"] for r in records] == [str(i) for i in range(len(values))]
        assert next_offset == end == len(values)


def test_an_idempotency_key_writes_once(server: Server) -> None:
    with Client(server.url) as c:
        topic = new_topic(c)
        first = c.produce(topic, 1, idempotency_key="k")
        again = c.produce(topic, 1, idempotency_key="k")
        assert (again.partition, again.offset, again.duplicate) == (first.partition, first.offset, True)
        with pytest.raises(OttlaError) as e:
            c.produce(topic, 2, idempotency_key="k", partition=first.partition)
        assert e.value.code == "idempotency_mismatch"
        assert (e.value.status, e.value.outcome, e.value.retriable) == (422, "none", False)


def test_errors_have_what_the_server_says(server: Server) -> None:
    with Client(server.url) as c:
        with pytest.raises(OttlaError) as e:
            c.request("GET", "/topic/none-of-that-name")
        assert e.value.code == "topic_not_found"
        assert e.value.request_id
        with pytest.raises(ValueError):
            Client("localhost:8080")


def test_a_producer_keeps_order_and_a_consumer_reads_all(server: Server) -> None:
    with Client(server.url) as c:
        topic = new_topic(c)
        with c.producer(topic) as p:
            assert p.send(range(1234), key="one", batch=100) == 1234
        assert p.flush() == []
        with c.consumer(topic, group=topic, max_records=100, wait=1) as consumer:
            got = [r.value for r in itertools.islice(consumer, 1234)]
        assert got == list(range(1234))


def test_what_was_not_acknowledged_comes_again(server: Server) -> None:
    with Client(server.url) as c:
        topic = new_topic(c, 1)
        with c.producer(topic) as p:
            p.send(range(10))
        with c.consumer(topic, group=topic, max_records=4, wait=1) as first:
            assert [r.value for r in first.poll().records] == [0, 1, 2, 3]
            assert [r.value for r in first.poll().records] == [4, 5, 6, 7]
        with c.consumer(topic, group=topic, max_records=4, wait=1) as second:
            assert [r.value for r in second.poll().records] == [4, 5, 6, 7]
            assert second.commit([Position(topic, 0, 6)]) == [Position(topic, 0, 6)]
            assert second.heartbeat(session_timeout=20) == [(topic, 0)]
        with c.consumer(topic, group=topic, wait=1) as third:
            assert [r.value for r in third.poll().records] == [6, 7, 8, 9]
            third.commit()
        with c.consumer(topic, group=topic, wait=0.05) as fourth:
            assert fourth.poll().records == ()


def test_two_consumers_share_and_survive_a_rebalance(server: Server) -> None:
    with Client(server.url) as c:
        topic = new_topic(c, 4)
        seen: dict[int, set[int]] = {1: set(), 2: set()}
        stop = threading.Event()

        def work(id: int) -> None:
            with Client(server.url) as own, own.consumer(topic, group=topic, consumer_id=id, max_records=10, wait=0.2) as consumer:
                while not stop.is_set():
                    seen[id].update(r.value for r in consumer.poll().records)

        workers = [threading.Thread(target=work, args=(id,)) for id in (1, 2)]
        workers[0].start()
        with c.producer(topic) as p:
            p.send(range(400))
            workers[1].start()
            deadline = time.monotonic() + 60
            n = 400
            while time.monotonic() < deadline and not (seen[2] and seen[1] | seen[2] >= set(range(n))):
                p.send(range(n, n + 20))
                n += 20
                time.sleep(0.02)
        stop.set()
        for w in workers:
            w.join()
        assert seen[2], "the second consumer got nothing"
        assert seen[1] | seen[2] >= set(range(n - 20))


def test_nothing_is_lost_or_doubled_over_a_kill(server: Server) -> None:
    with Client(server.url) as c:
        topic = new_topic(c)
        done = threading.Event()

        def kills() -> None:
            for _ in range(3):
                time.sleep(0.3)
                server.kill()
                server.start()
            done.set()

        killer = threading.Thread(target=kills)
        killer.start()
        written = 0
        with Client(server.url, patience=60) as own, own.producer(topic) as p:
            while not done.is_set():
                p.add(written, key="k")
                written += len(p.flush())
        killer.join()
        got: list[int] = []
        with Client(server.url, patience=60) as own, own.consumer(topic, group=topic, wait=0.5) as consumer:
            while len(got) < written:
                batch = consumer.poll()
                assert batch.records, f"{len(got)} of {written} came back"
                got += [r.value for r in batch.records]
        assert got == list(range(written))


def test_another_node_is_asked(server: Server) -> None:
    with Client(f"http://127.0.0.1:1, {server.url}") as c:
        topic = new_topic(c)
        assert c.produce(topic, 1).offset == 0
    with Client("http://127.0.0.1:1", patience=0.2) as lost, pytest.raises(TransportError) as e:
        lost.produce("x", 1)
    assert not e.value.sent


def test_a_stream_goes_on_behind_a_cursor(server: Server) -> None:
    with Client(server.url) as c:
        topic = new_topic(c)
        with c.producer(topic) as p:
            p.send(range(20))
        first = list(itertools.islice(c.stream(topic, start="earliest"), 8))
        rest = list(itertools.islice(c.stream(topic, after=first[-1].cursor), 12))
        assert sorted(r.value for r in first + rest) == list(range(20))
        assert c.request("GET", "/groups")["groups"] == [g for g in c.request("GET", "/groups")["groups"] if g["group"] != topic]


def test_the_async_client_does_the_same(server: Server) -> None:
    async def main() -> None:
        async with AsyncClient(server.url) as c:
            topic = next(names)
            await c.request("POST", "/topic", {"name": topic, "partitions": 3})
            committed = await asyncio.gather(*(c.produce(topic, i) for i in range(50)))
            assert len({(m.partition, m.offset) for m in committed}) == 50
            async with c.producer(topic) as p:
                assert await p.send(range(50, 100)) == 50
            got: set[int] = set()
            async with c.consumer(topic, group=topic, wait=1) as consumer:
                async for record in consumer:
                    got.add(record.value)
                    if len(got) == 100:
                        break
            assert got == set(range(100))
            streamed = 0
            async for _ in c.stream(topic, start="earliest"):
                streamed += 1
                if streamed == 100:
                    break

    asyncio.run(main())


def test_a_consumer_works_on_a_queue(server: Server) -> None:
    with Client(server.url) as c:
        topic = new_topic(c)
        c.request("PUT", f"/groups/{topic}", {"mode": "queue", "topics": [topic], "backoff_ms": [], "max_deliveries": 2})
        for i in range(4):
            c.produce(topic, i)
        due = c.produce(topic, "later", delay=0.5)
        seen: list[tuple[Any, int]] = []
        with c.consumer(topic, group=topic, wait=2, max_records=1) as worker:
            while len(seen) < 6:
                for record in worker.poll().records:
                    assert record.delivery is not None
                    seen.append((record.value, record.delivery.count))
                    if record.value == 1:
                        c.extend(record, ack_wait=60)
                        c.nack(record, reason="no")
                        with pytest.raises(OttlaError) as e:
                            c.ack(record)
                        assert e.value.code == "stale_receipt"
            assert worker.commit() == []
        assert sorted(map(str, seen)) == sorted(map(str, [(0, 1), (1, 1), (1, 2), (2, 1), (3, 1), ("later", 1)]))
        assert due.offset >= 0
        deadline = time.monotonic() + 10
        while any(p["position"] != p["end"] for p in c.request("GET", f"/groups/{topic}")["partitions"]):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        dead = [r for p in range(3) for r in c.records(topic + ".dead", p)[0]]
        assert [(r.value, r.headers["ottla-dead-reason"]) for r in dead] == [(1, "no")]


def test_both_clients_are_made_of_one_source() -> None:
    root = pathlib.Path(__file__).parent.parent
    made = runpy.run_path(str(root / "tools" / "make_clients.py"))
    for name in made["WORDS"]:
        assert (root / "src" / "ottla" / name).read_text() == made["make"](name), "run tools/make_clients.py"


def test_the_example_of_the_readme(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    text = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0].replace("http://127.0.0.1:8080", server.url)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("\n") == 1001
