import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, call, part, type Group, type GroupOffset, type Queue, type Request } from "../api";
import { Chart, wholeSteps } from "../chart";
import { date, moment, number, plural, short } from "../format";
import { go, to } from "../router";
import { usePoll } from "../store";
import { Action, Badge, Button, Curl, Empty, Failure, Field, Input, PageHead, Panel, Select, Stale, Waiting, say } from "../ui";
import { groupState } from "./groups";
import { noteQueue, queueSummary, QueueView } from "./queue";

/** A group, and what it has read or, if it is a queue, what is where. */
interface Both {
  group: Group;
  offsets: GroupOffset[];
  queue?: Queue;
}

/** How far groups were behind while this page was open, in this tab: in all, and by partition. */
const history = new Map<string, { at: number; lag: number }[]>();
const partitionHistory = new Map<string, number[]>();
const historyLength = 1800;
const partitionHistoryLength = 120;
/** Of a group with more partitions, the others have no curve. */
const maxCurves = 300;

export function GroupPage({ cluster, name }: { cluster: string; name: string }) {
  const id = cluster + "/" + name;
  const request: Request = { path: `/groups/${part(name)}`, query: { cluster } };
  const offsetsRequest: Request = { path: "/offset", query: { group: name, cluster } };
  const [open, setOpen] = useState<"" | "seek" | "delete">("");
  const [leaving, setLeaving] = useState<number>();
  const { data, error, reload } = usePoll(
    async (s): Promise<Both> => {
      const group = await call<Group & Queue>(request, s);
      if (group.mode === "queue") {
        noteQueue(id, group);
        return { group, offsets: [], queue: group };
      }
      const { offsets } = await call<{ offsets: GroupOffset[] }>(offsetsRequest, s);
      note(id, group.lag, offsets);
      return { group, offsets };
    },
    2000,
    [id],
  );
  const lag = useMemo(() => {
    const points = history.get(id) ?? [];
    return { times: points.map((p) => p.at), curves: [{ label: "Lag", colour: 3 as const, values: points.map((p) => p.lag) }] };
  }, [data]);
  const gone = error instanceof ApiError && error.code === "group_not_found";
  return (
    <>
      <PageHead
        title={
          <>
            <a class="up" href={to("groups")}>
              Groups
            </a>
            <span class="sep">/</span>
            <span class="mono">{name}</span> {data && <Badge kind={groupState(data.group.state)}>{data.group.state}</Badge>}
          </>
        }
        sub={data && (data.queue ? `Work queue of cluster ${cluster}, ${queueSummary(data.queue)}` : `Cluster ${cluster}, ${plural(data.group.members.length, "member")}, generation ${number(data.group.generation)}, lag ${number(data.group.lag)}`)}
      >
        {data && !gone && (
          <>
            {!data.queue && (
              <Button onClick={() => setOpen("seek")} disabled={data.offsets.length === 0}>
                Seek
              </Button>
            )}
            <Button kind="danger" onClick={() => setOpen("delete")}>
              Delete
            </Button>
          </>
        )}
      </PageHead>
      {gone ? (
        <Empty title="This group does not exist (any more)">
          <a href={to("groups")}>All groups</a>
        </Empty>
      ) : !data ? (
        <Waiting error={error} again={reload} />
      ) : (
        <>
          <Stale error={error} />
          {data.queue ? (
            <QueueView group={data.group} queue={data.queue} id={id} />
          ) : (
            <>
              <Panel title="Lag while this page is open">
                <Chart label="Records that the group has not read yet" times={lag.times} curves={lag.curves} format={short} height={130} steps={wholeSteps} />
              </Panel>
              <Offsets offsets={data.offsets} cluster={cluster} id={id} />
              <Members group={data.group} leave={setLeaving} />
            </>
          )}
          <Curl request={data.queue ? request : offsetsRequest} />
        </>
      )}
      {open === "seek" && data && <Seek group={data.group} offsets={data.offsets} close={() => setOpen("")} done={() => (setOpen(""), reload())} />}
      {open === "delete" && data && (
        <Action
          title={`Delete group ${name}`}
          verb="Delete for good"
          danger
          confirm={name}
          close={() => setOpen("")}
          request={{ method: "DELETE", path: `/groups/${part(name)}`, query: { cluster } }}
          done={() => {
            say(`Group ${name} deleted`);
            go("groups");
          }}
        >
          {data.queue && <p>What the queue knows of its records is forgotten; its topics and dead letters stay.</p>}
          <p>The group's committed offsets are removed. Consumers that come back under this name start where they are told to, as a new group. {data.group.members.length > 0 && "It still has members: as long as they live, it cannot be deleted."}</p>
        </Action>
      )}
      {leaving !== undefined && (
        <Action
          title={`Remove consumer ${leaving}`}
          verb="Remove"
          danger
          close={() => setLeaving(undefined)}
          request={{ method: "DELETE", path: `/groups/${part(name)}/members/${leaving}`, query: { cluster } }}
          done={() => {
            say(`Consumer ${leaving} removed`);
            setLeaving(undefined);
            reload();
          }}
        >
          <p>Its partitions go to the other members. If it still runs, it joins again with its next poll.</p>
        </Action>
      )}
    </>
  );
}

