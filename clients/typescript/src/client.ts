import { Consumer, json } from "./consumer.js";
import { TransportError } from "./errors.js";
import { Http, parse, sleep } from "./http.js";
import { Producer } from "./producer.js";
import { decodeRecord, encodeRecord, type Committed, type OttlaRecord, type OutgoingRecord, type Value } from "./records.js";

export interface ClientOptions {
  /** Sent as a bearer token. */
  token?: string;
  /** The cluster of all topics; without it, the one that has the topic. */
  cluster?: string;
  /** For how long an operation is tried again while the server is away, in milliseconds: 30,000. */
  patienceMs?: number;
  /** Instead of the global fetch. */
  fetch?: typeof globalThis.fetch;
}

export interface ProduceOptions {
  key?: Value;
  partition?: number;
  headers?: Record<string, string>;
  /** Milliseconds since 1970. */
  timestamp?: number;
  /** Queues give it to a worker no earlier, in milliseconds since 1970; or delayMs from now. */
  deliverAt?: number;
  delayMs?: number;
  /** Of your own, it makes the record written once over restarts, too. */
  idempotencyKey?: string;
}

export interface ConsumerOptions {
  group: string;
  consumerId?: number;
  /** In a batch: 500. */
  maxRecords?: number;
  /** How long a poll waits for records: 5,000. */
  waitMs?: number;
  sessionTimeoutMs?: number;
  /** Where a group begins that has no offsets: a number is milliseconds since 1970. */
  from?: "earliest" | "latest" | number;
  autoCreate?: boolean;
}

export interface ReadOptions {
  offset?: number;
  /** Instead of offset: the first record at or after it, in milliseconds since 1970. */
  timestamp?: number;
  maxRecords?: number;
  waitMs?: number;
}

export interface StreamOptions {
  /** "latest" unless given. */
  from?: "earliest" | "latest" | number;
  /** The cursor of a record: what follows it. */
  after?: string;
  key?: string;
  signal?: AbortSignal;
}

/** A client of a server, or of the nodes of a fleet: URLs with commas between them. */
export class Client {
  private readonly http: Http;
  private readonly patience: number;

  constructor(
    servers = "http://127.0.0.1:8080",
    private readonly options: ClientOptions = {},
  ) {
    this.patience = options.patienceMs ?? 30_000;
    this.http = new Http(servers, options.token, this.patience, options.fetch ?? ((...args) => globalThis.fetch(...args)));
  }

  /** Sends a request for which there is no method; resolves to the JSON of the answer. */
  request(method: string, path: string, body?: unknown): Promise<unknown> {
    return this.http.once(json(method, path, body));
  }

  /**
   * Writes one record, once, however often it has to be sent; resolves once a majority
   * has it on disk.
   */
  async produce(topic: string, value: Value, options: ProduceOptions = {}): Promise<Committed> {
    const { idempotencyKey, ...rest } = options;
    const record: OutgoingRecord = { value, ...rest };
    const request = json("POST", "/events", { topic, cluster: this.options.cluster, ...encodeRecord(record) });
    const body = (await this.http.repeated({
      ...request,
      headers: { ...request.headers, "Idempotency-Key": idempotencyKey ?? crypto.randomUUID() },
    })) as Committed;
    return { topic: body.topic, partition: body.partition, offset: body.offset, ...(body.timestamp === undefined ? {} : { timestamp: body.timestamp }), duplicate: body.duplicate ?? false };
  }

  /** A producer of batches, in order. */
  producer(topic: string, options: { maxBatch?: number } = {}): Producer {
    return new Producer(this.http, topic, this.options.cluster, options.maxBatch ?? 500, this.patience);
  }

  /** A member of a group; stream reads without one. TypeError: no group is named. */
  consumer<V = unknown>(topics: string | string[], options: ConsumerOptions): Consumer<V> {
    const named: Partial<ConsumerOptions> | null | undefined = options; // what JavaScript may give
    if (!named?.group) throw new TypeError("a consumer needs a group; stream reads without one");
    return new Consumer<V>(this.http, {
      topics: typeof topics === "string" ? [topics] : [...topics],
      group: options.group,
      cluster: this.options.cluster,
      consumerId: options.consumerId,
      maxRecords: options.maxRecords ?? 500,
      waitMs: options.waitMs ?? 5000,
      sessionTimeoutMs: options.sessionTimeoutMs,
      from: options.from,
      autoCreate: options.autoCreate ?? false,
    });
  }

