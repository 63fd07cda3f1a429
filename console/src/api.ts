// The broker's public API, as the page uses it.

import { store } from "./store";

/** The server's address without a slash at the end: the page lies in console/ below it. */
export const base = new URL("..", location.href.split("#")[0]).href.replace(/\/$/, "");

const tokenKey = "ottla-token";

/** The token, if one was needed: for this tab only. */
export const token = store(sessionStorage.getItem(tokenKey) ?? "");

/** Whether the server has refused a request because of its token, or the lack of one. */
export const unauthorized = store(false);

export function signIn(value: string) {
  sessionStorage.setItem(tokenKey, value);
  token.set(value);
  unauthorized.set(false);
}

export function signOut() {
  sessionStorage.removeItem(tokenKey);
  token.set("");
  unauthorized.set(true);
}

/** A failure as the server reports it; status 0 if there was no answer. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly outcome = "none",
    readonly requestId = "",
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }
}

export interface Request {
  method?: string;
  path: string;
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  /** Sent as it is, instead of body. */
  text?: string;
  type?: string;
}

/** The path with its query, escaped. */
export function target(r: Request): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(r.query ?? {})) {
    if (value !== undefined && value !== "") q.set(name, String(value));
  }
  const text = q.toString();
  return r.path + (text ? "?" + text : "");
}

/** Escapes a part of a path. */
export const part = encodeURIComponent;

/** Sends a request; anything but success is an ApiError. */
export async function send(r: Request, signal?: AbortSignal, accept = "application/json"): Promise<Response> {
  const headers: Record<string, string> = { Accept: accept };
  if (token.get()) headers.Authorization = "Bearer " + token.get();
  let body: string | undefined;
  if (r.text !== undefined) {
    body = r.text;
    headers["Content-Type"] = r.type ?? "application/json";
  } else if (r.body !== undefined) {
    body = JSON.stringify(r.body);
    headers["Content-Type"] = "application/json";
  }
  let response: Response;
  try {
    response = await fetch(base + target(r), { method: r.method ?? "GET", headers, body, signal, cache: "no-store", credentials: "same-origin" });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new ApiError(0, "unreachable", "The server does not answer. It may be restarting, or the network is down.", "unknown");
  }
  if (response.ok) return response;
  const error = await failure(response);
  if (error.status === 401) unauthorized.set(true);
  throw error;
}

async function failure(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    const e = JSON.parse(text);
    return new ApiError(response.status, e.code, e.message, e.outcome, e.request_id, e.details);
  } catch {
    return new ApiError(response.status, "http_status", `${response.status} ${response.statusText}`, "unknown");
  }
}

/** Sends a request and decodes its answer. */
export async function call<T>(r: Request, signal?: AbortSignal): Promise<T> {
  const response = await send(r, signal);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** A whole list, asked for page by page. */
export async function rows<T>(r: Request, name: string, signal?: AbortSignal): Promise<T[]> {
  const all: T[] = [];
  for (let after: string | undefined; ; ) {
    const page = await call<Record<string, T[]> & { next?: string }>({ ...r, query: { ...r.query, limit: 1000, after } }, signal);
    all.push(...(page[name] as T[]));
    after = page.next;
    if (!after) return all;
  }
}

/** The same as a command line. The token is in a variable there, never in the text. */
export function curl(r: Request): string {
  const words = ["curl", "-s"];
  const method = r.method ?? "GET";
  const body = r.text ?? (r.body === undefined ? undefined : JSON.stringify(r.body));
  if (method !== "GET" && !(method === "POST" && body !== undefined)) words.push("-X", method);
  if (token.get()) words.push("-H", `"Authorization: Bearer $OTTLA_TOKEN"`);
  if (r.type && r.type !== "application/json") words.push("-H", quoted("Content-Type: " + r.type));
  words.push(quoted(base + target(r)));
  if (body !== undefined) words.push(r.text === undefined ? "-d" : "--data-binary", quoted(body));
  return words.join(" ");
}

function quoted(text: string): string {
  return "'" + text.replaceAll("'", `'\\''`) + "'";
}

// What the API answers with.

export interface Overview {
  status: "ok" | "degraded" | "failing";
  health: string;
  problems: Problem[];
  counts: Record<
    | "nodes" | "nodes_reachable" | "clusters" | "brokers" | "brokers_running" | "topics" | "partitions" | "leaderless" | "under_replicated"
    | "groups" | "members" | "lag" | "log_bytes" | "disk_free" | "disk_total" | "connections" | "parked",
    number
  >;
  totals: Traffic;
  rates: Rate[];
  clusters: ClusterOverview[];
  lagging: { cluster: string; group: string; members: number; lag: number }[];
  version: string;
  started_at: string;
}

export interface Problem {
  severity: "error" | "warning";
  code: string;
  message: string;
  cluster?: string;
  broker?: number;
  node?: number;
  count?: number;
  partitions?: { cluster: string; topic: string; partition: number; reason: string }[];
}

export type Traffic = Record<"produced_records" | "produced_bytes" | "fetched_records" | "fetched_bytes", number>;

export type Rate = { timestamp: number } & Record<
  "produced_records_per_s" | "produced_bytes_per_s" | "fetched_records_per_s" | "fetched_bytes_per_s",
  number
>;

export interface ClusterOverview {
  name: string;
  topics: number;
  partitions: number;
  brokers: { id: number; state: string; error?: string; leaders: number; replicas: number }[];
}

export interface Partition {
  partition_number: number;
  leader_broker_id: number | null;
  replicas: number[];
  in_sync: number[];
  earliest: number | null;
  latest: number | null;
  log_bytes: number | null;
}

export interface Topic {
  id: string;
  name: string;
  cluster: string;
  partitions: Partition[];
  replication_factor: number;
  retention_ms: number;
  retention_bytes: number;
  segment_bytes: number;
  cleanup_policy: "delete" | "compact";
  delete_retention_ms: number;
  max_record_bytes: number;
  created_at: string;
}

export interface Cluster {
  id: string;
  name: string;
  num_brokers: number;
  log_directory: string;
  partitions: number;
  retention_policies: number;
  replication_factor: number;
  fsync: string;
  created_at: string;
  brokers: Broker[];
  error?: string;
}

export interface Broker {
  id: number;
  host: string;
  port: number;
  state: string;
  error?: string;
  directory: string;
  created_at: string;
  node?: number;
}

export interface Group {
  group: string;
  cluster: string;
  state: string;
  generation: number;
  lag: number;
  members: Member[];
  created_at: string;
  mode?: string;
}

/** What a group has besides that is a work queue. */
export interface Queue {
  topics: string[];
  ack_wait_ms: number;
  max_deliveries: number;
  backoff_ms: number[];
  dead_letter_topic: string | null;
  order: string;
  max_in_flight: number;
  partitions: {
    topic: string;
    partition: number;
    end: number;
    position: number;
    ready: number;
    in_flight: number;
    delayed: number;
    dead: number;
    removed: number;
    oldest_ready_ms: number | null;
  }[];
}

export interface Member {
  consumer_id: number;
  member_id?: string;
  topics: string[];
  assignment: { topic: string; partition: number }[];
  lease_expires_at: string;
  session_timeout_ms: number;
}

export interface GroupOffset {
  topic: string;
  partition: number;
  committed: number | null;
  position: number | null;
  end: number | null;
  lag: number | null;
  metadata: string;
  owner: number | null;
}
