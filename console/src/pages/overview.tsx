import { useMemo } from "preact/hooks";
import { ApiError, call, type ClusterOverview, type Overview, type Problem, type Traffic } from "../api";
import { Chart, byteSteps } from "../chart";
import { bytes, date, number, plural, short } from "../format";
import { to } from "../router";
import { usePoll } from "../store";
import { Badge, Curl, Empty, Icon, PageHead, Panel, Stale, Waiting } from "../ui";

const request = { path: "/overview" };

export function OverviewPage() {
  const { data: o, error, reload } = usePoll((s) => call<Overview>(request, s), 2000, []);
  const live = useLive(o);
  if (!o) {
    return (
      <>
        <PageHead title="Overview" />
        {error instanceof ApiError && error.status === 403 ? (
          <Empty title="This token does not see everything">
            <p>The overview is for tokens that may read all topics and groups. What yours may see is on the other pages.</p>
            <p>
              <a href={to("topics")}>Topics</a>, <a href={to("groups")}>groups</a>
            </p>
          </Empty>
        ) : (
          <Waiting error={error} again={reload} />
        )}
      </>
    );
  }
  const c = o.counts;
  return (
    <>
      <PageHead title="Overview" sub={`Ottla ${o.version}, running since ${date(o.started_at)}${c.nodes > 0 ? ". What is written and read is that of the node that answers." : ""}`} />
      <Stale error={error} />
      <Health o={o} />
      <dl class="tiles">
        <Tile name="Written" value={live ? short(live.produced_records) + "/s" : "…"} more={live && bytes(live.produced_bytes) + "/s"} />
        <Tile name="Read" value={live ? short(live.fetched_records) + "/s" : "…"} more={live && bytes(live.fetched_bytes) + "/s"} />
        <Tile name="Topics" value={number(c.topics)} more={plural(c.partitions, "partition")} href={to("topics")} />
        <Tile name="Groups" value={number(c.groups)} more={`${plural(c.members, "member")}, lag ${number(c.lag)}`} href={to("groups")} />
        <Tile name="Brokers" value={`${c.brokers_running} of ${c.brokers}`} more={plural(c.clusters, "cluster") + (c.nodes > 0 ? `, ${c.nodes_reachable} of ${plural(c.nodes, "node")}` : "")} href={to("brokers")} />
        <Tile name="Logs" value={bytes(c.log_bytes)} more={c.disk_total > 0 ? `${bytes(c.disk_free)} free` : undefined} />
      </dl>
      <Rates o={o} />
      {o.clusters.map((cluster) => (
        <ClusterPanel key={cluster.name} cluster={cluster} />
      ))}
      {o.lagging.length > 0 && (
        <Panel title="Groups that have most to read" flush>
          <table>
            <thead>
              <tr>
                <th>Group</th>
                <th class="wide-only">Cluster</th>
                <th class="right">Members</th>
                <th class="right">Lag</th>
              </tr>
            </thead>
            <tbody>
              {o.lagging.map((g) => (
                <tr key={g.cluster + "/" + g.group}>
                  <td>
                    <a href={to("group", g.cluster, g.group)}>{g.group}</a>
                  </td>
                  <td class="wide-only">{g.cluster}</td>
                  <td class="right">{g.members === 0 ? <Badge kind="plain">nobody</Badge> : number(g.members)}</td>
                  <td class="right">{number(g.lag)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Panel>
      )}
      <Curl request={request} />
    </>
  );
}

/** The last answer, also of an earlier visit to this page. */
let last: { totals: Traffic; at: number; live?: Traffic } | undefined;

/** What was written and read per second between the last two answers, at first the mean of this minute. */
function useLive(o: Overview | undefined): Traffic | undefined {
  if (o && last?.totals !== o.totals) {
    const now = performance.now();
    const before = last && now - last.at < 10_000 ? last : undefined;
    const per = (name: keyof Traffic) => {
      if (!before) return o.rates[o.rates.length - 1]?.[`${name}_per_s`] ?? 0;
      return (Math.max(0, o.totals[name] - before.totals[name]) * 1000) / Math.max(1, now - before.at);
    };
    const live = { produced_records: per("produced_records"), produced_bytes: per("produced_bytes"), fetched_records: per("fetched_records"), fetched_bytes: per("fetched_bytes") };
    last = { totals: o.totals, at: now, live };
  }
  return last?.live;
}

function Health({ o }: { o: Overview }) {
  const kind = o.status === "ok" ? "ok" : o.status === "degraded" ? "warning" : "error";
  return (
    <section class={"health " + kind} aria-label="Health">
      <p class="sentence">
        <Icon name={kind === "ok" ? "check" : kind} /> <span>{o.health}</span>
      </p>
      {(o.problems.length > 1 || o.problems[0]?.partitions) && (
        <ul>
          {o.problems.map((p) => (
            <ProblemItem key={[p.code, p.cluster, p.broker, p.node].join()} problem={p} />
          ))}
        </ul>
      )}
    </section>
  );
}

function ProblemItem({ problem: p }: { problem: Problem }) {
  const more = (p.count ?? 0) - (p.partitions?.length ?? 0);
  return (
    <li>
      <Badge kind={p.severity}>{p.severity}</Badge>
      <div>
        <p>{p.message}</p>
        {p.partitions && (
          <p class="small">
            {p.partitions.map((at, i) => (
              <span key={at.topic + at.partition}>
                {i > 0 && ", "}
                <a href={to("topic", at.cluster, at.topic)} title={at.reason}>
                  {at.topic} {at.partition}
                </a>
              </span>
            ))}
            {more > 0 && ` and ${number(more)} more`}
          </p>
        )}
      </div>
    </li>
  );
}

function Tile(p: { name: string; value: string; more?: string | false; href?: string }) {
  return (
    <div class="tile">
      <dt>{p.href ? <a href={p.href}>{p.name}</a> : p.name}</dt>
      <dd>
        <span class="value">{p.value}</span>
        <span class="more">{p.more || "\u00a0"}</span>
      </dd>
    </div>
  );
}

function Rates({ o }: { o: Overview }) {
  const shown = useMemo(() => {
    const rates = o.rates.length > 2 ? o.rates.slice(0, -1) : o.rates; // the minute under way is not over
    const age = rates.length > 0 ? (rates[rates.length - 1].timestamp - rates[0].timestamp) / 1000 : 0;
    return {
      span: Math.min(3600, Math.max(600, age)),
      times: rates.map((r) => r.timestamp / 1000),
      records: [
        { label: "Written", colour: 1 as const, values: rates.map((r) => r.produced_records_per_s) },
        { label: "Read", colour: 2 as const, values: rates.map((r) => r.fetched_records_per_s) },
      ],
      volume: [
        { label: "Written", colour: 1 as const, values: rates.map((r) => r.produced_bytes_per_s) },
        { label: "Read", colour: 2 as const, values: rates.map((r) => r.fetched_bytes_per_s) },
      ],
    };
  }, [o.rates]);
  return (
    <div class="columns">
      <Panel title="Records per second, last hour">
        <Chart label="Records written and read per second over the last hour" times={shown.times} curves={shown.records} format={short} span={shown.span} />
      </Panel>
      <Panel title="Bytes per second, last hour">
        <Chart label="Bytes written and read per second over the last hour" times={shown.times} curves={shown.volume} format={bytes} span={shown.span} steps={byteSteps} />
      </Panel>
    </div>
  );
}

function ClusterPanel({ cluster: c }: { cluster: ClusterOverview }) {
  const most = Math.max(1, ...c.brokers.map((b) => b.replicas));
  return (
    <Panel title={`Cluster ${c.name}`} tools={<span class="small">{`${plural(c.topics, "topic")}, ${plural(c.partitions, "partition")}`}</span>}>
      <ul class="brokers">
        {c.brokers.map((b) => (
          <li key={b.id} class={"broker " + b.state}>
            <div class="head">
              <strong>Broker {b.id}</strong>
              <State state={b.state} />
            </div>
            <div class="bar" role="img" aria-label={`leads ${b.leaders} of its ${b.replicas} copies`}>
              <i class="leaders" style={{ width: `${(b.leaders / most) * 100}%` }} />
              <i class="copies" style={{ width: `${(Math.max(0, b.replicas - b.leaders) / most) * 100}%` }} />
            </div>
            <p class="small">
              leads {number(b.leaders)}, {plural(b.replicas, "copy").replace(/copys$/, "copies")}
            </p>
            {b.error && <p class="small wrong">{b.error}</p>}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export function State({ state }: { state: string }) {
  const kind = state === "running" || state === "active" ? "ok" : state === "failed" || state === "unreachable" ? "error" : "warning";
  return <Badge kind={kind}>{state}</Badge>;
}
