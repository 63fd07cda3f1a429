import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { call, curl, part, send, type Request, type Topic } from "../api";
import { byPath, byText, type Predicate } from "../filter";
import { clock, moment, number, plural, short } from "../format";
import { bytesOf, hexDump, parseRecords, plain, pretty, prettyLimit, preview, type Datum, type Rec } from "../rawjson";
import { useRoute } from "../router";
import { Badge, Button, Curl, Dialog, Empty, Failure, Field, Icon, Input, Search, Select, Waiting, copy } from "../ui";
import { VirtualList } from "../virtual";
import { Tail } from "./tail";

/** Records of a topic: a page of them, or all that come. */
export function Records({ topic, live }: { topic: Topic; live: boolean }) {
  return live ? <LiveTail topic={topic} /> : <Browse topic={topic} />;
}

const pageSize = 100;
/** More partitions than that are not merged: somebody has to choose one. */
const mergeLimit = 32;

type Position = { at: "latest" | "earliest" } | { at: "offset"; offset: number } | { at: "time"; time: number };

function Browse({ topic }: { topic: Topic }) {
  const { query } = useRoute();
  const many = topic.partitions.length;
  const [partition, setPartition] = useState(query.get("partition") ?? (many > 1 && many <= mergeLimit ? "all" : "0"));
  const [position, setPosition] = useState<Position>(query.has("offset") ? { at: "offset", offset: Number(query.get("offset")) } : { at: "latest" });
  const [text, setText] = useState("");
  const [path, setPath] = useState("");
  const [turn, setTurn] = useState(0);
  const [page, setPage] = useState<{ records: Rec[]; requests: Request[] }>();
  const [error, setError] = useState<Error>();
  useEffect(() => {
    const control = new AbortController();
    setError(undefined);
    load(topic, partition, position, control.signal).then(setPage, (e) => control.signal.aborted || setError(e));
    return () => control.abort();
  }, [topic.id, partition, JSON.stringify(position), turn]);
  const filter = useFilter(text, path);
  const shown = useMemo(() => (page?.records ?? []).filter(filter.test), [page, filter.test]);
  const newestFirst = position.at === "latest";
  const first = page?.records.at(newestFirst ? -1 : 0);
  const last = page?.records.at(newestFirst ? 0 : -1);
  return (
    <>
      <div class="controls">
        <Select label="Partition" value={partition} set={setPartition} options={[...(many <= mergeLimit && many > 1 ? [["all", "all"] as [string, string]] : []), ...topic.partitions.map((p) => [String(p.partition_number), String(p.partition_number)] as [string, string])]} />
        <From value={position} set={setPosition} single={partition !== "all"} />
        <FilterFields text={text} setText={setText} path={path} setPath={setPath} wrong={filter.wrong} />
        <div class="tools">
          {partition !== "all" && first && (
            <Button disabled={Number(first.offset) <= (topic.partitions[Number(partition)]?.earliest ?? 0)} onClick={() => setPosition({ at: "offset", offset: Math.max(0, Number(first.offset) - pageSize) })}>
              Older
            </Button>
          )}
          {partition !== "all" && last && <Button onClick={() => setPosition({ at: "offset", offset: Number(last.offset) + 1 })}>Newer</Button>}
          <Button onClick={() => setTurn(turn + 1)}>Reload</Button>
        </div>
      </div>
      {error ? (
        <Failure error={error} again={() => setTurn(turn + 1)} />
      ) : !page ? (
        <Waiting />
      ) : page.records.length === 0 ? (
        <Empty title="There is no record here">
          <p>{position.at === "offset" || position.at === "time" ? "There is nothing behind that position yet." : "Nothing has been written, or retention has removed it."}</p>
        </Empty>
      ) : (
        <>
          <RecordList records={shown} label="Records" />
          <p class="below">
            {shown.length === page.records.length ? plural(shown.length, "record") : `${number(shown.length)} of ${plural(page.records.length, "record")}`}
          </p>
        </>
      )}
      {page && <Curl request={page.requests[0]} />}
    </>
  );
}

