import { useState } from "preact/hooks";
import { ApiError, call, part, type Cluster, type Overview } from "../api";
import { bytes, date, duration, number, plural } from "../format";
import { usePoll } from "../store";
import { Action, Badge, Button, Curl, Empty, PageHead, Panel, Select, Stale, Waiting, say } from "../ui";
import { AlterCluster, CreateCluster, DeleteCluster } from "./cluster";
import { State } from "./overview";
import { Fact } from "./topic";

interface Node {
  id: number;
  name: string;
  http: string;
  link: string;
  rack: string;
  version: string;
  state: string;
  brokers: { cluster: string; id: number }[];
  leaders: number;
  replicas: number;
}

interface Task {
  id: string;
  kind: string;
  state: string;
  moved: number;
  left: number;
  waiting_for?: string;
  started_at: string;
}

interface Everything {
  clusters: Cluster[];
  overview?: Overview;
  nodes: Node[];
  actions: NodeAction[];
  tasks: Task[];
}

/** What this server does not have, or this token may not see, is left out. */
async function unlessMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (e) {
    if (e instanceof ApiError && (e.status === 404 || e.status === 403)) return undefined;
    throw e;
  }
}

/** What can be done with nodes, as the server's own contract says. */
async function nodeActions(signal: AbortSignal): Promise<NodeAction[]> {
  const { paths } = await call<{ paths: Record<string, unknown> }>({ path: "/openapi.json" }, signal);
  const has = (end: string) => Object.keys(paths).some((p) => p.startsWith("/nodes/{") && p.endsWith(end));
  return nodeActionNames.filter((what) => has("/" + (what === "cancel" ? "decommission" : what)));
}

type Doing = { what: "stop" | "start"; cluster: string; broker: number } | { what: NodeAction; node: Node };

const nodeActionNames = ["drain", "resume", "replace", "decommission", "cancel"] as const;
type NodeAction = (typeof nodeActionNames)[number];

const request = { path: "/cluster" };

/** Once it is known; it stays as it is while the server runs. */
let actions: NodeAction[] | undefined;

export function BrokersPage() {
  const [doing, setDoing] = useState<Doing>();
  const [creating, setCreating] = useState(false);
  const [deleting, setDeleting] = useState<string>();
  const [altering, setAltering] = useState<Cluster>();
  const [balancing, setBalancing] = useState(false);
  const { data, error, reload } = usePoll(
    async (s): Promise<Everything> => {
      const [{ clusters }, overview, nodes, tasks] = await Promise.all([
        call<{ clusters: Cluster[] }>(request, s),
        unlessMissing(call<Overview>({ path: "/overview" }, s)),
        unlessMissing(call<{ nodes: Node[] }>({ path: "/nodes" }, s)),
        unlessMissing(call<{ tasks: Task[] }>({ path: "/tasks" }, s)),
      ]);
      const fleet = nodes?.nodes ?? [];
      if (fleet.length > 0 && !actions) actions = await nodeActions(s);
      return { clusters, overview, nodes: fleet, actions: actions ?? [], tasks: tasks?.tasks ?? [] };
    },
    3000,
    [],
  );
  return (
    <>
      <PageHead title={data && data.nodes.length > 0 ? "Nodes and brokers" : "Brokers"} sub={data && plural(data.clusters.length, "cluster")}>
        {data && (
          <Button kind="primary" onClick={() => setCreating(true)}>
            Create cluster
          </Button>
        )}
      </PageHead>
      {!data ? (
        <Waiting error={error} again={reload} />
      ) : (
        <>
          <Stale error={error} />
          {data.nodes.length > 0 && <Nodes nodes={data.nodes} actions={data.actions} act={setDoing} rebalance={() => setBalancing(true)} />}
          {data.tasks.length > 0 && <Tasks tasks={data.tasks} />}
          {data.clusters.length === 0 && <Empty title="There is no cluster" />}
          {data.clusters.map((c) => (
            <ClusterView key={c.name} cluster={c} overview={data.overview} act={setDoing} alter={() => setAltering(c)} remove={() => setDeleting(c.name)} />
          ))}
          <Curl request={request} />
        </>
      )}
      {creating && <CreateCluster close={() => setCreating(false)} done={() => (setCreating(false), reload())} />}
      {altering && <AlterCluster cluster={altering} close={() => setAltering(undefined)} done={() => (setAltering(undefined), reload())} />}
      {balancing && (
        <Action
          title="Rebalance the fleet"
          verb="Rebalance"
          close={() => setBalancing(false)}
          request={{ method: "POST", path: "/nodes/rebalance" }}
          done={() => {
            say("Rebalance: begun");
            setBalancing(false);
            reload();
          }}
        >
          <p>First leaders, then brokers move until the nodes carry about the same; racks are respected. The task shows how far it is.</p>
        </Action>
      )}
      {deleting !== undefined && <DeleteCluster name={deleting} close={() => setDeleting(undefined)} done={() => (setDeleting(undefined), reload())} />}
      {doing && <Doing doing={doing} nodes={data?.nodes ?? []} close={() => setDoing(undefined)} done={() => (setDoing(undefined), reload())} />}
    </>
  );
}