function note(id: string, lag: number, offsets: GroupOffset[]) {
  const points = history.get(id) ?? [];
  points.push({ at: Date.now() / 1000, lag });
  if (points.length > historyLength) points.shift();
  history.set(id, points);
  for (const o of offsets.slice(0, maxCurves)) {
    const key = curveOf(id, o);
    const curve = partitionHistory.get(key) ?? [];
    curve.push(o.lag ?? 0);
    if (curve.length > partitionHistoryLength) curve.shift();
    partitionHistory.set(key, curve);
  }
}

const curveOf = (id: string, o: GroupOffset) => [id, o.topic, o.partition].join("/");

/** A curve as wide as its cell: the last minutes of one partition's lag. */
function Spark({ values, most }: { values: number[]; most: number }) {
  if (values.length < 2) return null;
  const step = 100 / (partitionHistoryLength - 1);
  const begin = 100 - (values.length - 1) * step;
  const points = values.map((v, i) => `${(begin + i * step).toFixed(1)},${(17 - (v / most) * 15).toFixed(1)}`).join(" ");
  return (
    <svg class="spark" viewBox="0 0 100 18" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points} />
    </svg>
  );
}

function Offsets({ offsets, cluster, id }: { offsets: GroupOffset[]; cluster: string; id: string }) {
  const curves = offsets.map((o) => partitionHistory.get(curveOf(id, o)) ?? []);
  const most = curves.reduce((n, curve) => Math.max(n, ...curve), 1);
  if (offsets.length === 0) return <Empty title="The group has read nothing yet" />;
  return (
    <Panel title="Offsets" flush>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Topic</th>
              <th class="right">Partition</th>
              <th class="right">Committed</th>
              <th class="right wide-only">End</th>
              <th class="right">Lag</th>
              <th class="lag-curve wide-only">Last minutes</th>
              <th class="right">Owner</th>
            </tr>
          </thead>
          <tbody>
            {offsets.map((o, i) => (
              <tr key={o.topic + "/" + o.partition}>
                <td>
                  <a href={to("topic", cluster, o.topic)}>{o.topic}</a>
                </td>
                <td class="right">{o.partition}</td>
                <td class="right">{number(o.committed)}</td>
                <td class="right wide-only">{number(o.end)}</td>
                <td class="right">{number(o.lag)}</td>
                <td class="lag-curve wide-only">
                  <Spark values={curves[i]} most={most} />
                </td>
                <td class="right">{o.owner ?? "–"}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

function Members({ group, leave }: { group: Group; leave: (id: number) => void }) {
  return (
    <Panel title="Members" flush>
      {group.members.length === 0 ? (
        <p class="none">Nobody reads for this group at the moment.</p>
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Consumer</th>
                <th>Partitions</th>
                <th class="wide-only">Lease ends</th>
                <th />
              </tr>
            </thead>
            <tbody>
              {group.members.map((m) => (
                <tr key={m.member_id ?? m.consumer_id}>
                  <td class={m.member_id ? "mono" : ""}>{m.member_id ?? m.consumer_id}</td>
                  <td>{m.assignment.length === 0 ? "none" : assigned(m.assignment)}</td>
                  <td class="wide-only">{date(m.lease_expires_at).slice(11)}</td>
                  <td class="right">
                    {!m.member_id && (
                      <Button kind="plain" onClick={() => leave(m.consumer_id)} label={`Remove consumer ${m.consumer_id}`}>
                        Remove
                      </Button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Panel>
  );
}

function assigned(list: { topic: string; partition: number }[]): string {
  const topics = new Map<string, number[]>();
  for (const a of list) topics.set(a.topic, [...(topics.get(a.topic) ?? []), a.partition]);
  return [...topics].map(([topic, partitions]) => `${topic} ${partitions.sort((a, b) => a - b).join(", ")}`).join("; ");
}

type Target = "earliest" | "latest" | "offset" | "time";

/** What a seek would do to one partition. */
interface Step {
  partition: number;
  from: number | null;
  to: number;
}

function Seek({ group: g, offsets, close, done }: { group: Group; offsets: GroupOffset[]; close: () => void; done: () => void }) {
  const topics = [...new Set(offsets.map((o) => o.topic))];
  const [topic, setTopic] = useState(topics[0]);
  const [partition, setPartition] = useState("");
  const [target, setTarget] = useState<Target>("earliest");
  const [offset, setOffset] = useState("0");
  const [time, setTime] = useState(() => Math.floor(Date.now() / 1000 - 3600) * 1000);
  const [steps, setSteps] = useState<Step[]>();
  const [error, setError] = useState<Error>();
  const partitions = offsets.filter((o) => o.topic === topic);
  const whole = /^\d+$/.test(offset);
  const goal = target === "offset" ? (whole ? Number(offset) : undefined) : target === "time" ? { timestamp: time } : target;
  useEffect(() => {
    const control = new AbortController();
    setSteps(undefined);
    setError(undefined);
    if (goal === undefined) return;
    preview(g, topic, partition, target, Number(offset), time, control.signal).then(setSteps, (e) => control.signal.aborted || setError(e));
    return () => control.abort();
  }, [topic, partition, target, offset, time]);
  const body: Record<string, unknown> = { topic, to: goal };
  if (partition !== "") body.partition = Number(partition);
  return (
    <Action
      title={`Seek group ${g.group}`}
      verb="Seek"
      close={close}
      request={steps && { method: "POST", path: `/groups/${part(g.group)}/seek`, query: { cluster: g.cluster }, body }}
      done={() => {
        say("The group's offsets are moved");
        done();
      }}
    >
      {g.members.length > 0 && <p>The group has {plural(g.members.length, "member")}: they get a new generation, and go on from the new offsets.</p>}
      <div class="fields">
        <Select label="Topic" value={topic} set={(t) => (setTopic(t), setPartition(""))} options={topics.map((t) => [t, t])} />
        <Select label="Partition" value={partition} set={setPartition} options={[["", "all"], ...partitions.map((o) => [String(o.partition), String(o.partition)] as [string, string])]} />
        <Select
          label="To"
          value={target}
          set={(t) => setTarget(t as Target)}
          options={[
            ["earliest", "the earliest record"],
            ["latest", "the end"],
            ["offset", "an offset"],
            ["time", "a time"],
          ]}
        />
      </div>
      {target === "offset" && <Input label="Offset" value={offset} set={setOffset} mono error={whole ? undefined : "a number from 0 on"} />}
      {target === "time" && <Field label="Time">{(id) => <input id={id} type="datetime-local" step="1" value={moment(time).slice(0, 19).replace(" ", "T")} onChange={(e) => e.currentTarget.value && setTime(new Date(e.currentTarget.value).getTime())} />}</Field>}
      {error && <Failure error={error} />}
      {steps && <Preview steps={steps} />}
    </Action>
  );
}

function Preview({ steps }: { steps: Step[] }) {
  return (
    <div class="scroll preview">
      <table>
        <caption>What it would do</caption>
        <thead>
          <tr>
            <th>Partition</th>
            <th class="right">Committed</th>
            <th class="right">Then</th>
            <th>Effect</th>
          </tr>
        </thead>
        <tbody>
          {steps.map((s) => (
            <tr key={s.partition}>
              <td>{s.partition}</td>
              <td class="right">{number(s.from)}</td>
              <td class="right">{number(s.to)}</td>
              <td>{effect(s)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function effect(s: Step): string {
  if (s.from === null) return `starts at ${number(s.to)}`;
  const n = s.to - s.from;
  return n === 0 ? "nothing changes" : n > 0 ? `${plural(n, "offset")} skipped` : `${plural(-n, "offset")} read again`;
}

async function preview(g: Group, topic: string, partition: string, target: Target, offset: number, time: number, signal: AbortSignal): Promise<Step[]> {
  const { offsets } = await call<{ offsets: GroupOffset[] }>({ path: "/offset", query: { group: g.group, topic, cluster: g.cluster } }, signal);
  const wanted = offsets.filter((o) => partition === "" || o.partition === Number(partition));
  return Promise.all(
    wanted.map(async (o) => {
      const path = `/topic/${part(topic)}/partitions/${o.partition}`;
      const query = { cluster: g.cluster };
      if (target === "offset") return { partition: o.partition, from: o.committed, to: offset };
      if (target === "time") {
        const found = await call<{ records: { offset: number }[]; next_offset: number }>({ path: path + "/records", query: { ...query, timestamp: time, max_records: 1 } }, signal);
        return { partition: o.partition, from: o.committed, to: found.records[0]?.offset ?? found.next_offset };
      }
      const ends = await call<{ earliest: number; latest: number }>({ path: path + "/offsets", query }, signal);
      return { partition: o.partition, from: o.committed, to: ends[target] };
    }),
  );
}