async function load(topic: Topic, partition: string, position: Position, signal: AbortSignal): Promise<{ records: Rec[]; requests: Request[] }> {
  const wanted = partition === "all" ? topic.partitions.map((p) => p.partition_number) : [Number(partition)];
  const each = partition === "all" ? Math.max(10, Math.ceil(pageSize / wanted.length)) : pageSize;
  const requests: Request[] = [];
  const pages = await Promise.all(
    wanted.map(async (p) => {
      const path = `/topic/${part(topic.name)}/partitions/${p}`;
      const query: Record<string, string | number> = { cluster: topic.cluster, max_records: each };
      if (position.at === "offset") query.offset = position.offset;
      if (position.at === "time") query.timestamp = position.time;
      if (position.at === "latest") {
        const ends = await call<{ earliest: number; latest: number }>({ path: path + "/offsets", query: { cluster: topic.cluster } }, signal);
        query.offset = Math.max(ends.earliest, ends.latest - each);
      }
      const request = { path: path + "/records", query };
      requests.push(request);
      return parseRecords(await (await send(request, signal)).text()).records;
    }),
  );
  const records = pages.flat();
  if (wanted.length > 1) records.sort((a, b) => a.timestamp - b.timestamp || a.partition - b.partition || Number(a.offset) - Number(b.offset));
  if (position.at === "latest") records.reverse();
  return { records, requests };
}

function From({ value, set, single }: { value: Position; set: (p: Position) => void; single: boolean }) {
  const [offset, setOffset] = useState(value.at === "offset" ? String(value.offset) : "0");
  return (
    <>
      <Select
        label="From"
        value={value.at}
        set={(at) => {
          if (at === "offset") set({ at, offset: Number(offset) || 0 });
          else if (at === "time") set({ at, time: Date.now() - 36e5 });
          else set({ at: at as "latest" });
        }}
        options={[["latest", "the latest"], ["earliest", "the earliest"], ...(single ? [["offset", "an offset"] as [string, string]] : []), ["time", "a time"]]}
      />
      {value.at === "offset" && (
        <Input
          label="Offset"
          value={single ? offset : ""}
          mono
          set={(text) => {
            setOffset(text);
            if (/^\d+$/.test(text)) set({ at: "offset", offset: Number(text) });
          }}
        />
      )}
      {value.at === "time" && (
        <Field label="Time">
          {(id) => <input id={id} type="datetime-local" step="1" value={moment(value.time).slice(0, 19).replace(" ", "T")} onChange={(e) => e.currentTarget.value && set({ at: "time", time: new Date(e.currentTarget.value).getTime() })} />}
        </Field>
      )}
    </>
  );
}

function FilterFields(p: { text: string; setText: (s: string) => void; path: string; setPath: (s: string) => void; wrong?: string }) {
  return (
    <>
      <Field label="Contains">{() => <Search label="text" value={p.text} set={p.setText} />}</Field>
      <Input label="JSON path" value={p.path} set={p.setPath} placeholder="user.country = DE" error={p.wrong} mono />
    </>
  );
}

/** One predicate of both filters; test is another function only if they changed. */
function useFilter(text: string, path: string): { test: Predicate; wrong?: string } {
  return useMemo(() => {
    let deep: Predicate | undefined;
    let wrong: string | undefined;
    try {
      deep = byPath(path);
    } catch (e) {
      wrong = (e as Error).message;
    }
    const flat = byText(text);
    return { test: (r) => (!flat || flat(r)) && (!deep || deep(r)), wrong };
  }, [text, path]);
}