function ClusterView({ cluster: c, overview, act, alter, remove }: { cluster: Cluster; overview?: Overview; act: (d: Doing) => void; alter: () => void; remove: () => void }) {
  const carried = overview?.clusters.find((o) => o.name === c.name)?.brokers ?? [];
  return (
    <Panel
      title={`Cluster ${c.name}`}
      flush
      tools={
        <>
          <Button kind="plain" label={`Alter cluster ${c.name}`} onClick={alter}>
            Alter
          </Button>
          <Button kind="plain" label={`Delete cluster ${c.name}`} onClick={remove}>
            Delete
          </Button>
        </>
      }
    >
      {c.error && <p class="wrong none">{c.error}</p>}
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Broker</th>
              <th>State</th>
              <th class="right">Leads</th>
              <th class="right">Copies</th>
              <th class="wide-only">Address</th>
              <th class="wide-only">Directory</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {c.brokers.map((b) => {
              const has = carried.find((o) => o.id === b.id);
              const what = b.state === "running" ? "stop" : "start";
              return (
                <tr key={b.id}>
                  <td>{b.id}</td>
                  <td>
                    <State state={b.state} />
                    {b.error && <p class="small wrong">{b.error}</p>}
                  </td>
                  <td class="right">{number(has?.leaders)}</td>
                  <td class="right">{number(has?.replicas)}</td>
                  <td class="wide-only mono">{`${b.host}:${b.port}`}</td>
                  <td class="wide-only mono">{b.directory}</td>
                  <td class="right">
                    <Button kind="plain" label={`${what === "stop" ? "Stop" : "Start"} broker ${b.id} of ${c.name}`} onClick={() => act({ what, cluster: c.name, broker: b.id })}>
                      {what === "stop" ? "Stop" : "Start"}
                    </Button>
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      <dl class="facts">
        <Fact name="New topics have" value={`${plural(c.partitions, "partition")}, ${c.replication_factor} copies`} />
        <Fact name="Kept for" value={c.retention_policies < 0 ? "for ever" : duration(c.retention_policies * 36e5)} />
        <Fact name="Synced to disk" value={c.fsync === "always" ? "before every answer" : "now and then"} />
        <Fact name="Created" value={date(c.created_at)} />
        {overview && overview.counts.disk_total > 0 && <Fact name="Disk" value={`${bytes(overview.counts.disk_free)} of ${bytes(overview.counts.disk_total)} free`} />}
      </dl>
    </Panel>
  );
}

function Nodes({ nodes, actions, act, rebalance }: { nodes: Node[]; actions: NodeAction[]; act: (d: Doing) => void; rebalance: () => void }) {
  return (
    <Panel
      title="Nodes"
      flush
      tools={
        actions.includes("decommission") && (
          <Button kind="plain" onClick={rebalance}>
            Rebalance
          </Button>
        )
      }
    >
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Node</th>
              <th>State</th>
              <th class="right">Leads</th>
              <th class="right">Copies</th>
              <th class="wide-only">Brokers</th>
              <th class="wide-only">Address</th>
              <th class="wide-only">Rack</th>
              <th class="wide-only">Version</th>
              <th />
            </tr>
          </thead>
          <tbody>
            {nodes.map((n) => (
              <tr key={n.id}>
                <td>{n.name || n.id}</td>
                <td>
                  <State state={n.state} />
                </td>
                <td class="right">{number(n.leaders)}</td>
                <td class="right">{number(n.replicas)}</td>
                <td class="wide-only">{n.brokers.map((b) => `${b.cluster} ${b.id}`).join(", ")}</td>
                <td class="wide-only mono">{n.http}</td>
                <td class="wide-only">{n.rack || "–"}</td>
                <td class="wide-only">{n.version}</td>
                <td class="right">
                  {possible(n, actions).map((what) => (
                    <Button key={what} kind="plain" onClick={() => act({ what, node: n })}>
                      {what === "cancel" ? "Keep" : capital(what)}
                    </Button>
                  ))}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);

function possible(n: Node, actions: NodeAction[]): NodeAction[] {
  const fit: Record<string, NodeAction[]> = { active: ["drain", "decommission"], draining: ["resume", "decommission"], unreachable: ["replace", "decommission"], leaving: ["cancel"] };
  return (fit[n.state] ?? []).filter((what) => actions.includes(what));
}

function Tasks({ tasks }: { tasks: Task[] }) {
  return (
    <Panel title="Tasks" flush>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Task</th>
              <th>State</th>
              <th>Progress</th>
              <th class="wide-only">Waits for</th>
              <th class="wide-only">Since</th>
            </tr>
          </thead>
          <tbody>
            {tasks.map((t) => {
              const all = t.moved + t.left;
              return (
                <tr key={t.id}>
                  <td>
                    {t.kind} <span class="small mono">{t.id}</span>
                  </td>
                  <td>
                    <Badge kind={t.left === 0 ? "ok" : "plain"}>{t.state}</Badge>
                  </td>
                  <td>
                    <div class="bar" role="img" aria-label={`${t.moved} of ${all} moved`}>
                      <i class="leaders" style={{ width: `${all === 0 ? 100 : (t.moved / all) * 100}%` }} />
                    </div>
                    <span class="small">
                      {number(t.moved)} of {number(all)}
                    </span>
                  </td>
                  <td class="wide-only">{t.waiting_for || "–"}</td>
                  <td class="wide-only">{date(t.started_at)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}

const explained = {
  stop: "Its partitions are led by other brokers at once, where they have copies. Until it is started again, they have one copy less. A restart of the server starts it, too.",
  start: "It catches up with the others, and can lead again.",
  drain: "What the node leads moves to other nodes; its copies stay. Do this before you restart or update the machine.",
  resume: "The node may lead again.",
  replace: "For a machine that is lost for good: its brokers begin anew on the other node, and get their copies from the others. The lost one may never come back with its data. The task shows how far it is.",
  cancel: "What was moved stays where it is, the rest stays on the node, and it goes on as before.",
  decommission: "All copies on the node are made anew on others, and then it leaves for good. This can take long; the task shows how far it is.",
};

function Doing({ doing: d, nodes, close, done }: { doing: Doing; nodes: Node[]; close: () => void; done: () => void }) {
  const [heir, setHeir] = useState("");
  const verb = capital(d.what);
  const [what, path] = "node" in d ? [`node ${d.node.name || d.node.id}`, `/nodes/${d.node.id}/${d.what === "cancel" ? "decommission" : d.what}`] : [`broker ${d.broker} of ${d.cluster}`, `/cluster/${part(d.cluster)}/brokers/${d.broker}/${d.what}`];
  const forGood = d.what === "decommission" || d.what === "replace";
  const others = "node" in d ? nodes.filter((n) => n.id !== d.node.id && n.state === "active") : [];
  const request = d.what !== "replace" ? { method: d.what === "cancel" ? "DELETE" : "POST", path } : heir ? { method: "POST", path, body: { with: Number(heir) } } : undefined;
  return (
    <Action
      title={d.what === "cancel" ? `Keep ${what}` : `${verb} ${what}`}
      verb={d.what === "cancel" ? "Keep the node" : verb}
      danger={d.what === "stop" || forGood}
      confirm={forGood && "node" in d ? String(d.node.name || d.node.id) : undefined}
      close={close}
      request={request}
      done={() => {
        say(`${verb}: done`);
        done();
      }}
    >
      <p>{explained[d.what]}</p>
      {d.what === "replace" && <Select label="By node" value={heir} set={setHeir} options={[["", "choose one"], ...others.map((n) => [String(n.id), n.name || String(n.id)] as [string, string])]} />}
    </Action>
  );
}
