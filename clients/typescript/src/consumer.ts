import { OttlaError } from "./errors.js";
import type { Http } from "./http.js";
import { decodeRecord, type OttlaRecord } from "./records.js";

/** The next offset to read of a partition. */
export interface Position {
  topic: string;
  partition: number;
  offset: number;
}

/** The answer of a poll. */
export interface Batch<V = unknown> {
  consumerId: number;
  group: string;
  generation: number;
  records: OttlaRecord<V>[];
  cursor?: string;
  timedOut: boolean;
}

export interface ConsumerState {
  topics: string[];
  group: string;
  cluster?: string | undefined;
  consumerId?: number | undefined;
  maxRecords: number;
  waitMs: number;
  sessionTimeoutMs?: number | undefined;
  from?: "earliest" | "latest" | number | undefined;
  autoCreate: boolean;
}

/**
 * A member of a group: at least once, in order within a partition. A batch is
 * acknowledged by the poll for the next one; what was not acknowledged comes again.
 */
export class Consumer<V = unknown> implements AsyncIterable<OttlaRecord<V>> {
  private cursor: string | undefined;
  private joined = false;
  private held: OttlaRecord[] = [];

  constructor(
    private readonly http: Http,
    private readonly state: ConsumerState,
  ) {}

  /** The id of the member, known after the first poll. */
  get consumerId(): number | undefined {
    return this.state.consumerId;
  }

  get group(): string {
    return this.state.group;
  }

  /** Acknowledges the batch before, and returns the next one; it may be empty. */
  async poll(signal?: AbortSignal): Promise<Batch<V>> {
    await this.acknowledge();
    for (;;) {
      try {
        const body = (await this.http.repeated({
          method: "GET", path: "/events", query: this.query(), timeout: this.state.waitMs + 30_000, signal,
        })) as {
          consumer_id: number; group: string; generation: number; records: Record<string, unknown>[]; cursor?: string; timed_out: boolean;
        };
        this.state.consumerId = body.consumer_id;
        this.state.group = body.group;
        this.joined = true;
        this.cursor = (body.records.length > 0 && body.cursor) || undefined;
        const batch: Batch<V> = {
          consumerId: body.consumer_id, group: body.group, generation: body.generation,
          records: body.records.map((r) => decodeRecord<V>(r)), timedOut: body.timed_out,
        };
        if (body.cursor) batch.cursor = body.cursor;
        this.held = batch.records.filter((r) => r.delivery !== undefined);
        return batch;
      } catch (e) {
        const moved = e instanceof OttlaError && (e.code === "stale_generation" || e.code === "foreign_cursor");
        if (!moved || this.cursor === undefined) throw e;
        this.cursor = undefined; // others have its partitions: what was not acknowledged comes again
      }
    }
  }

  /** Acknowledges the last batch of a queue. What others have been given is not ours. */
  private async acknowledge(): Promise<void> {
    if (this.held.length === 0) return;
    try {
      await this.http.say("ack", this.held);
    } catch (e) {
      if (!(e instanceof OttlaError && e.code === "stale_receipt")) throw e;
    }
    this.held = [];
  }

  /** All records, for ever; each batch is acknowledged when its last record was used. */
  async *[Symbol.asyncIterator](): AsyncIterator<OttlaRecord<V>> {
    for (;;) yield* (await this.poll()).records;
  }

  /** Commits positions, or all that was delivered, without a poll. */
  async commit(positions?: Position[]): Promise<Position[]> {
    if (positions === undefined && this.held.length > 0) {
      await this.acknowledge();
      return [];
    }
    const body = {
      consumer_id: this.state.consumerId, group: this.state.group, cluster: this.state.cluster,
      offsets: positions?.map(({ topic, partition, offset }) => ({ topic, partition, offset })),
    };
    const answer = (await this.http.repeated(json("POST", "/offset", body))) as { offsets: Position[] };
    return answer.offsets;
  }

  /** Renews the lease while a job runs. Resolves to the partitions that are still owned. */
  async heartbeat(sessionTimeoutMs?: number): Promise<{ topic: string; partition: number }[]> {
    const answer = (await this.http.repeated(json("POST", this.member() + "/heartbeat", { session_timeout_ms: sessionTimeoutMs }, this.state.cluster))) as {
      assignment: { topic: string; partition: number }[];
    };
    return answer.assignment;
  }

  /** Leaves the group: the others get its partitions at once. */
  async close(): Promise<void> {
    if (!this.joined) return;
    this.joined = false;
    try {
      await this.http.repeated(json("DELETE", this.member(), undefined, this.state.cluster));
    } catch (e) {
      if (!(e instanceof OttlaError && (e.status === 404 || e.code === "stale_generation"))) throw e;
    }
  }

  private member(): string {
    return `/groups/${encodeURIComponent(this.state.group)}/members/${this.state.consumerId}`;
  }

  private query(): [string, string][] {
    const s = this.state;
    const q: [string, string][] = s.topics.map((t) => ["topic", t]);
    q.push(["auto_commit", "false"], ["max_records", String(s.maxRecords)], ["timeout_ms", String(s.waitMs)]);
    const optional: [string, string | number | undefined][] = [
      ["group", s.group], ["cluster", s.cluster], ["consumer_id", s.consumerId],
      ["session_timeout_ms", s.sessionTimeoutMs], ["from", s.from], ["ack", this.cursor],
    ];
    for (const [name, value] of optional) if (value !== undefined) q.push([name, String(value)]);
    if (s.autoCreate) q.push(["auto_create", "true"]);
    return q;
  }
}

export function json(method: string, path: string, body?: unknown, cluster?: string) {
  return {
    method, path,
    ...(cluster ? { query: [["cluster", cluster]] as [string, string][] } : {}),
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } }),
  };
}
