// Numbers and times as people read them.

const groups = new Intl.NumberFormat("en-US");
const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

export const number = (n: number | null | undefined) => (n == null ? "–" : groups.format(n));

/** 12.3K: for axes and tiles, where the title has all digits. */
export const short = (n: number) => (Math.abs(n) < 10_000 ? groups.format(Math.round(n * 10) / 10) : compact.format(n));

export function bytes(n: number | null | undefined): string {
  if (n == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return (unit === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1)) + " " + units[unit];
}

/** A duration in milliseconds: 7d, 12h, 1h 30m, 250ms. */
export function duration(ms: number): string {
  if (ms < 0) return "for ever";
  if (ms < 1000) return `${ms}ms`;
  let seconds = Math.floor(ms / 1000);
  const parts: string[] = [];
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]] as const) {
    const n = Math.floor(seconds / size);
    if (n > 0) parts.push(n + unit);
    seconds -= n * size;
  }
  return parts.slice(0, 2).join(" ");
}

const pad = (n: number, width = 2) => String(n).padStart(width, "0");

/** Local time of day with milliseconds. */
export function clock(ms: number): string {
  const d = new Date(ms);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}.${pad(d.getMilliseconds(), 3)}`;
}

/** Local date and time. */
export function moment(ms: number): string {
  const d = new Date(ms);
  if (isNaN(d.getTime())) return String(ms);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${clock(ms)}`;
}

/** Local date and time to the second. */
export const date = (iso: string) => moment(Date.parse(iso)).slice(0, 19);

export const plural = (n: number, thing: string) => `${number(n)} ${thing}${n === 1 ? "" : "s"}`;

/** Reads 7d, 12h, 90m, 30s, 500ms, milliseconds, or -1; NaN for anything else. */
export function parseDuration(text: string): number {
  text = text.trim();
  if (/^-1$|^for ?ever$/i.test(text)) return -1;
  if (/^\d+$/.test(text)) return Number(text);
  const m = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text);
  if (!m) return NaN;
  return Math.round(Number(m[1]) * { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5 }[m[2] as "ms"]);
}

/** Reads 10GiB, 64 MiB, bytes, or -1; NaN for anything else. */
export function parseBytes(text: string): number {
  text = text.trim();
  if (/^-1$|^unlimited$/i.test(text)) return -1;
  const m = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])i?B?|B)?$/i.exec(text);
  if (!m) return NaN;
  return Math.round(Number(m[1]) * 1024 ** (m[2] ? "KMGT".indexOf(m[2].toUpperCase()) + 1 : 0));
}
