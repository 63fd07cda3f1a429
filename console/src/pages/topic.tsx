import { useState } from "preact/hooks";
import { call, part, type Topic } from "../api";
import { bytes, date, duration, number, parseBytes, parseDuration, plural } from "../format";
import { to } from "../router";
import { usePoll } from "../store";
import { Action, Badge, Button, Curl, Input, PageHead, Panel, Select, Stale, Tabs, Waiting, say } from "../ui";
import { Produce } from "./produce";
import { Records } from "./records";
import { DeleteTopic, offsetsOf, sizeOf, stateOf } from "./topics";

const views = ["partitions", "records", "live", "produce"] as const;
const titles = { partitions: "Partitions", records: "Records", live: "Live tail", produce: "Produce" };

export function TopicPage({ cluster, name, view }: { cluster: string; name: string; view: string }) {
  const request = { path: `/topic/${part(name)}`, query: { cluster } };
  const { data: topic, error, reload } = usePoll((s) => call<Topic>(request, s), 3000, [cluster, name]);
  const [open, setOpen] = useState<"" | "alter" | "delete">("");
  const internal = name.startsWith("__");
  const at = Math.max(0, views.indexOf(view as (typeof views)[number]));
  const state = topic && stateOf(topic);
  return (
    <>
      <PageHead
        title={
          <>
            <a class="up" href={to("topics")}>
              Topics
            </a>
            <span class="sep">/</span>
            <span class="mono">{name}</span> {state && <Badge kind={state.kind}>{state.text}</Badge>}
          </>
        }
        sub={topic && `Cluster ${topic.cluster}, ${plural(topic.partitions.length, "partition")}, ${plural(offsetsOf(topic), "offset")}, ${bytes(sizeOf(topic))}`}
      >
        {topic && !internal && (
          <>
            <Button onClick={() => setOpen("alter")}>Alter</Button>
            <Button kind="danger" onClick={() => setOpen("delete")}>
              Delete
            </Button>
          </>
        )}
      </PageHead>
      <Tabs tabs={views.filter((v) => v !== "produce" || !internal).map((v) => [to("topic", cluster, name, v), titles[v]])} now={at} />
      {!topic ? (
        <Waiting error={error} again={reload} />
      ) : (
        <>
          <Stale error={error} />
          {at === 0 && <Partitions topic={topic} request={request} />}
          {at === 1 && <Records key="records" topic={topic} live={false} />}
          {at === 2 && <Records key="live" topic={topic} live />}
          {at === 3 && <Produce topic={topic} done={reload} />}
          {open === "alter" && (
            <AlterTopic
              topic={topic}
              close={() => setOpen("")}
              done={() => {
                setOpen("");
                reload();
              }}
            />
          )}
          {open === "delete" && <DeleteTopic topic={topic} close={() => setOpen("")} />}
        </>
      )}
    </>
  );
}

const limit = (n: number, show: (n: number) => string) => (n < 0 || n > Number.MAX_SAFE_INTEGER ? "no limit" : show(n));

