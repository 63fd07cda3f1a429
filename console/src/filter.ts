// Filters of records: by text, and by a path into their JSON.

import { plain, type Datum, type Rec } from "./rawjson";

export type Predicate = (r: Rec) => boolean;

/** Records whose key, value or headers contain a text, whatever its case. */
export function byText(text: string): Predicate | undefined {
  if (!text) return undefined;
  const want = new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
  return (r) => want.test(plain(r.key)) || want.test(plain(r.value)) || want.test(r.headers);
}

const roots = ["key", "value", "headers", "topic", "partition", "offset", "timestamp"];
const operators = ["!=", ">=", "<=", "=", ">", "<", "~"] as const;
type Operator = (typeof operators)[number];

/**
 * A filter such as `user.country = DE`, `$.items[0].price >= 10`, `headers.source ~ web`,
 * `key = "o-1"`, or a path alone, for records that have it. A path that does not begin
 * with a field of the record goes into its value. Throws an Error that says what is
 * wrong with the text.
 */
export function byPath(text: string): Predicate | undefined {
  text = text.trim();
  if (!text) return undefined;
  const { path, operator, operand } = split(text);
  const steps = parsePath(path);
  if (!operator) return (r) => walk(r, steps) !== undefined;
  const wanted = literal(operand);
  return (r) => compare(walk(r, steps), operator, wanted);
}

function split(text: string): { path: string; operator?: Operator; operand: string } {
  let quote = "";
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quote) {
      if (c === quote) quote = "";
      continue;
    }
    if (c === '"' || c === "'") {
      quote = c;
      continue;
    }
    const operator = operators.find((o) => text.startsWith(o, i));
    if (operator) return { path: text.slice(0, i).trim(), operator, operand: text.slice(i + operator.length).replace(/^=/, "").trim() };
  }
  return { path: text, operand: "" };
}

function parsePath(path: string): string[] {
  const steps: string[] = [];
  const token = /^(?:\.?([\p{L}\p{N}_$-]+)|\[(\d+)\]|\[(?:"([^"]*)"|'([^']*)')\])/u;
  let rest = path;
  while (rest) {
    const m = token.exec(rest);
    if (!m) throw new Error(`Not a path: ${path}`);
    steps.push(m[1] ?? m[2] ?? m[3] ?? m[4]);
    rest = rest.slice(m[0].length);
  }
  if (steps.length === 0) throw new Error("A path is missing before the comparison");
  if (steps[0] === "$") steps[0] = "value";
  else if (!roots.includes(steps[0])) steps.unshift("value");
  return steps;
}

function literal(text: string): unknown {
  if (text === "") throw new Error("A value is missing behind the comparison");
  const quotes = /^'(.*)'$/.exec(text);
  if (quotes) return quotes[1];
  try {
    return JSON.parse(text);
  } catch {
    return text; // a word without quotes
  }
}

function walk(r: Rec, steps: string[]): unknown {
  let at: unknown;
  switch (steps[0]) {
    case "key":
    case "value":
      at = decoded(r[steps[0]]);
      break;
    case "headers":
      at = JSON.parse(r.headers);
      break;
    case "offset":
      at = Number(r.offset);
      break;
    default:
      at = r[steps[0] as "topic" | "partition" | "timestamp"];
  }
  for (const step of steps.slice(1)) {
    if (at === null || typeof at !== "object" || !Object.hasOwn(at, step)) return undefined;
    at = (at as Record<string, unknown>)[step];
  }
  return at;
}

function decoded(d: Datum): unknown {
  return JSON.parse(d.raw);
}

function compare(is: unknown, operator: Operator, want: unknown): boolean {
  if (is === undefined) return operator === "!=";
  switch (operator) {
    case "=":
      return same(is, want);
    case "!=":
      return !same(is, want);
    case "~":
      return text(is).toLowerCase().includes(text(want).toLowerCase());
  }
  const [a, b] = typeof is === "number" && typeof want === "number" ? [is, want] : [text(is), text(want)];
  switch (operator) {
    case ">":
      return a > b;
    case "<":
      return a < b;
    case ">=":
      return a >= b;
    default:
      return a <= b;
  }
}

/** A word without quotes also means the number, and the other way round. */
const same = (a: unknown, b: unknown) => a === b || text(a) === text(b);

const text = (v: unknown) => (typeof v === "string" ? v : JSON.stringify(v));
