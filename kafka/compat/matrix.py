"""The compatibility matrix: every client writes what every other one and HTTP reads.

usage: matrix.py SERVERS URL RUN...

RUN is NAME=COMMAND; COMMAND is called with write|read SERVERS TOPIC [N], see clients.py.
A client that cannot say something (a header twice, null beside an empty value) is
compared without it; LIMITS has why. Exits with 1 if any two differ.

With KAFKA_USER and KAFKA_TOKEN, clients show who they are by SASL: each writes and reads
its own records, once by each mechanism of SCRAM.
"""

import json
import os
import shlex
import subprocess
import sys
import urllib.request

# What a client itself cannot read or write, seen against Kafka as well.
LIMITS = {
    "kafkajs": {},
    "platformatic": {"one header": "its headers are a map", "empty for null": "it reads an empty key or value where there is none"},
}


USER, TOKEN = os.environ.get("KAFKA_USER"), os.environ.get("KAFKA_TOKEN")
HEADERS = {"Content-Type": "application/json", **({"Authorization": "Bearer " + TOKEN} if USER else {})}


def call(url, method="GET", body=None):
    req = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode(), headers=HEADERS)
    with urllib.request.urlopen(req, timeout=30) as r:
        return json.load(r)


def by_http(url, topic):
    """All records of a topic as HTTP shows them, in the form of clients.py."""
    import base64

    def content(r, field, text_of_json):
        if field + "_base64" in r:
            return base64.b64decode(r[field + "_base64"]).hex()
        if field + "_text" in r:
            return r[field + "_text"].encode().hex()
        v = r[field]
        return None if v is None else text_of_json(v).encode().hex()

    found = {}
    for p in call(url + "/topic/" + topic)["partitions"]:
        n, at = p["partition_number"], 0
        while True:
            page = call("%s/topic/%s/partitions/%d/records?offset=%d" % (url, topic, n, at))
            for r in page["records"]:
                headers = r["headers"].items() if isinstance(r["headers"], dict) else r["headers"]
                found[n, r["offset"]] = {
                    "partition": n,
                    "offset": r["offset"],
                    "key": content(r, "key", lambda v: v if isinstance(v, str) else json.dumps(v, separators=(",", ":"))),
                    "value": content(r, "value", lambda v: json.dumps(v, separators=(",", ":"))),
                    "headers": [[k, None if v is None else base64.b64decode(v["b64"]).hex() if isinstance(v, dict) else v.encode().hex()] for k, v in headers],
                }
            if not page["records"]:
                break
            at = page["next_offset"]
    return found


def comparable(record, reader):
    r = dict(record)
    limits = LIMITS.get(reader, {})
    if "one header" in limits:
        r["headers"] = sorted(dict(map(tuple, r["headers"])).items())
    else:
        r["headers"] = [list(h) for h in r["headers"]]
    if "empty for null" in limits:
        r["key"], r["value"] = r["key"] or "", r["value"] or ""
    return r


def writes_and_reads(servers, url, topic, writer, commands, readers, keys, env=None):
    """Has one client write a topic, and others read it: a row of the table, and how many differ."""
    call(url + "/topic", "POST", {"name": topic, "partitions": 4})
    subprocess.run(shlex.split(commands[writer]) + ["write", servers, topic], check=True, timeout=120, env=env)
    want = by_http(url, topic)
    assert len(want) == 40, "%s wrote %d records, not 40" % (writer, len(want))
    wrong, row = 0, []
    for r in want.values():
        if r["key"]:
            first = keys.setdefault(r["key"], (writer, r["partition"]))
            if first[1] != r["partition"]:
                print("%s puts key %s into partition %d, %s into %d" % (writer, r["key"], r["partition"], *first))
                wrong += 1
    for reader in readers:
        out = subprocess.run(shlex.split(commands[reader]) + ["read", servers, topic, "40"], stdout=subprocess.PIPE, timeout=180, env=env)
        got = {}
        for line in out.stdout.splitlines():
            r = json.loads(line)
            got[r["partition"], r["offset"]] = r
        differ = [k for k in want if k not in got or comparable(want[k], reader) != comparable(got[k], reader)]
        row.append("same" if not differ and out.returncode == 0 else "%d differ" % len(differ))
        if differ or out.returncode != 0:
            wrong += 1
            for k in differ[:3]:
                print("  %s wrote %s\n  %s read  %s" % (writer, want[k], reader, got.get(k)))
    return row, wrong


def show(first, row):
    print("%-16s %s" % (first, " ".join("%-16s" % c for c in row)), flush=True)


def by_scram(servers, url, commands):
    wrong, keys = 0, {}
    show("shown by", commands)
    for mechanism in "SCRAM-SHA-256", "SCRAM-SHA-512":
        row = []
        for client in commands:
            env = dict(os.environ, KAFKA_SASL=" ".join([mechanism, USER, TOKEN]))
            cells, n = writes_and_reads(servers, url, "%s-%s" % (mechanism.lower(), client), client, commands, [client], keys, env)
            row, wrong = row + cells, wrong + n
        show(mechanism, row)
    return wrong


def main():
    servers, url, *runs = sys.argv[1:]
    commands = dict(r.split("=", 1) for r in runs)
    if USER:
        sys.exit(1 if by_scram(servers, url, commands) else 0)
    wrong, keys = 0, {}
    show("written by", commands)
    for writer in commands:
        row, n = writes_and_reads(servers, url, "matrix-" + writer, writer, commands, commands, keys)
        wrong += n
        show(writer, row)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
