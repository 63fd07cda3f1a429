import { OttlaError, type ErrorBody } from "./errors.js";
import { sleep, type Http } from "./http.js";
import { encodeRecord, type Committed, type OutgoingRecord } from "./records.js";

interface Waiting {
  body: Record<string, unknown>;
  resolve: (c: Committed) => void;
  reject: (e: unknown) => void;
}

/**
 * Writes records in batches and in order. A batch that has to be sent again is written
 * once: its id and sequence tell the server. Whatever arrives while a batch is under way
 * becomes the next one, so nothing has to be tuned.
 */
export class Producer {
  private waiting: Waiting[] = [];
  private running: Promise<void> | undefined;
  private failed: unknown;
  private sequence = 0;
  private readonly id = "js-" + crypto.randomUUID();

  constructor(
    private readonly http: Http,
    private readonly topic: string,
    private readonly cluster: string | undefined,
    private readonly maxBatch: number,
    private readonly patience: number,
  ) {}

  /**
   * Writes a record, and resolves once a majority has it on disk. After a batch that
   * failed for good nothing more is written: what follows it would be out of order.
   */
  send(record: OutgoingRecord): Promise<Committed> {
    if (this.failed !== undefined) return Promise.reject(this.failed);
    return new Promise((resolve, reject) => {
      this.waiting.push({ body: encodeRecord(record), resolve, reject });
      this.running ??= this.run();
    });
  }

  /** Resolves once everything that was sent so far is written, or rejects. */
  async flush(): Promise<void> {
    await this.running;
    if (this.failed !== undefined) throw this.failed;
  }

  private async run(): Promise<void> {
    await Promise.resolve(); // what is sent in the same turn goes together
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, this.maxBatch);
      try {
        const committed = await this.write(batch.map((w) => w.body));
        batch.forEach((w, i) => w.resolve(committed[i]!));
      } catch (e) {
        this.failed = e;
        for (const w of batch.concat(this.waiting.splice(0))) w.reject(e);
      }
    }
    this.running = undefined;
  }

  private async write(records: Record<string, unknown>[]): Promise<Committed[]> {
    const query: [string, string][] = [["topic", this.topic], ["offsets", "true"]];
    if (this.cluster) query.push(["cluster", this.cluster]);
    const headers = {
      "Content-Type": "application/x-ndjson",
      "Producer-Id": this.id,
      "Producer-Epoch": "0",
      "Producer-Seq": String(++this.sequence),
    };
    const body = records.map((r) => JSON.stringify(r)).join("\n");
    for (let spent = 0; ; spent += 500) {
      const answer = (await this.http.repeated({ method: "POST", path: "/events", query, body, headers })) as {
        committed: boolean;
        duplicate?: boolean;
        offsets?: { partition: number; offset: number }[];
        partitions: { error?: ErrorBody }[];
      };
      if (answer.committed && answer.offsets) {
        return answer.offsets.map((o) => ({ topic: this.topic, ...o, duplicate: answer.duplicate ?? false }));
      }
      // Some partitions failed (207): the same batch again completes it where it is missing.
      const errors = answer.partitions.flatMap((p) => (p.error ? [p.error] : []));
      if (!errors.every((e) => e.retriable) || spent >= this.patience) {
        throw new OttlaError(207, errors[0] ?? { message: "not all of the batch is committed" });
      }
      await sleep(500);
    }
  }
}
