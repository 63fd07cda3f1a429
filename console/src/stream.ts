// Following a topic: GET /topic/{name}/stream as NDJSON, read by fetch, because an
// EventSource cannot send a token.

import { ApiError, part, send } from "./api";

export interface Gap {
  topic: string;
  partition: number;
  asked: number;
  earliest: number;
}

export interface Follower {
  /** Lines as they come, each a record; many at a time. */
  lines(lines: string[]): void;
  gap(gap: Gap): void;
  state(state: "connecting" | "live" | "lost", error?: Error): void;
}

/** Follows a topic until the signal; goes on exactly behind the last record after a break. */
export async function follow(topic: string, query: Record<string, string>, to: Follower, signal: AbortSignal): Promise<void> {
  let after = "";
  for (let tries = 0; !signal.aborted; tries++) {
    to.state(tries === 0 ? "connecting" : "lost");
    try {
      const response = await send({ path: `/topic/${part(topic)}/stream`, query: after ? { ...query, after } : query }, signal, "application/x-ndjson");
      to.state("live");
      await read(response.body!, (lines) => {
        tries = 0;
        const records: string[] = [];
        for (const line of lines) {
          if (line.startsWith('{"topic":')) {
            records.push(line);
            continue;
          }
          const said = JSON.parse(line);
          if (said.error) throw new ApiError(Math.floor(said.error.error_code / 100), said.error.code, said.error.message);
          if (said.gap) to.gap(said.gap);
          if (said.cursor) after = said.cursor;
        }
        if (records.length === 0) return;
        const last = records[records.length - 1];
        after = last.slice(last.lastIndexOf('"cursor":"') + 10, -2);
        to.lines(records);
      });
    } catch (e) {
      if (signal.aborted) return;
      const error = e instanceof ApiError ? e : undefined;
      if (error && error.status >= 400 && error.status < 500 && error.status !== 429) {
        to.state("lost", error);
        return; // it will not get better
      }
      to.state("lost", error);
    }
    await pause(Math.min(250 * 2 ** tries, 5000), signal);
  }
}

/**
 * Splits what comes into lines. Each is decoded by itself: a piece of a longer string
 * would keep all of that in memory.
 */
async function read(body: ReadableStream<Uint8Array>, take: (lines: string[]) => void): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let begun: Uint8Array[] = []; // of a line that has not ended
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines: string[] = [];
      let at = 0;
      for (let end = value.indexOf(10); end >= 0; end = value.indexOf(10, at)) {
        let line = value.subarray(at, end);
        if (begun.length > 0) {
          line = joined([...begun, line]);
          begun = [];
        }
        if (line.length > 0) lines.push(decoder.decode(line));
        at = end + 1;
      }
      if (at < value.length) begun.push(value.slice(at));
      if (lines.length > 0) take(lines);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function joined(pieces: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of pieces) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
