package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"ottla/bench"
)

// kafkaWorkloads are measured with Ottla and with Kafka, in turn.
var kafkaWorkloads = []string{"kafka-produce", "kafka-fetch", "kafka-client-produce", "kafka-client-fetch"}

// kafkaCommitters is how many clients commit, each for its own group.
const kafkaCommitters = 64

// kafka measures Kafka's protocol: Ottla, and three nodes of Kafka, first as they flush each
// batch to the disk before they acknowledge it, then as they do by default, without a sync.
func (s *suite) kafka(ctx context.Context) error {
	o := s.o
	o.Runs, o.Replicas, o.Connections = 1, 3, []int{16}
	o.Workloads = append([]string{"produce-batch"}, kafkaWorkloads...)
	r, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	for _, m := range r.Measurements {
		m.Name = "ottla " + m.Name
		s.add(m)
	}
	o.Workloads, o.Connections = []string{"kafka-commit"}, []int{kafkaCommitters}
	if r, err = bench.Run(ctx, o); err != nil {
		return err
	}
	for _, m := range r.Measurements {
		m.Name = "ottla " + m.Name
		s.add(m)
	}
	for _, mode := range []struct{ name, settings string }{{"Kafka, flushed", kafkaFlushes}, {"Kafka, page cache", ""}} {
		if err := s.kafkaNodes(ctx, o, mode.name, mode.settings); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) kafkaNodes(ctx context.Context, o bench.Options, name, settings string) error {
	k, err := startKafka(ctx, s.o.DataDir, s.kafkaJars, settings)
	if err != nil {
		return err
	}
	defer k.stop()
	for _, part := range []struct {
		connections int
		workloads   []string
	}{{16, kafkaWorkloads}, {kafkaCommitters, []string{"kafka-commit"}}} {
		list, err := bench.MeasureKafka(ctx, o, bench.Peer{Name: name, Connections: part.connections, Pids: k.pids()}, k.addr, part.workloads...)
		for _, m := range list {
			s.add(m)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// kafkaNodes is a cluster of Kafka.
type kafkaNodes struct {
	dir   string
	addr  string // of the first node
	nodes []*child
}

func (k *kafkaNodes) pids() (list []int) {
	for _, n := range k.nodes {
		list = append(list, n.pid())
	}
	return list
}

func (k *kafkaNodes) stop() {
	for _, n := range k.nodes {
		n.stop()
	}
	_ = os.RemoveAll(k.dir)
}

const kafkaSettings = `process.roles=broker,controller
node.id=%d
controller.quorum.voters=%s
listeners=PLAINTEXT://%s,CONTROLLER://%s
controller.listener.names=CONTROLLER
log.dirs=%s
offsets.topic.replication.factor=3
`

// kafkaFlushes lets each node sync every batch before it acknowledges it.
const kafkaFlushes = "log.flush.interval.messages=1\n"

// startKafka starts three nodes with the jars in a directory, and with further settings.
func startKafka(ctx context.Context, dataDir, jars, further string) (*kafkaNodes, error) {
	if list, err := filepath.Glob(filepath.Join(jars, "kafka_*.jar")); err != nil || len(list) == 0 {
		return nil, fmt.Errorf("kafka in %s: %w", jars, errMissing)
	}
	dir, err := os.MkdirTemp(dataDir, "peers-kafka-")
	if err != nil {
		return nil, err
	}
	k := &kafkaNodes{dir: dir}
	classes := filepath.Join(jars, "*")
	var addrs, controllers [3]string
	voters := ""
	for i := range addrs {
		if addrs[i], err = freeAddr(); err != nil {
			return nil, err
		}
		if controllers[i], err = freeAddr(); err != nil {
			return nil, err
		}
		voters += fmt.Sprintf("%d@%s", i+1, controllers[i])
		if i < len(addrs)-1 {
			voters += ","
		}
	}
	k.addr = addrs[0]
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, err
	}
	for i := range addrs {
		settings := filepath.Join(dir, fmt.Sprintf("%d.properties", i+1))
		text := fmt.Sprintf(kafkaSettings, i+1, voters, addrs[i], controllers[i], filepath.Join(dir, fmt.Sprint(i+1)))
		if err := os.WriteFile(settings, []byte(text+further), 0o600); err != nil {
			return nil, err
		}
		format := exec.CommandContext(ctx, "java", "-cp", classes, "kafka.tools.StorageTool", "format",
			"-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", settings)
		if out, err := format.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("format: %w: %s", err, out)
		}
	}
	for i := range addrs {
		cmd := exec.Command("java", "-Xmx1g", "-cp", classes, "kafka.Kafka", filepath.Join(dir, fmt.Sprintf("%d.properties", i+1)))
		n, err := startProgram(cmd)
		if err != nil {
			k.stop()
			return nil, err
		}
		k.nodes = append(k.nodes, n)
	}
	for i, n := range k.nodes {
		if err := n.waitFor(ctx, addrs[i]); err != nil {
			k.stop()
			return nil, fmt.Errorf("kafka: %w", err)
		}
	}
	return k, nil
}
