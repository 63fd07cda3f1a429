package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Kafka clients may talk to any node of a fleet, whoever leads; when theirs is killed
// they go on with another.
func TestKafkaClientsOfAFleet(t *testing.T) {
	t.Parallel()
	f := prepareNodes(t, 3)
	var at []string
	for _, s := range f.nodes {
		port := freePorts(t)
		at = append(at, port)
		s.args = append(s.args, "--kafka", port)
		s.launch()
	}
	f.waitReady()
	f.nodes[0].topic("t", 6)
	k := &kafkaServer{server: f.nodes[0], at: at[1]}
	writer := k.kafka(kgo.SeedBrokers(at...))
	for i := range 60 {
		require.NoError(t, writer.ProduceSync(k.context(), &kgo.Record{Topic: "t", Key: []byte(fmt.Sprint(i)), Value: []byte("1")}).FirstErr())
	}
	member := func(seed string) *kgo.Client {
		return k.kafka(kgo.SeedBrokers(seed), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	}
	a := member(at[0])
	require.Len(t, k.take(a, 60), 60)
	require.NoError(t, a.CommitUncommittedOffsets(k.context()))
	a.Close()
	f.nodes[0].kill()
	for i := range 30 {
		require.NoError(t, writer.ProduceSync(k.context(), &kgo.Record{Topic: "t", Key: []byte(fmt.Sprint(i)), Value: []byte("2")}).FirstErr())
	}
	b := member(at[2])
	for _, r := range k.take(b, 30) {
		require.Equal(t, "2", string(r.Value), "what was committed through another node is not read again")
	}
	f.nodes[0].again()
	f.waitReady()
}
