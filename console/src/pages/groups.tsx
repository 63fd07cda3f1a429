import { useMemo, useState } from "preact/hooks";
import { rows, type Group } from "../api";
import { number, plural } from "../format";
import { to } from "../router";
import { usePoll } from "../store";
import { Badge, Button, Curl, Empty, PageHead, Panel, Search, Stale, Waiting } from "../ui";

const request = { path: "/groups" };

export function groupState(state: string): "ok" | "warning" | "plain" {
  return state === "stable" ? "ok" : state === "rebalancing" ? "warning" : "plain";
}

export function GroupsPage() {
  const [filter, setFilter] = useState("");
  const { data, error, reload } = usePoll(async (s) => ({ groups: await rows<Group>(request, "groups", s) }), 3000, []);
  const groups = useMemo(
    () => (data?.groups ?? []).filter((g) => g.group.toLowerCase().includes(filter.toLowerCase())).sort((a, b) => a.group.localeCompare(b.group)),
    [data, filter],
  );
  return (
    <>
      <PageHead title="Groups" sub={data && plural(data.groups.length, "group")}>
        <Search label="Filter groups" value={filter} set={setFilter} />
      </PageHead>
      {!data ? (
        <Waiting error={error} again={reload} />
      ) : (
        <>
          <Stale error={error} />
          {groups.length === 0 ? (
            <Empty title={filter ? "No group has that in its name" : "There are no groups"}>
              {filter ? <Button onClick={() => setFilter("")}>Show all</Button> : <p>A group appears when its first consumer reads. What this page shows of records needs none.</p>}
            </Empty>
          ) : (
            <Panel flush>
              <div class="scroll">
                <table>
                  <thead>
                    <tr>
                      <th>Group</th>
                      <th class="wide-only">Cluster</th>
                      <th>State</th>
                      <th class="right">Members</th>
                      <th class="right wide-only">Generation</th>
                      <th class="right">Lag</th>
                    </tr>
                  </thead>
                  <tbody>
                    {groups.map((g) => (
                      <tr key={g.cluster + "/" + g.group}>
                        <td>
                          <a href={to("group", g.cluster, g.group)}>{g.group}</a>
                        </td>
                        <td class="wide-only">{g.cluster}</td>
                        <td>
                          <Badge kind={groupState(g.state)}>{g.state}</Badge> {g.mode === "queue" && <Badge kind="plain">queue</Badge>}
                        </td>
                        <td class="right">{number(g.members.length)}</td>
                        <td class="right wide-only">{number(g.generation)}</td>
                        <td class="right">{number(g.lag)}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </Panel>
          )}
          <Curl request={request} />
        </>
      )}
    </>
  );
}
