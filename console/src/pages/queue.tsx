// What the page of a group shows of a work queue.

import { useMemo } from "preact/hooks";
import type { Group, Queue } from "../api";
import { Chart, wholeSteps } from "../chart";
import { duration, number, plural, short } from "../format";
import { to } from "../router";
import { Empty, Panel } from "../ui";

type Point = { at: number; ready: number; inFlight: number; delayed: number };

/** How much was where while this page was open, in this tab. */
const history = new Map<string, Point[]>();
const historyLength = 1800;

const sum = (q: Queue, of: "ready" | "in_flight" | "delayed" | "dead" | "removed") => q.partitions.reduce((n, p) => n + p[of], 0);

export function noteQueue(id: string, q: Queue) {
  const points = history.get(id) ?? [];
  points.push({ at: Date.now() / 1000, ready: sum(q, "ready"), inFlight: sum(q, "in_flight"), delayed: sum(q, "delayed") });
  if (points.length > historyLength) points.shift();
  history.set(id, points);
}

/** One line on a queue. */
export function queueSummary(q: Queue): string {
  return `${number(sum(q, "ready"))} ready, ${number(sum(q, "in_flight"))} in flight, ${number(sum(q, "delayed"))} delayed, ${number(sum(q, "dead"))} dead`;
}

export function QueueView({ group, queue, id }: { group: Group; queue: Queue; id: string }) {
  const curves = useMemo(() => {
    const points = history.get(id) ?? [];
    return {
      times: points.map((p) => p.at),
      curves: [
        { label: "Ready", colour: 3 as const, values: points.map((p) => p.ready) },
        { label: "In flight", colour: 1 as const, values: points.map((p) => p.inFlight) },
        { label: "Delayed", colour: 2 as const, values: points.map((p) => p.delayed) },
      ],
    };
  }, [queue]);
  const dead = queue.dead_letter_topic ? [queue.dead_letter_topic] : queue.topics.map((t) => t + ".dead");
  return (
    <>
      <Panel title="Records while this page is open">
        <Chart label="Records of the queue that are not ended" times={curves.times} curves={curves.curves} format={short} height={130} steps={wholeSteps} />
      </Panel>
      {queue.partitions.length === 0 ? <Empty title="The queue has no partitions yet" /> : <Partitions group={group} queue={queue} />}
      <Panel title="Settings">
        <dl class="facts">
          <div>
            <dt>Topics</dt>
            <dd>{links(group, queue.topics)}</dd>
          </div>
          <div>
            <dt>Dead letters</dt>
            <dd>{sum(queue, "dead") > 0 ? links(group, dead) : dead.join(", ")}</dd>
          </div>
          <div>
            <dt>A worker has</dt>
            <dd>{duration(queue.ack_wait_ms)} for a record</dd>
          </div>
          <div>
            <dt>Deliveries</dt>
            <dd>at most {queue.max_deliveries}</dd>
          </div>
          <div>
            <dt>Waits after a nack</dt>
            <dd>{queue.backoff_ms.length === 0 ? "none" : queue.backoff_ms.map(duration).join(", ")}</dd>
          </div>
          <div>
            <dt>Order</dt>
            <dd>{queue.order === "key" ? "one record of a key after the other" : "none"}</dd>
          </div>
          <div>
            <dt>In flight</dt>
            <dd>at most {number(queue.max_in_flight)}</dd>
          </div>
        </dl>
      </Panel>
      <Panel title="Workers" flush>
        <p class="none">
          {group.members.length === 0 ? "No worker asks for records at the moment." : `${plural(group.members.length, "worker")}: ${group.members.map((m) => m.consumer_id).join(", ")}.`}
        </p>
      </Panel>
    </>
  );
}

const links = (group: Group, topics: string[]) =>
  topics.map((t, i) => (
    <>
      {i > 0 && ", "}
      <a href={to("topic", group.cluster, t)}>{t}</a>
    </>
  ));

function Partitions({ group, queue }: { group: Group; queue: Queue }) {
  const removed = sum(queue, "removed") > 0;
  return (
    <Panel title="Partitions" flush>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th>Topic</th>
              <th class="right">Partition</th>
              <th class="right">Ready</th>
              <th class="right">In flight</th>
              <th class="right">Delayed</th>
              <th class="right">Dead</th>
              {removed && <th class="right">Removed</th>}
              <th class="right wide-only">Position</th>
              <th class="right wide-only">End</th>
              <th class="right wide-only">First ready for</th>
            </tr>
          </thead>
          <tbody>
            {queue.partitions.map((p) => (
              <tr key={p.topic + "/" + p.partition}>
                <td>
                  <a href={to("topic", group.cluster, p.topic)}>{p.topic}</a>
                </td>
                <td class="right">{p.partition}</td>
                <td class="right">{number(p.ready)}</td>
                <td class="right">{number(p.in_flight)}</td>
                <td class="right">{number(p.delayed)}</td>
                <td class="right">{number(p.dead)}</td>
                {removed && <td class="right">{number(p.removed)}</td>}
                <td class="right wide-only">{number(p.position)}</td>
                <td class="right wide-only">{number(p.end)}</td>
                <td class="right wide-only">{p.oldest_ready_ms == null ? "–" : duration(p.oldest_ready_ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Panel>
  );
}
