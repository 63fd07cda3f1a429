"""Writes or reads the records of the compatibility matrix with one Kafka client.

usage: clients.py CLIENT write|read SERVERS TOPIC

Written are the records of records(); read are as many, printed one a line as JSON with
bytes in hexadecimal digits. KAFKA_SASL, if set, is how a client shows who it is:
MECHANISM USER TOKEN.
"""

import asyncio
import json
import os
import sys

MECHANISM, USER, TOKEN = os.environ.get("KAFKA_SASL", "  ").split(" ")
# For librdkafka, and for the clients that are Python only.
SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": MECHANISM, "sasl.username": USER, "sasl.password": TOKEN} if MECHANISM else {}
PYTHON_SASL = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": MECHANISM, "sasl_plain_username": USER, "sasl_plain_password": TOKEN} if MECHANISM else {}

CODECS = {"confluent-kafka": "zstd", "kafka-python": "gzip", "aiokafka": "lz4"}


def records(client):
    """What every client writes: (key, value, headers). Keys are the same for all."""
    for i in range(40):
        key = None if i % 10 == 9 else b"\xff\xfe%d" % i if i % 10 == 8 else b"user-%d" % i
        value = None if i % 7 == 6 and key else b'{"i":%d}' % i if i % 2 else b"\x00\xffbytes %d" % i
        headers = [("client", client.encode()), ("twice", b"1"), ("twice", b"\xff")] if i % 3 == 0 else []
        yield key, value, headers


def shown(partition, offset, key, value, headers):
    line = {
        "partition": partition,
        "offset": offset,
        "key": None if key is None else key.hex(),
        "value": None if value is None else value.hex(),
        "headers": [[name, None if v is None else v.hex()] for name, v in headers or []],
    }
    print(json.dumps(line))


def confluent_write(servers, topic, client):
    from confluent_kafka import Producer

    p = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "compression.type": CODECS[client], "partitioner": "murmur2_random", **SASL})
    failed = []
    for key, value, headers in records(client):
        p.produce(topic, key=key, value=value, headers=headers, on_delivery=lambda err, _: err and failed.append(err))
    p.flush(30)
    assert not failed, failed


def confluent_read(servers, topic, n):
    from confluent_kafka import Consumer

    c = Consumer({"bootstrap.servers": servers, "group.id": "matrix-confluent-" + topic, "auto.offset.reset": "earliest", "session.timeout.ms": 6000, **SASL})
    c.subscribe([topic])
    got = 0
    while got < n:
        m = c.poll(30)
        assert m is not None, "nothing came for 30 s"
        assert not m.error(), m.error()
        shown(m.partition(), m.offset(), m.key(), m.value(), m.headers())
        got += 1
    c.close()


def kafka_python_write(servers, topic, client):
    from kafka import KafkaProducer

    p = KafkaProducer(bootstrap_servers=servers, compression_type=CODECS[client], **PYTHON_SASL)
    sent = [p.send(topic, key=key, value=value, headers=headers) for key, value, headers in records(client)]
    for f in sent:
        f.get(30)
    p.close()


def kafka_python_read(servers, topic, n):
    from kafka import KafkaConsumer

    c = KafkaConsumer(topic, bootstrap_servers=servers, group_id="matrix-kafka-python-" + topic, auto_offset_reset="earliest", consumer_timeout_ms=30000, **PYTHON_SASL)
    got = 0
    for m in c:
        shown(m.partition, m.offset, m.key, m.value, m.headers)
        got += 1
        if got == n:
            break
    assert got == n, "only %d of %d came" % (got, n)
    c.close()


async def aiokafka_write(servers, topic, client):
    from aiokafka import AIOKafkaProducer

    p = AIOKafkaProducer(bootstrap_servers=servers, compression_type=CODECS[client], enable_idempotence=True, **PYTHON_SASL)
    await p.start()
    for key, value, headers in records(client):
        await p.send_and_wait(topic, key=key, value=value, headers=headers)
    await p.stop()


async def aiokafka_read(servers, topic, n):
    from aiokafka import AIOKafkaConsumer

    c = AIOKafkaConsumer(topic, bootstrap_servers=servers, group_id="matrix-aiokafka-" + topic, auto_offset_reset="earliest", **PYTHON_SASL)
    await c.start()
    for _ in range(n):
        m = await asyncio.wait_for(c.getone(), 30)
        shown(m.partition, m.offset, m.key, m.value, m.headers)
    await c.stop()


def kcat_write(servers, topic, client):
    """Each record by a process of its own: kcat has no way to say where bytes end."""
    import subprocess
    import tempfile

    for key, value, headers in records(client):
        with tempfile.NamedTemporaryFile() as f:
            f.write(value or b"")
            f.flush()
            command = [b"kcat", b"-P", b"-Z", b"-b", servers.encode(), b"-t", topic.encode(), b"-X", b"topic.partitioner=murmur2_random"]
            command += [a.encode() for a in kcat_sasl()]
            for name, v in headers:
                command += [b"-H", name.encode() + b"=" + v]
            if value is None:  # an empty file would be no record at all
                subprocess.run(command + [b"-K", b"\x02"], input=key + b"\x02\n", check=True, timeout=30)
                continue
            if key is not None:
                command += [b"-k", key]
            subprocess.run(command + [f.name.encode()], check=True, timeout=30)


def kcat_sasl():
    return [a for name, v in SASL.items() for a in ("-X", name + "=" + v)]


def kcat_read(servers, topic, n):
    import subprocess

    command = ["kcat", "-C", "-b", servers, "-t", topic, "-o", "beginning", "-c", str(n), "-u", "-f", "%p %o %K %S %h\\x01%k%s"]
    command += kcat_sasl()
    out = subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    while out:
        head, out = out.split(b"\x01", 1)
        partition, offset, key_size, value_size, headers = head.split(b" ", 4)
        key_size, value_size = int(key_size), int(value_size)
        key, out = (None, out) if key_size < 0 else (out[:key_size], out[key_size:])
        value, out = (None, out) if value_size < 0 else (out[:value_size], out[value_size:])
        pairs = [h.split(b"=", 1) for h in headers.split(b",")] if headers else []
        shown(int(partition), int(offset), key, value, [(name.decode(), v) for name, v in pairs])


def main():
    client, what, servers, topic, *rest = sys.argv[1:]
    run = {
        ("confluent-kafka", "write"): confluent_write, ("confluent-kafka", "read"): confluent_read,
        ("kafka-python", "write"): kafka_python_write, ("kafka-python", "read"): kafka_python_read,
        ("kcat", "write"): kcat_write, ("kcat", "read"): kcat_read,
        ("aiokafka", "write"): aiokafka_write, ("aiokafka", "read"): aiokafka_read,
    }[client, what]
    done = run(servers, topic, client if what == "write" else int(rest[0]))
    if asyncio.iscoroutine(done):
        asyncio.run(done)


if __name__ == "__main__":
    main()