function Partitions({ topic: t, request }: { topic: Topic; request: { path: string; query: object } }) {
  return (
    <>
      <Panel flush>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Partition</th>
                <th>Leader</th>
                <th>Copies on brokers</th>
                <th class="right">Earliest</th>
                <th class="right">Latest</th>
                <th class="right wide-only">Offsets</th>
                <th class="right wide-only">Size</th>
              </tr>
            </thead>
            <tbody>
              {t.partitions.map((p) => (
                <tr key={p.partition_number}>
                  <td>
                    <a href={to("topic", t.cluster, t.name, "records") + `?partition=${p.partition_number}`}>{p.partition_number}</a>
                  </td>
                  <td class="nowrap">{p.leader_broker_id === null ? <Badge kind="error">none</Badge> : `broker ${p.leader_broker_id}`}</td>
                  <td>
                    <span class="copies">
                      {p.replicas.map((b) => {
                        const synced = p.in_sync?.includes(b);
                        return (
                          <span key={b} class={"copy" + (b === p.leader_broker_id ? " leader" : "") + (synced ? "" : " behind")} title={`broker ${b}: ${b === p.leader_broker_id ? "leader" : synced ? "in sync" : "not in sync"}`}>
                            {b}
                          </span>
                        );
                      })}
                    </span>
                  </td>
                  <td class="right">{number(p.earliest)}</td>
                  <td class="right">{number(p.latest)}</td>
                  <td class="right wide-only">{p.latest === null || p.earliest === null ? "–" : number(p.latest - p.earliest)}</td>
                  <td class="right wide-only">{bytes(p.log_bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Panel>
      <Panel title="Settings">
        <dl class="facts">
          <Fact name="Old records" value={t.cleanup_policy === "compact" ? "compacted by key" : "deleted"} />
          <Fact name="Kept for" value={limit(t.retention_ms, duration)} />
          <Fact name="Kept per partition" value={limit(t.retention_bytes, bytes)} />
          <Fact name="Log file" value={bytes(t.segment_bytes)} />
          <Fact name="Largest record" value={bytes(t.max_record_bytes)} />
          <Fact name="Tombstones kept" value={limit(t.delete_retention_ms, duration)} />
          <Fact name="Copies" value={String(t.replication_factor)} />
          <Fact name="Created" value={date(t.created_at)} />
          <Fact name="Id" value={t.id} mono />
        </dl>
      </Panel>
      <Curl request={request as { path: string }} />
    </>
  );
}

export function Fact({ name, value, mono }: { name: string; value: string; mono?: boolean }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd class={mono ? "mono" : ""}>{value}</dd>
    </div>
  );
}

function AlterTopic({ topic: t, close, done }: { topic: Topic; close: () => void; done: () => void }) {
  const [partitions, setPartitions] = useState(String(t.partitions.length));
  const [policy, setPolicy] = useState<string>(t.cleanup_policy);
  const was = {
    kept: t.retention_ms < 0 || t.retention_ms > Number.MAX_SAFE_INTEGER ? "-1" : duration(t.retention_ms),
    size: t.retention_bytes < 0 || t.retention_bytes > Number.MAX_SAFE_INTEGER ? "-1" : bytes(t.retention_bytes),
    record: bytes(t.max_record_bytes),
  };
  const [kept, setKept] = useState(was.kept);
  const [size, setSize] = useState(was.size);
  const [record, setRecord] = useState(was.record);
  const wrong = {
    partitions: /^\d+$/.test(partitions) && Number(partitions) >= t.partitions.length ? undefined : `a number from ${t.partitions.length} on: partitions are never removed`,
    kept: kept === was.kept || !isNaN(parseDuration(kept)) ? undefined : "such as 12h, 7d or -1 for ever",
    size: size === was.size || !isNaN(parseBytes(size)) ? undefined : "such as 10GiB, or -1 for no limit",
    record: record === was.record || parseBytes(record) > 0 ? undefined : "such as 1MiB",
  };
  const body: Record<string, unknown> = {};
  if (Number(partitions) !== t.partitions.length) body.partitions = Number(partitions);
  if (policy !== t.cleanup_policy) body.cleanup_policy = policy;
  if (kept !== was.kept) body.retention_ms = parseDuration(kept);
  if (size !== was.size) body.retention_bytes = parseBytes(size);
  if (record !== was.record) body.max_record_bytes = parseBytes(record);
  const ready = Object.keys(body).length > 0 && Object.values(wrong).every((w) => !w);
  return (
    <Action
      title={`Alter topic ${t.name}`}
      verb="Alter"
      close={close}
      request={ready ? { method: "PATCH", path: `/topic/${part(t.name)}`, query: { cluster: t.cluster }, body } : undefined}
      done={() => {
        say(`Topic ${t.name} altered`);
        done();
      }}
    >
      <Input label="Partitions" value={partitions} set={setPartitions} error={wrong.partitions} hint="With more partitions, a key may go to another one than before." focus />
      <Select
        label="Old records"
        value={policy}
        set={setPolicy}
        options={[
          ["delete", "are deleted by age and size"],
          ["compact", "are compacted by key"],
        ]}
      />
      <div class="fields">
        <Input label="Kept for" value={kept} set={setKept} error={wrong.kept} hint="-1 is for ever." />
        <Input label="Kept per partition" value={size} set={setSize} error={wrong.size} hint="-1 is without limit." />
      </div>
      <Input label="Largest record" value={record} set={setRecord} error={wrong.record} />
    </Action>
  );
}
