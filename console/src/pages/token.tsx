// What a token allows, how long and how much: the dialogs that create and change one.

import { useState } from "preact/hooks";
import { part, type Request } from "../api";
import { date } from "../format";
import { Action, Button, Input, Select, say } from "../ui";
import { nameError } from "./topics";

export interface Grant {
  do: string[];
  cluster?: string;
  topics?: string;
  groups?: string;
}

export interface Token {
  name: string;
  allow: Grant[];
  expires_at?: string;
  quota?: Record<string, number>;
  created_at?: string;
  previous_until?: string;
}

export const quotas: [name: string, label: string][] = [
  ["produce_bytes_per_s", "Bytes written a second"],
  ["fetch_bytes_per_s", "Bytes read a second"],
  ["requests_per_s", "Requests a second"],
  ["connections", "Connections"],
  ["partitions", "Partitions created"],
];

const rights = ["read", "write", "admin"];

/** A grant as it is being written. */
type Draft = Record<"do" | "cluster" | "topics" | "groups", string>;

const drafted = (g: Grant): Draft => ({ do: rights.filter((r) => g.do.includes(r)).join(" "), cluster: g.cluster ?? "", topics: g.topics ?? "", groups: g.groups ?? "" });

function granted(d: Draft): Grant {
  const g: Grant = { do: d.do.split(" ") };
  if (d.cluster) g.cluster = d.cluster;
  if (d.topics) g.topics = d.topics;
  if (d.groups) g.groups = d.groups;
  return g;
}

const patternError = (p: string) => (p && p !== "*" ? nameError(p.replace(/\*$/, "")) && "a name, or the beginning of names and *" : undefined);

const whole = (text: string) => /^[1-9]\d{0,12}$/.test(text);

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** Creates a token, or changes one that there is. */
export function TokenDialog<T>({ token, close, done }: { token?: Token; close: () => void; done: (answer: T) => void }) {
  const [name, setName] = useState("");
  const [drafts, setDrafts] = useState<Draft[]>(token ? token.allow.map(drafted) : [drafted({ do: ["read"] })]);
  const [ends, setEnds] = useState(token ? "as it is" : "never");
  const [days, setDays] = useState("");
  const [bounds, setBounds] = useState<Record<string, string>>(Object.fromEntries(quotas.map(([q]) => [q, String(token?.quota?.[q] ?? "")])));
  const set = (at: number, to: Partial<Draft>) => setDrafts(drafts.map((d, i) => (i === at ? { ...d, ...to } : d)));
  const patterns = drafts.flatMap((d) => [d.cluster, d.topics, d.groups]);
  const wrong = {
    name: nameError(name),
    days: ends === "days" && days && !whole(days) ? "a number from 1 on" : undefined,
    bounds: Object.values(bounds).some((b) => b !== "" && !whole(b)),
  };
  const ready = (token || (name && !wrong.name)) && !patterns.some(patternError) && (ends !== "days" || whole(days)) && !wrong.bounds;
  const request = ready ? asked(token, name, drafts.map(granted), expiry(ends, days), quotaOf(bounds)) : undefined;
  return (
    <Action<T>
      title={token ? `Change token ${token.name}` : "Create token"}
      verb={token ? "Change" : "Create"}
      close={close}
      request={request}
      done={(answer) => {
        if (token) say(`Token ${token.name} changed`);
        done(answer);
      }}
    >
      {!token && <Input label="Name" value={name} set={setName} error={wrong.name} mono focus />}
      {drafts.map((d, i) => (
        <GrantFields key={i} draft={d} number={drafts.length > 1 ? i + 1 : 0} set={(to) => set(i, to)} remove={() => setDrafts(drafts.filter((_, j) => j !== i))} />
      ))}
      <Button kind="plain" onClick={() => setDrafts([...drafts, drafted({ do: ["read"] })])}>
        Allow more
      </Button>
      <div class="fields">
        <Select label="Expires" value={ends} set={setEnds} options={[...(token ? [["as it is", token.expires_at ? date(token.expires_at) : "never, as it is"] as [string, string]] : []), ["never", "never"], ["days", "after some days"]]} />
        {ends === "days" && <Input label="Days until it expires" value={days} set={setDays} error={wrong.days} />}
      </div>
      <details open={token?.quota !== undefined}>
        <summary>Quotas</summary>
        <div class="fields">
          {quotas.map(([q, label]) => (
            <Input
              key={q}
              label={label}
              value={bounds[q]!}
              set={(v) => setBounds({ ...bounds, [q]: v })}
              placeholder="unbounded"
              error={bounds[q] && !whole(bounds[q]!) ? "a number from 1 on" : undefined}
            />
          ))}
        </div>
      </details>
    </Action>
  );
}

