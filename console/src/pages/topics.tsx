import { useMemo, useState } from "preact/hooks";
import { call, part, type Cluster, type Topic } from "../api";
import { bytes, duration, number, parseDuration, plural } from "../format";
import { go, to } from "../router";
import { usePoll } from "../store";
import { Action, Badge, Button, Curl, Empty, Input, PageHead, Search, Select, Stale, Waiting, say } from "../ui";
import { VirtualList } from "../virtual";

/** How many offsets a topic has, as far as leaders tell. */
export const offsetsOf = (t: Topic) => t.partitions.reduce((n, p) => n + (p.latest ?? 0) - (p.earliest ?? 0), 0);

export const sizeOf = (t: Topic) => t.partitions.reduce((n, p) => n + (p.log_bytes ?? 0), 0);

export function stateOf(t: Topic): { kind: "ok" | "warning" | "error"; text: string } {
  const leaderless = t.partitions.filter((p) => p.leader_broker_id === null).length;
  if (leaderless > 0) return { kind: "error", text: `${leaderless} without leader` };
  const behind = t.partitions.filter((p) => p.in_sync && p.in_sync.length < p.replicas.length).length;
  if (behind > 0) return { kind: "warning", text: `${behind} under-replicated` };
  return { kind: "ok", text: "in sync" };
}

export function TopicsPage() {
  const [internal, setInternal] = useState(false);
  const [filter, setFilter] = useState("");
  const [creating, setCreating] = useState(false);
  const request = { path: "/topic", query: { internal: internal || undefined } };
  const { data, error, reload } = usePoll((s) => call<{ topics: Topic[] }>(request, s), 5000, [internal]);
  const topics = useMemo(() => {
    const want = filter.toLowerCase();
    return (data?.topics ?? []).filter((t) => t.name.toLowerCase().includes(want)).sort((a, b) => a.name.localeCompare(b.name));
  }, [data, filter]);
  const clusters = useMemo(() => new Set(data?.topics.map((t) => t.cluster)).size, [data]);
  return (
    <>
      <PageHead title="Topics" sub={data && (topics.length === data.topics.length ? plural(topics.length, "topic") : `${number(topics.length)} of ${plural(data.topics.length, "topic")}`)}>
        <Search label="Filter topics" value={filter} set={setFilter} />
        <label class="check">
          <input type="checkbox" checked={internal} onChange={(e) => setInternal(e.currentTarget.checked)} /> Internal
        </label>
        <Button kind="primary" onClick={() => setCreating(true)}>
          Create topic
        </Button>
      </PageHead>
      {!data ? (
        <Waiting error={error} again={reload} />
      ) : (
        <>
          <Stale error={error} />
          {topics.length === 0 ? (
            <Empty title={filter ? "No topic has that in its name" : "There are no topics yet"}>
              {filter ? (
                <Button onClick={() => setFilter("")}>Show all</Button>
              ) : (
                <>
                  <p>A topic is a log in partitions. Writing to one that does not exist makes it, unless the server is configured otherwise.</p>
                  <Button onClick={() => setCreating(true)}>Create the first</Button>
                </>
              )}
            </Empty>
          ) : (
            <VirtualList
              class={"topics" + (clusters > 1 ? " with-cluster" : "")}
              label="Topics"
              count={topics.length}
              rowHeight={36}
              of={filter}
              head={
                <div class="row head" role="row">
                  <span role="columnheader">Topic</span>
                  <span role="columnheader" class="cluster">
                    Cluster
                  </span>
                  <span role="columnheader" class="right">
                    Partitions
                  </span>
                  <span role="columnheader" class="right wide-only">
                    Copies
                  </span>
                  <span role="columnheader" class="right">
                    Offsets
                  </span>
                  <span role="columnheader" class="right wide-only">
                    Size
                  </span>
                  <span role="columnheader" class="wide-only">
                    Kept
                  </span>
                  <span role="columnheader">State</span>
                </div>
              }
              row={(i) => <TopicRow key={topics[i].id} topic={topics[i]} />}
            />
          )}
          <Curl request={request} />
        </>
      )}
      {creating && <CreateTopic close={() => setCreating(false)} />}
    </>
  );
}

