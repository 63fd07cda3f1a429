// Writes or reads the records of the compatibility matrix with a Kafka client of Node.
// usage: clients.js kafkajs|platformatic write|read SERVERS TOPIC [N]; see clients.py.
const [, , client, what, servers, topic, count] = process.argv;

// How a client shows who it is: MECHANISM USER TOKEN.
const [mechanism, username, password] = (process.env.KAFKA_SASL ?? "").split(" ");

const records = [...Array(40).keys()].map((i) => ({
  key: i % 10 === 9 ? null : i % 10 === 8 ? Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(String(i))]) : Buffer.from(`user-${i}`),
  value: i % 7 === 6 && i % 10 !== 9 ? null : i % 2 ? Buffer.from(`{"i":${i}}`) : Buffer.concat([Buffer.from([0, 0xff]), Buffer.from(`bytes ${i}`)]),
  headers: i % 3 === 0 ? [["client", Buffer.from(client)], ["twice", Buffer.from("1")], ["twice", Buffer.from([0xff])]] : [],
}));

const hex = (b) => (b == null ? null : Buffer.from(b).toString("hex"));
const shown = (partition, offset, key, value, headers) => console.log(JSON.stringify({ partition, offset: Number(offset), key: hex(key), value: hex(value), headers }));

async function kafkajs() {
  const { Kafka, Partitioners, logLevel } = require("kafkajs");
  const kafka = new Kafka({ clientId: "matrix", brokers: servers.split(","), logLevel: logLevel.ERROR, sasl: mechanism ? { mechanism: mechanism.toLowerCase(), username, password } : undefined });
  if (what === "write") {
    const p = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true });
    await p.connect();
    // Its headers are an object: a name that comes twice has a list of values.
    const messages = records.map((r) => ({ key: r.key, value: r.value, headers: r.headers.length ? { client: r.headers[0][1], twice: [r.headers[1][1], r.headers[2][1]] } : {} }));
    await p.send({ topic, messages, acks: -1 });
    await p.disconnect();
    return;
  }
  const c = kafka.consumer({ groupId: "matrix-kafkajs-" + topic, sessionTimeout: 6000 });
  await c.connect();
  await c.subscribe({ topic, fromBeginning: true });
  let left = Number(count);
  await new Promise((done, failed) => {
    setTimeout(() => failed(new Error(`${left} records are missing`)), 60000).unref();
    c.run({
      eachMessage: async ({ partition, message: m }) => {
        if (left <= 0) return;
        const headers = Object.entries(m.headers ?? {}).flatMap(([name, v]) => (Array.isArray(v) ? v : [v]).map((one) => [name, hex(one)]));
        shown(partition, m.offset, m.key, m.value, headers);
        if (--left === 0) done();
      },
    });
  });
  await c.disconnect();
}

async function platformatic() {
  const { Producer, Consumer } = require("@platformatic/kafka");
  const options = { clientId: "matrix", bootstrapBrokers: servers.split(","), ...(mechanism ? { sasl: { mechanism, username, password } } : {}) };
  if (what === "write") {
    const p = new Producer({ ...options, idempotent: true });
    // Its headers are a map: a name comes once.
    await p.send({ messages: records.map((r) => ({ topic, key: r.key ?? undefined, value: r.value ?? undefined, headers: r.headers.length ? new Map([[Buffer.from("client"), r.headers[0][1]]]) : undefined })), acks: -1 });
    await p.close();
    return;
  }
  const c = new Consumer({ ...options, groupId: "matrix-platformatic-" + topic });
  const stream = await c.consume({ topics: [topic], mode: "earliest", autocommit: true, sessionTimeout: 10000 });
  let left = Number(count);
  const late = setTimeout(() => { throw new Error(`${left} records are missing`); }, 60000);
  for await (const m of stream) {
    shown(m.partition, m.offset, m.key, m.value, [...(m.headers ?? new Map())].map(([name, v]) => [name.toString(), hex(v)]));
    if (--left === 0) break;
  }
  clearTimeout(late);
  await c.close(true);
}

({ kafkajs, platformatic })[client]().then(() => process.exit(0), (e) => { console.error(e); process.exit(1); });