function LiveTail({ topic }: { topic: Topic }) {
  const [partition, setPartition] = useState("all");
  const [from, setFrom] = useState("latest");
  const [key, setKey] = useState("");
  const [text, setText] = useState("");
  const [path, setPath] = useState("");
  const [, render] = useState({});
  const filter = useFilter(text, path);
  const query: Record<string, string> = { cluster: topic.cluster, from };
  if (partition !== "all") query.partition = partition;
  if (key) query.key = key;
  const tail = useRef<Tail>();
  const address = JSON.stringify([topic.id, query]);
  useEffect(() => {
    const t = new Tail(topic.name, query, () => render({}));
    t.filter = filter.test;
    tail.current = t;
    render({});
    return () => t.end();
  }, [address]);
  useEffect(() => tail.current?.setFilter(filter.test), [filter.test]);
  const t = tail.current;
  const shown = t?.shown;
  return (
    <>
      <div class="controls">
        <Select label="Partition" value={partition} set={setPartition} options={[["all", "all"], ...topic.partitions.map((p) => [String(p.partition_number), String(p.partition_number)] as [string, string])]} />
        <Select
          label="From"
          value={from}
          set={setFrom}
          options={[
            ["latest", "now on"],
            ["earliest", "the earliest"],
          ]}
        />
        <Input label="Key" value={key} set={setKey} mono placeholder="any" />
        <FilterFields text={text} setText={setText} path={path} setPath={setPath} wrong={filter.wrong} />
        <div class="tools">
          <Button kind={t?.paused ? "primary" : undefined} pressed={t?.paused} onClick={() => t?.pause(!t.paused)}>
            {t?.paused ? "Go on" : "Pause"}
          </Button>
          <Button onClick={() => t?.clear()}>Clear</Button>
        </div>
      </div>
      <p class="tail-state" role="status">
        <TailState tail={t} />
      </p>
      {t?.error && <Failure error={t.error} />}
      {shown && shown.length > 0 ? (
        <RecordList records={shown} label="Live records" follow={!t!.paused} onFollow={(follows) => t!.pause(!follows)} />
      ) : (
        <Empty title={t?.paused ? "Paused" : "Waiting for records"}>
          <p>{t && t.seen > 0 ? `${plural(t.seen, "record")} came, and none passed the filters.` : "What is written to the topic from now on appears here."}</p>
        </Empty>
      )}
      <Curl request={{ path: `/topic/${part(topic.name)}/stream`, query }} />
    </>
  );
}

function TailState({ tail: t }: { tail?: Tail }) {
  if (!t) return null;
  const kind = t.state === "live" ? "ok" : t.state === "lost" ? "error" : "plain";
  return (
    <>
      <Badge kind={kind}>{t.state === "live" ? (t.paused ? "live, paused" : "live") : t.state === "lost" ? "connecting again" : "connecting"}</Badge> {short(t.rate)} records/s, {number(t.seen)} seen, {number(t.shown.length)} shown
      {t.waiting > 0 && `, ${number(t.waiting)} since the pause`}
      {t.skipped > 0 && `, ${number(t.skipped)} skipped because they came faster than this page can show them`}
      {t.gaps > 0 && `, ${number(t.gaps)} removed by retention before they were read`}
    </>
  );
}

/** Rows of records; one is opened by a click, or by Enter. */
function RecordList(p: { records: readonly Rec[]; label: string; follow?: boolean; onFollow?: (f: boolean) => void }) {
  const [open, setOpen] = useState<Rec>();
  const [selected, setSelected] = useState(-1);
  const box = useRef<HTMLDivElement>(null);
  const key = (e: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 }[e.key];
    if (step !== undefined) {
      e.preventDefault();
      p.onFollow?.(false);
      const next = Math.min(p.records.length - 1, Math.max(0, (selected < 0 ? (step > 0 ? -1 : p.records.length) : selected) + step));
      setSelected(next);
      const list = box.current!.querySelector<HTMLElement>(".virtual")!;
      const top = next * 28;
      if (top < list.scrollTop) list.scrollTop = top;
      if (top + 28 * 2 > list.scrollTop + list.clientHeight) list.scrollTop = top + 28 * 2 - list.clientHeight;
    } else if (e.key === "Enter" && p.records[selected]) {
      setOpen(p.records[selected]);
    }
  };
  return (
    <div ref={box} onKeyDown={key}>
      <VirtualList
        class="records"
        label={p.label + "; arrow keys select, Enter opens"}
        count={p.records.length}
        rowHeight={28}
        follow={p.follow}
        onFollow={p.onFollow}
        head={
          <div class="row head" role="row">
            <span role="columnheader">Time</span>
            <span role="columnheader" class="right">
              Part.
            </span>
            <span role="columnheader" class="right">
              Offset
            </span>
            <span role="columnheader">Key</span>
            <span role="columnheader">Value</span>
          </div>
        }
        row={(i) => <RecordRow key={p.records[i].partition + ":" + p.records[i].offset} r={p.records[i]} selected={i === selected} open={() => (setSelected(i), setOpen(p.records[i]))} />}
      />
      {open && <RecordDialog r={open} close={() => setOpen(undefined)} />}
    </div>
  );
}