function TopicRow({ topic: t }: { topic: Topic }) {
  const state = stateOf(t);
  return (
    <div class="row" role="row">
      <span role="gridcell" class="name">
        <a href={to("topic", t.cluster, t.name)} title={t.name}>
          {t.name}
        </a>
      </span>
      <span role="gridcell" class="cluster">
        {t.cluster}
      </span>
      <span role="gridcell" class="right">
        {number(t.partitions.length)}
      </span>
      <span role="gridcell" class="right wide-only">
        {t.replication_factor}
      </span>
      <span role="gridcell" class="right">
        {number(offsetsOf(t))}
      </span>
      <span role="gridcell" class="right wide-only">
        {bytes(sizeOf(t))}
      </span>
      <span role="gridcell" class="wide-only">
        {t.cleanup_policy === "compact" ? "compacted" : duration(t.retention_ms)}
      </span>
      <span role="gridcell">
        <Badge kind={state.kind}>{state.text}</Badge>
      </span>
    </div>
  );
}

/** Checks a name as the server does. */
export const nameError = (name: string) =>
  name && (!/^[A-Za-z0-9._-]{1,200}$/.test(name) || name === "." || name === "..") ? "1 to 200 of letters, digits, dot, underscore and dash" : undefined;

const positive = (text: string) => (/^[1-9]\d*$/.test(text) ? Number(text) : NaN);

function CreateTopic({ close }: { close: () => void }) {
  const { data } = usePoll((s) => call<{ clusters: Cluster[] }>({ path: "/cluster" }, s), 60_000, []);
  const [name, setName] = useState("");
  const [cluster, setCluster] = useState("default");
  const [partitions, setPartitions] = useState("");
  const [copies, setCopies] = useState("");
  const [kept, setKept] = useState("");
  const [policy, setPolicy] = useState("delete");
  const names = data?.clusters.map((c) => c.name) ?? [];
  const of = data?.clusters.find((c) => c.name === cluster);
  const wrong = {
    name: nameError(name),
    partitions: partitions && isNaN(positive(partitions)) ? "a number from 1 on" : undefined,
    copies: copies && isNaN(positive(copies)) ? "a number from 1 on" : undefined,
    kept: kept && isNaN(parseDuration(kept)) ? "such as 12h, 7d or -1 for ever" : undefined,
  };
  const body = {
    name,
    cluster: cluster === "default" ? undefined : cluster,
    partitions: partitions ? positive(partitions) : undefined,
    replication_factor: copies ? positive(copies) : undefined,
    retention_ms: kept ? parseDuration(kept) : undefined,
    cleanup_policy: policy === "delete" ? undefined : policy,
  };
  const ready = name !== "" && Object.values(wrong).every((w) => !w);
  return (
    <Action<Topic>
      title="Create topic"
      verb="Create"
      close={close}
      request={ready ? { method: "POST", path: "/topic", body } : undefined}
      done={(t) => {
        say(`Topic ${t.name} created`);
        go("topic", t.cluster, t.name);
      }}
    >
      <Input label="Name" value={name} set={setName} error={wrong.name} mono focus />
      {names.length > 1 && <Select label="Cluster" value={cluster} set={setCluster} options={names.map((n) => [n, n])} />}
      <div class="fields">
        <Input label="Partitions" value={partitions} set={setPartitions} error={wrong.partitions} placeholder={of ? String(of.partitions) : "default"} hint="More can be added later, not fewer." />
        <Input label="Copies" value={copies} set={setCopies} error={wrong.copies} placeholder={of ? String(of.replication_factor) : "default"} hint="Brokers that keep each partition." />
      </div>
      <div class="fields">
        <Select
          label="Old records"
          value={policy}
          set={setPolicy}
          options={[
            ["delete", "are deleted by age and size"],
            ["compact", "are compacted by key"],
          ]}
        />
        <Input label="Kept for" value={kept} set={setKept} error={wrong.kept} placeholder={of ? (of.retention_policies < 0 ? "for ever" : duration(of.retention_policies * 36e5)) : "default"} />
      </div>
    </Action>
  );
}

export function DeleteTopic({ topic: t, close }: { topic: Topic; close: () => void }) {
  return (
    <Action
      title={`Delete topic ${t.name}`}
      verb="Delete for good"
      danger
      confirm={t.name}
      close={close}
      request={{ method: "DELETE", path: `/topic/${part(t.name)}`, query: { cluster: t.cluster } }}
      done={() => {
        say(`Topic ${t.name} deleted`);
        go("topics");
      }}
    >
      <p>
        All {plural(offsetsOf(t), "offset")} in {plural(t.partitions.length, "partition")} are removed, on all brokers. Offsets that groups have committed for it go, too. There is no way back.
      </p>
    </Action>
  );
}