function GrantFields({ draft: d, number, set, remove }: { draft: Draft; number: number; set: (to: Partial<Draft>) => void; remove: () => void }) {
  const nth = number > 0 ? ` (${number})` : "";
  return (
    <>
      <div class="fields">
        <Select
          label={"It may" + nth}
          value={d.do}
          set={(v) => set({ do: v })}
          options={[
            ["read", "read"],
            ["write", "write"],
            ["read write", "read and write"],
            ["admin", "administer"],
            ["read admin", "read and administer"],
            ["write admin", "write and administer"],
            ["read write admin", "everything"],
          ]}
        />
        <Input label={"Cluster" + nth} value={d.cluster} set={(v) => set({ cluster: v })} placeholder="all" mono error={patternError(d.cluster)} />
      </div>
      <div class="fields">
        <Input label={"Topics" + nth} value={d.topics} set={(v) => set({ topics: v })} placeholder="all" mono error={patternError(d.topics)} hint="A name, or the beginning of names and *." />
        <Input label={"Groups" + nth} value={d.groups} set={(v) => set({ groups: v })} placeholder="all" mono error={patternError(d.groups)} />
        {number > 0 && (
          <Button kind="plain" label={`Do not allow ${number}`} onClick={remove}>
            Remove
          </Button>
        )}
      </div>
    </>
  );
}

/** When a token expires: undefined means as it is, null never. */
function expiry(ends: string, days: string): string | null | undefined {
  if (ends === "days") return new Date(Date.now() + Number(days) * 864e5).toISOString();
  return ends === "never" ? null : undefined;
}

function quotaOf(bounds: Record<string, string>): Record<string, number> | null {
  const set = quotas.filter(([q]) => bounds[q]).map(([q]) => [q, Number(bounds[q])] as const);
  return set.length > 0 ? Object.fromEntries(set) : null;
}

/** The request that makes it so; a change names only what changes, and is none without any. */
function asked(token: Token | undefined, name: string, allow: Grant[], expires: string | null | undefined, quota: Record<string, number> | null): Request | undefined {
  if (!token) {
    const body: Record<string, unknown> = { name, allow };
    if (expires) body.expires_at = expires;
    if (quota) body.quota = quota;
    return { method: "POST", path: "/tokens", body };
  }
  const body: Record<string, unknown> = {};
  if (!same(allow, token.allow.map((g) => granted(drafted(g))))) body.allow = allow;
  if (expires !== undefined && expires !== (token.expires_at ?? null)) body.expires_at = expires;
  const before = Object.fromEntries(quotas.filter(([q]) => token.quota?.[q] !== undefined).map(([q]) => [q, token.quota![q]!]));
  if (!same(quota ?? {}, before)) body.quota = quota;
  return Object.keys(body).length > 0 ? { method: "PATCH", path: `/tokens/${part(token.name)}`, body } : undefined;
}

/** A grant in words. */
export function allowed(a: Grant): string {
  const where = [a.cluster && `cluster ${a.cluster}`, a.topics && `topics ${a.topics}`, a.groups && `groups ${a.groups}`].filter(Boolean);
  return a.do.join(", ") + (where.length > 0 ? ` on ${where.join(", ")}` : "");
}