function RecordRow({ r, selected, open }: { r: Rec; selected: boolean; open: () => void }) {
  return (
    <div class={"row" + (selected ? " selected" : "")} role="row" aria-selected={selected} onClick={open}>
      <span role="gridcell" title={moment(r.timestamp)}>
        {clock(r.timestamp)}
      </span>
      <span role="gridcell" class="right">
        {r.partition}
      </span>
      <span role="gridcell" class="right">
        {r.offset}
      </span>
      <span role="gridcell" class={"datum " + r.key.kind}>
        {preview(r.key, 60)}
      </span>
      <span role="gridcell" class={"datum " + r.value.kind}>
        {preview(r.value)}
      </span>
    </div>
  );
}

function RecordDialog({ r, close }: { r: Rec; close: () => void }) {
  const request = { path: `/topic/${part(r.topic)}/partitions/${r.partition}/records`, query: { offset: r.offset, max_records: 1 } };
  const headers = headerPairs(JSON.parse(r.headers) as Record<string, string> | [string, unknown][]);
  return (
    <Dialog title={`Partition ${r.partition}, offset ${r.offset}`} close={close} wide>
      <div class="dialog-body">
        <p class="small">
          {moment(r.timestamp)} ({r.timestamp})
        </p>
        <DatumView name="Key" d={r.key} />
        <DatumView name="Value" d={r.value} />
        <h3>Headers</h3>
        {headers.length === 0 ? (
          <p class="small">none</p>
        ) : (
          <table class="headers">
            <tbody>
              {headers.map(([name, value], i) => (
                <tr key={i}>
                  <th scope="row">{name}</th>
                  <td>{value}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        <div class="tools">
          <Button onClick={() => copy(plain(r.value))}>
            <Icon name="copy" /> Value
          </Button>
          <Button onClick={() => copy(r.text)}>
            <Icon name="copy" /> Record
          </Button>
          <Button onClick={() => copy(curl(request))}>
            <Icon name="copy" /> curl
          </Button>
        </div>
        <Curl request={request} />
      </div>
    </Dialog>
  );
}

function DatumView({ name, d }: { name: string; d: Datum }) {
  const [hex, setHex] = useState(d.kind === "base64");
  const what = { json: "JSON", text: "text", base64: "bytes", null: "null" }[d.kind];
  return (
    <>
      <h3>
        {name} <span class="small">{what}</span>
        {d.kind !== "null" && (
          <Button kind="plain" pressed={hex} onClick={() => setHex(!hex)}>
            {hex ? "As text" : "As hex"}
          </Button>
        )}
      </h3>
      {d.kind === "null" ? (
        <p class="small">{name === "Value" ? "null: a tombstone where records are compacted" : "none"}</p>
      ) : (
        <pre class="datum-view" tabIndex={0} aria-label={name}>
          {hex ? hexDump(bytesOf(d)) : d.kind === "json" && d.raw.length <= prettyLimit ? pretty(d.raw).map((piece, i) => (piece.kind ? <span key={i} class={"json-" + piece.kind}>{piece.text}</span> : piece.text)) : plain(d)}
        </pre>
      )}
    </>
  );
}


/** Headers, either form: an object of texts, or a list of names with texts, null or bytes. */
function headerPairs(headers: Record<string, string> | [string, unknown][]): [string, string][] {
  if (!Array.isArray(headers)) return Object.entries(headers);
  return headers.map(([name, value]) => [name, typeof value === "string" ? value : value === null ? "null" : `base64 ${(value as { b64: string }).b64}`]);
}
