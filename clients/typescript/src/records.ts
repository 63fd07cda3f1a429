/** Any JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** Bytes that need not be JSON; they go as base64. */
export type Bytes = Uint8Array;

/** A key or a value. */
export type Value = Json | Bytes;

/** A record that was read. What was no JSON is a Uint8Array. */
export interface OttlaRecord<V = unknown> {
  topic: string;
  partition: number;
  offset: number;
  /** Milliseconds since 1970. */
  timestamp: number;
  key: unknown;
  value: V;
  headers: Record<string, string>;
  /** Of streams: what follows this record begins behind it. */
  cursor?: string;
  /** Queues give it to a worker no earlier, in milliseconds since 1970. */
  deliverAt?: number;
  /** Of a queue. */
  delivery?: Delivery;
}

/** A record of a queue is with this worker until the deadline, in milliseconds since 1970. */
export interface Delivery {
  receipt: string;
  /** How often it was given, this time included. */
  count: number;
  deadline: number;
}

/** Where a record stands. `duplicate` says that an earlier try had put it there. */
export interface Committed {
  topic: string;
  partition: number;
  offset: number;
  timestamp?: number;
  duplicate: boolean;
}

/** A record as it is sent. */
export interface OutgoingRecord {
  key?: Value;
  value: Value;
  partition?: number;
  headers?: Record<string, string>;
  timestamp?: number;
  deliverAt?: number;
  delayMs?: number;
}

export function encodeRecord(r: OutgoingRecord): Record<string, unknown> {
  const body: Record<string, unknown> = field("value", r.value);
  if (r.key !== undefined && r.key !== null) Object.assign(body, field("key", r.key));
  if (r.partition !== undefined) body["partition"] = r.partition;
  if (r.headers) body["headers"] = r.headers;
  if (r.timestamp !== undefined) body["timestamp"] = r.timestamp;
  if (r.deliverAt !== undefined) body["deliver_at"] = r.deliverAt;
  if (r.delayMs !== undefined) body["delay_ms"] = r.delayMs;
  return body;
}

function field(name: "key" | "value", v: Value): Record<string, unknown> {
  return v instanceof Uint8Array ? { [`${name}_base64`]: toBase64(v) } : { [name]: v };
}

export function decodeRecord<V>(body: Record<string, unknown>): OttlaRecord<V> {
  const record: OttlaRecord<V> = {
    topic: body["topic"] as string,
    partition: body["partition"] as number,
    offset: body["offset"] as number,
    timestamp: body["timestamp"] as number,
    key: decoded(body, "key"),
    value: decoded(body, "value") as V,
    headers: (body["headers"] ?? {}) as Record<string, string>,
  };
  if (typeof body["cursor"] === "string") record.cursor = body["cursor"];
  if (typeof body["deliver_at"] === "number") record.deliverAt = body["deliver_at"];
  if (body["delivery"]) record.delivery = body["delivery"] as Delivery;
  return record;
}

function decoded(body: Record<string, unknown>, name: "key" | "value"): unknown {
  const base64 = body[`${name}_base64`];
  if (typeof base64 === "string") return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const text = body[`${name}_text`];
  if (typeof text === "string") return new TextEncoder().encode(text);
  return body[name];
}

function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(text);
}
