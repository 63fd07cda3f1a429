import { useState } from "preact/hooks";
import { call, type Request, type Topic } from "../api";
import { number, plural } from "../format";
import { to } from "../router";
import { Button, Curl, Failure, Field, Icon, Input, Panel, Select, say } from "../ui";

interface Placed {
  topic: string;
  partition?: number;
  offset?: number;
  count?: number;
  partitions?: { partition: number; base_offset: number; count: number }[];
}

/** Writes one record, or many, a JSON object a line. */
export function Produce({ topic, done }: { topic: Topic; done: () => void }) {
  const [many, setMany] = useState(false);
  const [sent, setSent] = useState<Placed>();
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const one = useOne(topic);
  const lines = useLines(topic);
  const { request, fields, wrong } = many ? lines : one;
  const submit = async (e: Event) => {
    e.preventDefault();
    if (!request || busy) return;
    setBusy(true);
    setError(undefined);
    try {
      const answer = await call<Placed>(request);
      setSent(answer);
      say(answer.count === undefined ? "Record written" : `${plural(answer.count, "record")} written`);
      done();
    } catch (e) {
      setSent(undefined);
      setError(e as Error);
    }
    setBusy(false);
  };
  return (
    <Panel>
      <form class="produce" onSubmit={submit}>
        <div class="choice" role="group" aria-label="How many">
          <Button pressed={!many} onClick={() => setMany(false)}>
            One record
          </Button>
          <Button pressed={many} onClick={() => setMany(true)}>
            Many, one a line
          </Button>
        </div>
        {fields}
        {wrong && (
          <p class="wrong" role="alert">
            {wrong}
          </p>
        )}
        {error && <Failure error={error} />}
        {sent && <Receipt sent={sent} topic={topic} />}
        <div class="tools">
          <Button type="submit" kind="primary" disabled={!request || busy}>
            {busy ? "Writing …" : "Write"}
          </Button>
        </div>
        {request && <Curl request={request} />}
      </form>
    </Panel>
  );
}

function Receipt({ sent, topic }: { sent: Placed; topic: Topic }) {
  const places = sent.partitions ?? [{ partition: sent.partition!, base_offset: sent.offset!, count: 1 }];
  return (
    <div class="notice ok" role="status">
      <Icon name="check" />
      <p>
        Written and on disk on a majority of copies:{" "}
        {places.map((p, i) => (
          <span key={p.partition}>
            {i > 0 && ", "}
            <a href={to("topic", topic.cluster, topic.name, "records") + `?partition=${p.partition}&offset=${p.base_offset}`}>
              partition {p.partition}, offset {number(p.base_offset)}
            </a>
            {p.count > 1 && ` (${plural(p.count, "record")})`}
          </span>
        ))}
      </p>
    </div>
  );
}

type Form = "json" | "text";

/** The JSON of a key or value as the user typed it, digit for digit. */
function field(name: string, text: string, form: Form): string {
  return form === "json" ? `"${name}":${text.trim()}` : `"${name}_text":${JSON.stringify(text)}`;
}

function problem(text: string, form: Form): string | undefined {
  if (form === "text" || text.trim() === "") return undefined;
  try {
    JSON.parse(text);
    return undefined;
  } catch (e) {
    return `Not JSON: ${(e as Error).message}`;
  }
}

