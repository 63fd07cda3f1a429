import { OttlaError, TransportError, type ErrorBody } from "./errors.js";
import type { OttlaRecord } from "./records.js";

export interface Request {
  method: string;
  path: string;
  query?: [string, string][];
  body?: string;
  headers?: Record<string, string>;
  /** Milliseconds until the whole answer is there. */
  timeout?: number;
  signal?: AbortSignal | undefined;
}

const elsewhere = new Set(["shutting_down", "joining", "node_unreachable", "starting"]);

/** Sends requests to one server, or to the nodes of a fleet: any of them answers everything. */
export class Http {
  private readonly bases: string[];
  private at = 0;

  constructor(
    servers: string,
    private readonly token: string | undefined,
    private readonly patience: number,
    private readonly fetch: typeof globalThis.fetch,
  ) {
    this.bases = servers.split(",").map((s) => s.trim().replace(/\/+$/, ""));
    for (const base of this.bases) {
      if (!/^https?:\/\/[^/]+/.test(base)) throw new TypeError(`server "${base}" is not a URL such as http://127.0.0.1:8080`);
    }
  }

  /** Sends a request once to the node that is asked, and returns the JSON of the answer. */
  async once(r: Request): Promise<unknown> {
    const response = await this.open(r, AbortSignal.timeout(r.timeout ?? 30_000));
    let text: string;
    try {
      text = await response.text();
    } catch (e) {
      throw this.lost(r, e);
    }
    return parse(response, text);
  }

  /** Sends a request, and returns its answer as soon as the status is there. */
  async open(r: Request, timeout?: AbortSignal): Promise<Response> {
    const query = r.query?.length ? "?" + new URLSearchParams(r.query) : "";
    const headers: Record<string, string> = { ...r.headers };
    if (this.token) headers["Authorization"] = `Bearer ${this.token}`;
    const init: RequestInit = { method: r.method, headers };
    if (r.body !== undefined) init.body = r.body;
    const signals = [timeout, r.signal].filter((s): s is AbortSignal => s !== undefined);
    if (signals.length > 0) init.signal = anyOf(signals);
    try {
      return await this.fetch(this.bases[this.at] + r.path + query, init);
    } catch (e) {
      if (r.signal?.aborted) throw r.signal.reason;
      throw this.lost(r, e);
    }
  }

  private lost(r: Request, cause: unknown): TransportError {
    this.moveOn();
    const why = cause instanceof Error ? cause.message : String(cause);
    return new TransportError(`${r.method} ${r.path}: ${why}`, cause);
  }

  moveOn(): void {
    this.at = (this.at + 1) % this.bases.length;
  }

  /** Says something of deliveries; resolves to how many it was taken of. */
  async say(verb: "ack" | "nack" | "extend", records: OttlaRecord[], fields: Record<string, unknown> = {}): Promise<number> {
    const receipts = records.flatMap((r) => (r.delivery ? [r.delivery.receipt] : []));
    const answer = (await this.repeated({
      method: "POST", path: "/events/" + verb, body: JSON.stringify({ receipts, ...fields }), headers: { "Content-Type": "application/json" },
    })) as { count: number };
    return answer.count;
  }

  /**
   * Sends a request until it is answered for good. It may be sent more than once, so it
   * must do no harm when it arrives twice.
   */
  async repeated(r: Request): Promise<unknown> {
    let spent = 0;
    for (let tries = 0; ; tries++) {
      let wait: number;
      let error: unknown;
      try {
        return await this.once(r);
      } catch (e) {
        error = e;
        if (e instanceof OttlaError) {
          if (!e.retriable) throw e;
          if (e.outcome === "none" && elsewhere.has(e.code)) this.moveOn();
          wait = (e.retryAfter ?? 0) * 1000;
          if (this.bases.length > 1 && elsewhere.has(e.code) && tries < this.bases.length) wait = 0;
        } else if (e instanceof TransportError) {
          wait = 0;
        } else {
          throw e;
        }
      }
      wait = Math.max(wait, Math.min(5000, 50 * 2 ** tries)) * (0.8 + 0.4 * Math.random());
      if (spent + wait > this.patience) throw error;
      spent += wait;
      await sleep(wait, r.signal);
    }
  }
}

export function parse(response: Response, text: string): unknown {
  let body: unknown = undefined;
  try {
    body = text === "" ? undefined : JSON.parse(text);
  } catch {
    body = { message: `the answer is not JSON; is it an Ottla server? ${text.slice(0, 200)}` };
    if (response.ok) throw new OttlaError(response.status, body as ErrorBody);
  }
  if (response.ok) return body;
  const after = Number(response.headers.get("Retry-After") ?? NaN);
  throw new OttlaError(response.status, (body ?? {}) as ErrorBody, Number.isFinite(after) ? after : undefined);
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", abort);
      resolve();
    }, ms);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
}

/** AbortSignal.any, which Node 18 does not have. */
function anyOf(signals: AbortSignal[]): AbortSignal {
  if (signals.length === 1) return signals[0]!;
  const controller = new AbortController();
  for (const s of signals) {
    if (s.aborted) controller.abort(s.reason);
    else s.addEventListener("abort", () => controller.abort(s.reason), { once: true });
  }
  return controller.signal;
}
