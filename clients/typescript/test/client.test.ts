import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { Client, OttlaError, TransportError } from "../src/index.js";

const binary = process.env["OTTLA_BINARY"] ?? "../../bin/ottla";
const dir = mkdtempSync(join(tmpdir(), "ottla-ts-"));
let child: ChildProcess;
let listen = "127.0.0.1:0";
let url = "";

async function start(): Promise<void> {
  child = spawn(binary, ["serve", "--listen", listen, "--data-dir", dir], { stdio: ["ignore", "pipe", "ignore"] });
  const line: string = await new Promise((resolve) => child.stdout!.once("data", (d: Buffer) => resolve(d.toString())));
  const found = /listening on (http:\/\/(\S+)),/.exec(line);
  assert.ok(found, line);
  [, url, listen] = found as unknown as [string, string, string];
  for (let i = 0; ; i++) {
    const ready = await fetch(url + "/readyz").then((r) => r.ok, () => false);
    if (ready) return;
    assert.ok(i < 3000, "the server does not get ready");
    await pause(20);
  }
}

async function kill(): Promise<void> {
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

before(start);
after(async () => {
  await kill();
  rmSync(dir, { recursive: true, force: true });
});

let topics = 0;
async function newTopic(c: Client, partitions = 3): Promise<string> {
  const name = `topic-${topics++}`;
  await c.request("POST", "/topic", { name, partitions });
  return name;
}

test("a consumer without a group is refused before anything is asked", () => {
  const c = new Client("http://127.0.0.1:1");
  const untyped = c.consumer.bind(c) as (...given: unknown[]) => unknown; // as JavaScript calls it
  for (const given of [["a"], ["a", undefined], ["a", null], ["a", {}], ["a", { group: undefined }], ["a", { group: null }], ["a", { group: "" }]]) {
    assert.throws(() => untyped(...given), new TypeError("a consumer needs a group; stream reads without one"), JSON.stringify(given));
  }
});

test("values come back as they were", async () => {
  const c = new Client(url);
  const topic = await newTopic(c, 1);
  const values = [1, 1.5, "text", null, true, [1, { a: "b" }], { x: "ü\u2028" }, new Uint8Array([0, 255]), new TextEncoder().encode("plain")];
  for (const [i, v] of values.entries()) {
    const committed = await c.produce(topic, v, { key: v, headers: { n: String(i) } });
    assert.deepEqual([committed.partition, committed.offset, committed.duplicate], [0, i, false]);
  }
  const page = await c.records(topic, 0, { offset: 0 });
  assert.deepEqual(page.records.map((r) => r.value), values);
  assert.deepEqual(page.records.map((r) => r.key), values);
  assert.equal(page.nextOffset, values.length);
});

test("an idempotency key writes once", async () => {
  const c = new Client(url);
  const topic = await newTopic(c);
  const first = await c.produce(topic, 1, { idempotencyKey: "k" });
  const again = await c.produce(topic, 1, { idempotencyKey: "k" });
  assert.deepEqual([again.partition, again.offset, again.duplicate], [first.partition, first.offset, true]);
  await assert.rejects(c.produce(topic, 2, { idempotencyKey: "k", partition: first.partition }), (e: unknown) =>
    e instanceof OttlaError && e.code === "idempotency_mismatch" && e.status === 422 && e.outcome === "none");
});

test("a producer keeps order and a consumer reads all", async () => {
  const c = new Client(url);
  const topic = await newTopic(c);
  const p = c.producer(topic, { maxBatch: 100 });
  const committed = await Promise.all(Array.from({ length: 1234 }, (_, i) => p.send({ key: "one", value: i })));
  assert.deepEqual(committed.map((m) => m.offset), committed.map((_, i) => i));
  await p.flush();
  const consumer = c.consumer<number>(topic, { group: topic, maxRecords: 100, waitMs: 1000 });
  const got: number[] = [];
  for await (const r of consumer) {
    got.push(r.value);
    if (got.length === 1234) break;
  }
  await consumer.close();
  assert.deepEqual(got, Array.from({ length: 1234 }, (_, i) => i));
});

test("what was not acknowledged comes again", async () => {
  const c = new Client(url);
  const topic = await newTopic(c, 1);
  const p = c.producer(topic);
  await Promise.all(Array.from({ length: 10 }, (_, i) => p.send({ value: i })));
  const options = { group: topic, maxRecords: 4, waitMs: 1000 };
  const first = c.consumer(topic, options);
  assert.deepEqual((await first.poll()).records.map((r) => r.value), [0, 1, 2, 3]);
  assert.deepEqual((await first.poll()).records.map((r) => r.value), [4, 5, 6, 7]);
  await first.close();
  const second = c.consumer(topic, options);
  assert.deepEqual((await second.poll()).records.map((r) => r.value), [4, 5, 6, 7]);
  assert.deepEqual(await second.commit([{ topic, partition: 0, offset: 6 }]), [{ topic, partition: 0, offset: 6 }]);
  assert.deepEqual(await second.heartbeat(20_000), [{ topic, partition: 0 }]);
  await second.close();
  const third = c.consumer(topic, options);
  assert.deepEqual((await third.poll()).records.map((r) => r.value), [6, 7, 8, 9]);
  await third.commit();
  await third.close();
});

test("nothing is lost or doubled over kills", async () => {
  const c = new Client(url, { patienceMs: 60_000 });
  const topic = await newTopic(c);
  let done = false;
  const kills = (async () => {
    for (let i = 0; i < 3; i++) {
      await pause(300);
      await kill();
      await start();
    }
    done = true;
  })();
  const p = c.producer(topic);
  let written = 0;
  while (!done) await p.send({ key: "k", value: written++ });
  await kills;
  const consumer = c.consumer<number>(topic, { group: topic, waitMs: 500 });
  const got: number[] = [];
  while (got.length < written) {
    const batch = await consumer.poll();
    assert.ok(batch.records.length > 0, `${got.length} of ${written} came back`);
    got.push(...batch.records.map((r) => r.value));
  }
  await consumer.close();
  assert.deepEqual(got, Array.from({ length: written }, (_, i) => i));
});

test("a stream goes on behind a cursor, over a restart, and leaves nothing behind", async () => {
  const c = new Client(url);
  const topic = await newTopic(c);
  const p = c.producer(topic);
  await Promise.all(Array.from({ length: 20 }, (_, i) => p.send({ value: i })));
  const got: unknown[] = [];
  const stop = new AbortController();
  for await (const r of c.stream(topic, { from: "earliest", signal: stop.signal })) {
    got.push(r.value);
    if (got.length === 8) {
      await kill();
      await start();
    }
    if (got.length === 20) stop.abort();
  }
  assert.deepEqual(got.map(Number).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i));
  const { groups } = (await c.request("GET", "/groups")) as { groups: { group: string }[] };
  assert.ok(!groups.some((g) => g.group === topic));
});