function useOne(topic: Topic) {
  const [key, setKey] = useState("");
  const [keyForm, setKeyForm] = useState<Form>("text");
  const [value, setValue] = useState("");
  const [valueForm, setValueForm] = useState<Form>("json");
  const [partition, setPartition] = useState("");
  const [headers, setHeaders] = useState<[string, string][]>([]);
  const keyWrong = problem(key, keyForm);
  const valueWrong = problem(value, valueForm);
  const parts = [`"topic":${JSON.stringify(topic.name)}`, `"cluster":${JSON.stringify(topic.cluster)}`];
  // A plain key is a JSON string, as every client sends it.
  if (key) parts.push(keyForm === "text" ? `"key":${JSON.stringify(key)}` : field("key", key, "json"));
  if (value !== "") parts.push(field("value", value, valueForm));
  if (partition) parts.push(`"partition":${partition}`);
  const named = headers.filter(([name]) => name);
  if (named.length > 0) parts.push(`"headers":${JSON.stringify(Object.fromEntries(named))}`);
  const ready = !keyWrong && !valueWrong;
  const request: Request | undefined = ready ? { method: "POST", path: "/events", text: `{${parts.join(",")}}` } : undefined;
  const change = (at: number, part: 0 | 1, text: string) =>
    setHeaders((now) => now.map((pair, i) => (i === at ? ((part === 0 ? [text, pair[1]] : [pair[0], text]) as [string, string]) : pair)));
  const fields = (
    <>
      <div class="fields">
        <Input label="Key" value={key} set={setKey} error={keyWrong} mono placeholder="none" hint="Records with the same key go to the same partition." />
        <Select
          label="Key is"
          value={keyForm}
          set={(v) => setKeyForm(v as Form)}
          options={[
            ["text", "a string"],
            ["json", "JSON"],
          ]}
        />
        <Select label="Partition" value={partition} set={setPartition} options={[["", "by key, else in turn"], ...topic.partitions.map((p) => [String(p.partition_number), String(p.partition_number)] as [string, string])]} />
      </div>
      <div class="fields">
        <Field label="Value" error={valueWrong} hint={value === "" ? "Empty is null: where records are compacted, that deletes the key." : undefined}>
          {(id) => <textarea id={id} class="mono" rows={10} value={value} spellcheck={false} placeholder={valueForm === "json" ? '{"total": 12.50}' : "any text"} aria-invalid={!!valueWrong || undefined} onInput={(e) => setValue(e.currentTarget.value)} />}
        </Field>
        <Select
          label="Value is"
          value={valueForm}
          set={(v) => setValueForm(v as Form)}
          options={[
            ["json", "JSON"],
            ["text", "text"],
          ]}
        />
      </div>
      <fieldset>
        <legend>Headers</legend>
        {headers.map(([name, content], i) => (
          <div class="pair" key={i}>
            <input aria-label={`Name of header ${i + 1}`} class="mono" placeholder="name" value={name} onInput={(e) => change(i, 0, e.currentTarget.value)} />
            <input aria-label={`Value of header ${i + 1}`} class="mono" placeholder="value" value={content} onInput={(e) => change(i, 1, e.currentTarget.value)} />
            <Button kind="plain" label={`Remove header ${i + 1}`} onClick={() => setHeaders(headers.filter((_, at) => at !== i))}>
              <Icon name="close" />
            </Button>
          </div>
        ))}
        <Button onClick={() => setHeaders([...headers, ["", ""]])}>Add header</Button>
      </fieldset>
    </>
  );
  return { request, fields, wrong: undefined as string | undefined };
}

function useLines(topic: Topic) {
  const [text, setText] = useState("");
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  let wrong: string | undefined;
  for (const [i, line] of lines.entries()) {
    const bad = problem(line, "json") ?? (/^\s*\{/.test(line) ? undefined : "a record is an object");
    if (bad) {
      wrong = `Line ${i + 1}: ${bad}`;
      break;
    }
  }
  const request: Request | undefined =
    lines.length > 0 && !wrong
      ? { method: "POST", path: "/events", query: { topic: topic.name, cluster: topic.cluster }, text: lines.join("\n") + "\n", type: "application/x-ndjson" }
      : undefined;
  const fields = (
    <Field label="Records" hint={lines.length > 0 ? plural(lines.length, "record") : "An object a line, with key, value, partition, headers and timestamp as far as needed."}>
      {(id) => <textarea id={id} class="mono" rows={14} value={text} spellcheck={false} placeholder={'{"key": "o-1", "value": {"total": 12.50}}\n{"key": "o-2", "value": {"total": 7}, "headers": {"source": "web"}}'} onInput={(e) => setText(e.currentTarget.value)} />}
    </Field>
  );
  return { request, fields, wrong };
}