  /**
   * Ends records of a queue: they are never given to it again. Resolves to how many;
   * OttlaError stale_receipt: all were given again, or are ended otherwise.
   */
  ack(...records: OttlaRecord[]): Promise<number> {
    return this.http.say("ack", records);
  }

  /** Gives records of a queue back; with dead they go to the dead letters. */
  nack(records: OttlaRecord[], options: { delayMs?: number; reason?: string; dead?: boolean } = {}): Promise<number> {
    return this.http.say("nack", records, { delay_ms: options.delayMs, reason: options.reason, dead: options.dead });
  }

  /** Moves the deadlines of records of a queue to so long from now. */
  extend(records: OttlaRecord[], ackWaitMs: number): Promise<number> {
    return this.http.say("extend", records, { ack_wait_ms: ackWaitMs });
  }

  /** Reads a page of a partition, without a group. */
  async records<V = unknown>(topic: string, partition: number, options: ReadOptions = {}): Promise<{ records: OttlaRecord<V>[]; nextOffset: number; highWatermark: number }> {
    const query: [string, string][] = [["max_records", String(options.maxRecords ?? 500)], ["timeout_ms", String(options.waitMs ?? 0)]];
    for (const [name, value] of [["offset", options.offset], ["timestamp", options.timestamp], ["cluster", this.options.cluster]] as const) {
      if (value !== undefined) query.push([name, String(value)]);
    }
    const body = (await this.http.repeated({
      method: "GET", path: `/topic/${encodeURIComponent(topic)}/partitions/${partition}/records`, query, timeout: (options.waitMs ?? 0) + 30_000,
    })) as { records: Record<string, unknown>[]; next_offset: number; high_watermark: number };
    return { records: body.records.map((r) => decodeRecord<V>(r)), nextOffset: body.next_offset, highWatermark: body.high_watermark };
  }

  /**
   * Follows a topic without a group, over all partitions, for ever (server-sent events by
   * fetch, so that a token can be sent). Lost connections are made again, behind the last
   * record. A signal ends it.
   */
  async *stream<V = unknown>(topic: string, options: StreamOptions = {}): AsyncGenerator<OttlaRecord<V>, void> {
    let after = options.after;
    for (let pause = 100; ; pause = Math.min(5000, pause * 2)) {
      const query: [string, string][] = after === undefined ? [["from", String(options.from ?? "latest")]] : [["after", after]];
      if (options.key !== undefined) query.push(["key", options.key]);
      if (this.options.cluster) query.push(["cluster", this.options.cluster]);
      try {
        const response = await this.http.open({
          method: "GET", path: `/topic/${encodeURIComponent(topic)}/stream`, query,
          headers: { Accept: "text/event-stream" }, signal: options.signal,
        });
        if (!response.ok) parse(response, await response.text());
        for await (const event of events(response)) {
          if (event.id) after = event.id;
          pause = 50;
          if (event.name !== "" && event.name !== "message") continue; // a gap, a problem
          yield { ...decodeRecord<V>(JSON.parse(event.data) as Record<string, unknown>), ...(after === undefined ? {} : { cursor: after }) };
        }
      } catch (e) {
        if (options.signal?.aborted) return;
        if (!(e instanceof TransportError) && !(e instanceof TypeError)) throw e;
      }
      if (options.signal?.aborted) return;
      try {
        await sleep(pause, options.signal);
      } catch {
        return;
      }
    }
  }
}

interface ServerEvent {
  name: string;
  id: string;
  data: string;
}

/** The events of a text/event-stream. */
async function* events(response: Response): AsyncGenerator<ServerEvent> {
  const reader = response.body!.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  let event: ServerEvent = { name: "", id: "", data: "" };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      let end: number;
      let begin = 0;
      while ((end = rest.indexOf("\n", begin)) >= 0) {
        const line = rest.slice(begin, end).replace(/\r$/, "");
        begin = end + 1;
        if (line === "") {
          if (event.data !== "") yield event;
          event = { name: "", id: "", data: "" };
          continue;
        }
        const colon = line.indexOf(":");
        const name = colon < 0 ? line : line.slice(0, colon);
        const text = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (name === "data") event.data += (event.data ? "\n" : "") + text;
        else if (name === "event") event.name = text;
        else if (name === "id") event.id = text;
      }
      rest = rest.slice(begin);
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
