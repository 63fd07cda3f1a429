package bench

import "context"

// workload is a kind of load that can be measured.
type workload struct {
	name, about string
	echo        bool // runs against the echo server, not the broker
	tokens      bool // needs a broker that asks for tokens
	fixed       int  // number of connections whatever the options say; 0: as they say
	run         func(ctx context.Context, s *session) ([]Measurement, error)
}

// workloads in the order in which all of them run.
var workloads = []workload{
	{name: "echo", about: "single events to a bare fasthttp echo server: what HTTP alone costs", echo: true, run: runEcho},
	{name: "produce-single", about: "one event a request", run: runSingle},
	{name: "produce-batch", about: "NDJSON batches", run: runBatch},
	{name: "produce-async", about: "the Go client's Producer; latency from Send to its callback", fixed: asyncLanes, run: runAsync},
	{name: "fetch", about: "reads of a partition that is there already, from memory as a rule", run: runFetch},
	{name: "longpoll", about: "single events to parked polls: until the ack, until the delivery, and the difference", fixed: 1, run: runLongPoll},
	{name: "longpoll-commit", about: "the same with automatic commits", fixed: 1, run: runLongPollCommit},
	{name: "poll", about: "polls of one record that is there, each connection with a group of its own; nothing is committed", run: runPoll},
	{name: "poll-commit", about: "the same, and each record is committed before it is returned", run: runPollCommit},
	{name: "commit", about: "POST /offset, each connection for a group of its own", run: runCommit},
	{name: "fanout", about: "single events to streams without a group, one a connection: until the ack, until the delivery", run: runFanout},
	{name: "fanout-groups", about: "the same, and each stream has a group that commits automatically", run: runFanoutGroups},
	{name: "kafka-produce", about: "produce-batch with Kafka's protocol: one batch a request", run: runKafkaProduce},
	{name: "kafka-fetch", about: "fetch with Kafka's protocol: up to 1 MiB a request", run: runKafkaFetch},
	{name: "kafka-client-produce", about: "produce-async with franz-go, as many clients as connections", fixed: 1, run: runKafkaClientProduce},
	{name: "kafka-client-fetch", about: "a topic read from its beginning with franz-go, again and again", fixed: 1, run: runKafkaClientFetch},
	{name: "kafka-commit", about: "commit with Kafka's protocol, by franz-go: one client and one group a connection", run: runKafkaCommit},
	{name: "fair", about: "single events of 8 clients with a connection each, alone and beside one that has as many as --connections; each has a token", tokens: true, run: runFair},
	{name: "mixed", about: "single events, a consumer group and reads at the same time", run: runMixed},
}

// Names are the names of all workloads.
func Names() []string {
	names := make([]string, len(workloads))
	for i, w := range workloads {
		names[i] = w.name
	}
	return names
}

// About says what a workload does.
func About(name string) string {
	if w := find(name); w != nil {
		return w.about
	}
	return ""
}

func find(name string) *workload {
	for i := range workloads {
		if workloads[i].name == name {
			return &workloads[i]
		}
	}
	return nil
}
