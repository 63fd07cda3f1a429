// JSON as text. A record is shown as it was written, digit for digit: decoding it
// would round large numbers and lose the order of what JavaScript takes for indexes.

/** Key or value of a record. raw is JSON; for text and base64 it is a JSON string. */
export interface Datum {
  kind: "json" | "text" | "base64" | "null";
  raw: string;
}

export interface Rec {
  topic: string;
  partition: number;
  offset: string;
  timestamp: number;
  key: Datum;
  value: Datum;
  headers: string;
  cursor?: string;
  /** The whole record, without the cursor. */
  text: string;
}

const nothing: Datum = { kind: "null", raw: "null" };

/** The index behind the string that begins at i. */
function behindString(s: string, i: number): number {
  for (let end = s.indexOf('"', i + 1); end >= 0; end = s.indexOf('"', end + 1)) {
    let escapes = 0;
    while (s.charCodeAt(end - 1 - escapes) === 92) escapes++;
    if (escapes % 2 === 0) return end + 1;
  }
  return s.length;
}

/** The index behind the value that begins at i. */
export function behindValue(s: string, i: number): number {
  let depth = 0;
  for (; i < s.length; i++) {
    switch (s.charCodeAt(i)) {
      case 34: // "
        i = behindString(s, i) - 1;
        if (depth === 0) return i + 1;
        break;
      case 91: // [
      case 123: // {
        depth++;
        break;
      case 93: // ]
      case 125: // }
        if (depth === 0) return i;
        if (--depth === 0) return i + 1;
        break;
      case 44: // ,
        if (depth === 0) return i;
    }
  }
  return i;
}

/** Reads a record from the compact JSON that the server writes. */
export function parseRecord(line: string): Rec {
  const r: Rec = { topic: "", partition: 0, offset: "0", timestamp: 0, key: nothing, value: nothing, headers: "{}", text: line };
  for (let i = 1; i < line.length - 1; ) {
    const nameEnd = behindString(line, i);
    const name = line.slice(i + 1, nameEnd - 1);
    const end = behindValue(line, nameEnd + 1);
    const raw = line.slice(nameEnd + 1, end);
    switch (name) {
      case "topic":
        r.topic = JSON.parse(raw);
        break;
      case "partition":
        r.partition = Number(raw);
        break;
      case "offset":
        r.offset = raw;
        break;
      case "timestamp":
        r.timestamp = Number(raw);
        break;
      case "headers":
        r.headers = raw;
        break;
      case "cursor":
        r.cursor = raw.slice(1, -1);
        r.text = line.slice(0, i - 1) + "}";
        break;
      default: {
        const [what, form] = name.split("_");
        if (what !== "key" && what !== "value") break;
        r[what] = raw === "null" && !form ? nothing : { kind: (form ?? "json") as Datum["kind"], raw };
      }
    }
    i = end + 1;
  }
  return r;
}

/** The records of an answer that has them in the field "records". */
export function parseRecords(text: string): { records: Rec[]; rest: Record<string, number> } {
  const begin = text.indexOf('"records":[') + 11;
  const records: Rec[] = [];
  let i = begin;
  while (text.charCodeAt(i) === 123) {
    const end = behindValue(text, i);
    records.push(parseRecord(text.slice(i, end)));
    i = text.charCodeAt(end) === 44 ? end + 1 : end;
  }
  return { records, rest: JSON.parse(text.slice(0, begin) + text.slice(i)) };
}

/** One line that shows what a key or value is. */
export function preview(d: Datum, limit = 240): string {
  switch (d.kind) {
    case "null":
      return "null";
    case "json":
      return d.raw.length > limit ? d.raw.slice(0, limit) + "…" : d.raw;
    case "text": {
      const text: string = JSON.parse(d.raw);
      return (text.length > limit ? text.slice(0, limit) + "…" : text).replace(/[\n\r\t]/g, " ");
    }
    case "base64":
      return `${bytesOf(d).length} bytes`;
  }
}

/** What was written, as text; for bytes their base64. */
export function plain(d: Datum): string {
  return d.kind === "json" || d.kind === "null" ? d.raw : JSON.parse(d.raw);
}

export function bytesOf(d: Datum): Uint8Array {
  if (d.kind === "base64") return Uint8Array.from(atob(JSON.parse(d.raw)), (c) => c.charCodeAt(0));
  return new TextEncoder().encode(plain(d));
}

/** A piece of JSON and what it is: of the class with that name in the style sheet. */
export interface Piece {
  kind: "" | "key" | "string" | "number" | "word";
  text: string;
}

/** Longer JSON is shown as it is, so that a large value does not freeze the page. */
export const prettyLimit = 200_000;

/** Compact JSON with line breaks and indentation. */
export function pretty(s: string): Piece[] {
  const out: Piece[] = [];
  let between = "";
  let depth = 0;
  const line = () => (between += "\n" + "  ".repeat(depth));
  const put = (kind: Piece["kind"], text: string) => {
    if (between) out.push({ kind: "", text: between });
    between = "";
    out.push({ kind, text });
  };
  for (let i = 0; i < s.length; ) {
    const c = s[i];
    if (c === '"') {
      const end = behindString(s, i);
      put(s[end] === ":" ? "key" : "string", s.slice(i, end));
      i = end;
      continue;
    }
    i++;
    if (c === "{" || c === "[") {
      between += c;
      if (s[i] === "}" || s[i] === "]") {
        between += s[i++];
        continue;
      }
      depth++;
      line();
    } else if (c === "}" || c === "]") {
      depth--;
      line();
      between += c;
    } else if (c === ",") {
      between += c;
      line();
    } else if (c === ":") {
      between += ": ";
    } else if (c > " ") {
      const end = behindValue(s, i - 1);
      put(c === "-" || (c >= "0" && c <= "9") ? "number" : "word", s.slice(i - 1, end));
      i = end;
    }
  }
  if (between) out.push({ kind: "", text: between });
  return out;
}

/** The first bytes as a hex dump, 16 in a line. */
export function hexDump(b: Uint8Array, limit = 4096): string {
  const lines: string[] = [];
  for (let at = 0; at < Math.min(b.length, limit); at += 16) {
    const row = b.subarray(at, Math.min(at + 16, limit));
    const hex = Array.from(row, (x) => x.toString(16).padStart(2, "0"));
    const text = Array.from(row, (x) => (x >= 32 && x < 127 ? String.fromCharCode(x) : "."));
    lines.push(`${at.toString(16).padStart(8, "0")}  ${hex.slice(0, 8).join(" ").padEnd(23)}  ${hex.slice(8).join(" ").padEnd(23)}  ${text.join("")}`);
  }
  if (b.length > limit) lines.push(`… ${b.length - limit} more bytes`);
  return lines.join("\n");
}
