// The dialogs that create and delete a cluster.

import { useState } from "preact/hooks";
import { part, type Cluster } from "../api";
import { Action, Input, Select, say } from "../ui";
import { nameError } from "./topics";

export function CreateCluster({ close, done }: { close: () => void; done: () => void }) {
  const [name, setName] = useState("");
  const [brokers, setBrokers] = useState("3");
  const [partitions, setPartitions] = useState("");
  const [hours, setHours] = useState("");
  const [fsync, setFsync] = useState("always");
  const wrong = {
    name: nameError(name),
    partitions: partitions && !(/^[1-9]\d{0,3}$/.test(partitions) && Number(partitions) <= 1024) ? "a number from 1 to 1024" : undefined,
    hours: hours && !(hours === "-1" || Number(hours) > 0) ? "a number of hours, or -1 for ever" : undefined,
  };
  const body = {
    name,
    num_brokers: Number(brokers),
    partitions: partitions ? Number(partitions) : undefined,
    retention_policies: hours ? Number(hours) : undefined,
    fsync: fsync === "always" ? undefined : fsync,
  };
  const ready = name !== "" && Object.values(wrong).every((w) => !w);
  return (
    <Action<Cluster>
      title="Create cluster"
      verb="Create"
      close={close}
      request={ready ? { method: "POST", path: "/cluster", body } : undefined}
      done={(c) => {
        say(`Cluster ${c.name} created`);
        done();
      }}
    >
      <Input label="Name" value={name} set={setName} error={wrong.name} mono focus />
      <div class="fields">
        <Select label="Brokers" value={brokers} set={setBrokers} options={["1", "2", "3", "4", "5", "6", "7", "8", "9"].map((n) => [n, n])} />
        <Select
          label="Synced to disk"
          value={fsync}
          set={setFsync}
          options={[
            ["always", "before every answer"],
            ["interval", "now and then"],
          ]}
        />
      </div>
      <div class="fields">
        <Input label="Partitions of a new topic" value={partitions} set={setPartitions} error={wrong.partitions} placeholder="3" />
        <Input label="Hours that records are kept" value={hours} set={setHours} error={wrong.hours} placeholder="168" hint="-1: for ever." />
      </div>
    </Action>
  );
}

export function DeleteCluster({ name, close, done }: { name: string; close: () => void; done: () => void }) {
  return (
    <Action
      title={`Delete cluster ${name}`}
      verb="Delete for good"
      danger
      confirm={name}
      close={close}
      request={{ method: "DELETE", path: `/cluster/${part(name)}` }}
      done={() => {
        say(`Cluster ${name} deleted`);
        done();
      }}
    >
      <p>All its brokers end, and all topics with their records and offsets are removed. There is no way back.</p>
    </Action>
  );
}

/** Changes how many brokers a cluster has. */
export function AlterCluster({ cluster: c, close, done }: { cluster: Cluster; close: () => void; done: () => void }) {
  const [brokers, setBrokers] = useState(String(c.num_brokers));
  const n = Number(brokers);
  return (
    <Action
      title={`Alter cluster ${c.name}`}
      verb="Alter"
      danger={n < c.num_brokers}
      close={close}
      request={n !== c.num_brokers ? { method: "PATCH", path: `/cluster/${part(c.name)}`, body: { num_brokers: n } } : undefined}
      done={() => {
        say(`Cluster ${c.name} altered`);
        done();
      }}
    >
      <Select label="Brokers" value={brokers} set={setBrokers} options={["1", "2", "3", "4", "5", "6", "7", "8", "9"].map((b) => [b, b])} />
      <p>What brokers that go have is copied to others first; new ones take a part of the topics.</p>
    </Action>
  );
}