test("a consumer works on a queue", async () => {
  const c = new Client(url);
  const topic = await newTopic(c);
  await c.request("PUT", `/groups/${topic}`, { mode: "queue", topics: [topic], backoff_ms: [], max_deliveries: 2 });
  for (let i = 0; i < 4; i++) await c.produce(topic, i);
  const due = Date.now() + 500;
  await c.produce(topic, "later", { deliverAt: due });
  const worker = c.consumer(topic, { group: topic, waitMs: 2000, maxRecords: 1 });
  const seen: string[] = [];
  while (seen.length < 6) {
    for (const record of (await worker.poll()).records) {
      seen.push(`${record.value} ${record.delivery!.count}`);
      if (record.value === "later") assert.ok(record.deliverAt === due && Date.now() >= due);
      if (record.value !== 1) continue;
      assert.equal(await c.extend([record], 60_000), 1);
      assert.equal(await c.nack([record], { reason: "no" }), 1);
      await assert.rejects(c.ack(record), (e: unknown) => e instanceof OttlaError && e.code === "stale_receipt");
    }
  }
  assert.deepEqual(await worker.commit(), []);
  await worker.close();
  assert.deepEqual(seen.sort(), ["0 1", "1 1", "1 2", "2 1", "3 1", "later 1"]);
});

test("another node is asked, and errors say what happened", async () => {
  const c = new Client(`http://127.0.0.1:1, ${url}`);
  const topic = await newTopic(new Client(url));
  assert.equal((await c.produce(topic, 1)).offset, 0);
  await assert.rejects(new Client("http://127.0.0.1:1", { patienceMs: 100 }).produce("x", 1), TransportError);
  await assert.rejects(c.request("GET", "/topic/none-of-that-name"), (e: unknown) => e instanceof OttlaError && e.code === "topic_not_found" && e.requestId !== "");
  assert.throws(() => new Client("localhost:8080"), TypeError);
});

test("the example of the README", async () => {
  const readme = readFileSync(join(process.cwd(), "README.md"), "utf8");
  const code = readme.split("```js\n")[1]!.split("```")[0]!.replace("http://127.0.0.1:8080", url).replace(/import .*\n/, "").replaceAll("console.log", "log");
  let lines = 0;
  const run = new Function("Client", "log", `return (async () => {${code}})()`) as (c: typeof Client, log: () => void) => Promise<void>;
  await run(Client, () => { lines++; });
  assert.equal(lines, 1001);
});
