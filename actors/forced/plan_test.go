package forced

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/replica"
	"ottla/logfile"
	"ottla/protocol"
)

// Each row is something that happened to the data directory, and what becomes of
// topic "kept": the broker of its survivor, what is said of the others, or of the
// whole if nothing is left to go on with.
func TestPlanForOnePartition(t *testing.T) {
	all := []string{protocol.MetadataTopic, protocol.OffsetsTopic, "kept"}
	tests := map[string]struct {
		accident func(h *byHand)
		forced   []string       // topics with a survivor
		survivor int            // of "kept"
		others   map[int]string // findings, by broker
		gone     []string       // parts of what is said of a partition that is gone
		brokers  map[int]string // findings about directories
	}{
		"nothing": {accident: func(*byHand) {}},
		"one copy missing": {accident: func(h *byHand) {
			h.remove("kept", 1)
		}},
		"two copies missing": {
			accident: func(h *byHand) { h.remove("kept", 1, 3) },
			forced:   []string{"kept"}, survivor: 2, others: map[int]string{1: "no such file", 3: "no such file"},
		},
		"two copies damaged": {
			accident: func(h *byHand) { h.damage("kept", 2, 3) },
			forced:   []string{"kept"}, survivor: 1, others: map[int]string{2: "damaged: ", 3: "damaged: "},
		},
		"one damaged, one missing": {
			accident: func(h *byHand) { h.damage("kept", 1); h.remove("kept", 2) },
			forced:   []string{"kept"}, survivor: 3, others: map[int]string{1: "damaged: ", 2: "no such file"},
		},
		"no copy can be read": {
			accident: func(h *byHand) { h.damage("kept", 1, 2); h.remove("kept", 3) },
			gone:     []string{"c: kept-0; ", "broker 1: damaged: ", "broker 2: damaged: ", "broker 3: ", "no such file"},
		},
		"a broker lost": {
			accident: func(h *byHand) { h.lose(1) },
			brokers:  map[int]string{1: "lost: no directory"},
		},
		"two brokers lost": {
			accident: func(h *byHand) { h.lose(1, 2) },
			forced:   all, survivor: 3, others: map[int]string{1: "missing", 2: "missing"},
			brokers: map[int]string{1: "lost: no directory", 2: "lost: no directory"},
		},
		"a ledger damaged, a broker lost": {
			accident: func(h *byHand) {
				h.lose(1)
				require.NoError(h.t, os.WriteFile(filepath.Join(h.broker(2), "ledger.json"), []byte("{"), 0o600))
			},
			forced: all, survivor: 3, others: map[int]string{1: "missing", 2: "missing"},
			brokers: map[int]string{1: "lost: no directory", 2: "its ledger cannot be read"},
		},
		"older copies: the longer one": {
			accident: func(h *byHand) { h.produce(3, 2, 1); h.restoreOlder(2, 3); h.lose(1) },
			forced:   all, survivor: 3, others: map[int]string{1: "missing", 2: "an older copy"},
			brokers: map[int]string{1: "lost: no directory", 2: "it is an older copy", 3: "it is an older copy"},
		},
		"older copies: the newer term": {
			accident: func(h *byHand) { h.produce(3, 2, 9); h.produce(2, 3, 1); h.restoreOlder(2, 3); h.lose(1) },
			forced:   all, survivor: 2, others: map[int]string{1: "missing", 3: "an older copy"},
			brokers: map[int]string{1: "lost: no directory", 2: "it is an older copy", 3: "it is an older copy"},
		},
		"an older copy is better than none": {
			accident: func(h *byHand) { h.restoreOlder(2); h.remove("kept", 1, 3) },
			forced:   []string{"kept"}, survivor: 2, others: map[int]string{1: "no such file", 3: "no such file"},
			brokers: map[int]string{2: "it is an older copy"},
		},
		"the last one has a successor": { // which the metadata decided on, and no ledger knows yet
			accident: func(h *byHand) {
				_, recs, err := h.state.DecideReplaceReplica(keptID, 0, 3, h.replicaOn(3), 0)
				require.Nil(h.t, err)
				for n := 1; n <= 3; n++ {
					h.write(n, protocol.MetadataTopic, 2, recs...)
				}
				h.remove("kept", 1, 2)
			},
			gone: []string{"broker 3: it failed before"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newByHand(t)
			tt.accident(h)
			p := h.plan()
			var topics []string
			for _, part := range p.Partitions {
				topics = append(topics, part.Topic)
				assert.True(t, part.Survivor.Readable)
				if part.Topic == "kept" {
					assert.Equal(t, tt.survivor, part.Survivor.Broker)
					assertFindings(t, tt.others, findings(part.Others))
				}
			}
			assert.Equal(t, tt.forced, topics, "in this order")
			if len(tt.gone) == 0 {
				assert.Empty(t, p.Gone)
			} else {
				require.Len(t, p.Gone, 1)
				for _, part := range tt.gone {
					assert.Contains(t, p.Gone[0], part)
				}
			}
			found := map[int]string{}
			for _, b := range p.Brokers {
				assert.Equal(t, "c", b.Cluster)
				assert.Equal(t, h.broker(b.Broker), b.Dir)
				found[b.Broker] = b.Finding
			}
			assertFindings(t, tt.brokers, found)
		})
	}
}

// replicaOn is the replica id of topic "kept" on a broker.
func (h *byHand) replicaOn(broker int) uint64 {
	id, _ := h.state.Partitions()[protocol.PartitionID{TopicID: keptID}].On(broker)
	return id
}

func findings(copies []Copy) map[int]string {
	m := map[int]string{}
	for _, c := range copies {
		m[c.Broker] = c.Finding
	}
	return m
}

// assertFindings compares by the beginning or a part of each text.
func assertFindings(t *testing.T, want, got map[int]string) {
	t.Helper()
	assert.Len(t, got, len(want))
	for broker, text := range want {
		assert.Contains(t, got[broker], text, "broker %d", broker)
	}
}

// What a survivor is said to have is what is in its log.
func TestPlanSaysWhereTheSurvivorEnds(t *testing.T) {
	h := newByHand(t)
	h.produce(2, 7, 3)
	h.remove("kept", 1, 3)
	p := h.plan()
	require.Len(t, p.Partitions, 1)
	s := p.Partitions[0].Survivor
	assert.EqualValues(t, 5, s.NextOffset)
	assert.EqualValues(t, 7, s.LastTerm)
	assert.EqualValues(t, 6, s.LastIndex, "a log begins behind index 1")
	assert.Equal(t, h.replicaOn(2), s.ReplicaID)
	assert.Equal(t, h.log(2, "kept"), s.Dir)
	assert.Equal(t, "ok", s.Finding)
}

// A plan that would have to guess is refused, and says what to do.
func TestPlanIsRefused(t *testing.T) {
	tests := map[string]struct {
		accident func(h *byHand)
		says     string
	}{
		"no data directory": {func(h *byHand) {
			require.NoError(h.t, os.Remove(filepath.Join(h.dir, "cluster.json")))
		}, "starting the server makes that"},
		"the list of clusters is damaged": {func(h *byHand) {
			require.NoError(h.t, os.WriteFile(filepath.Join(h.dir, "cluster.json"), []byte("{"), 0o600))
		}, "is damaged"},
		"a broker's directory was moved": {func(h *byHand) {
			require.NoError(h.t, os.Rename(h.broker(2), filepath.Join(h.dir, "elsewhere")))
		}, "put that back as"},
		"no metadata can be read": {func(h *byHand) {
			h.damage(protocol.MetadataTopic, 1, 2)
			h.remove(protocol.MetadataTopic, 3)
		}, "only a backup can bring it back"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := newByHand(t)
			tt.accident(h)
			_, err := NewPlan(h.dir, true)
			require.ErrorContains(t, err, tt.says)
		})
	}
}

// Making a plan changes nothing, whatever it finds.
func TestPlanChangesNothing(t *testing.T) {
	h := newByHand(t)
	h.restoreOlder(2)
	h.damage("kept", 1)
	h.remove("kept", 3)
	before := h.content()
	_, err := NewPlan(h.dir, false)
	require.NoError(t, err)
	assert.Equal(t, before, h.content())
}

// content is every file below the data directory.
func (h *byHand) content() map[string]string {
	files := map[string]string{}
	require.NoError(h.t, filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, h.dir)] = string(data)
		return err
	}))
	return files
}

// A replica that arrived goes on in the stead of the one that was there before only where its
// log is the longer one, and says that the group is without that.
func TestTookPlace(t *testing.T) {
	h := newByHand(t)
	before, ok := h.ledger(2).Live(keptID, 0)
	require.True(t, ok)
	tests := map[string]struct {
		founders []uint64
		records  int
		want     bool
	}{
		"took its place": {[]uint64{1, 3, 10}, 6, true},
		"is shorter":     {[]uint64{1, 3, 10}, 1, false},
		"votes beside":   {[]uint64{1, before.ReplicaID, 3, 10}, 6, false},
		"does not vote":  {[]uint64{1, 3}, 6, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			there := *h
			there.t, there.dir = t, t.TempDir()
			id := logfile.Identity{ClusterID: h.manifest.ID, TopicID: keptID, Topic: "kept", Broker: 2, ReplicaID: 10}
			require.NoError(t, os.MkdirAll(there.broker(2), 0o750))
			require.NoError(t, replica.Create(logfile.OSFS{}, there.log(2, "kept"), id, tt.founders, 0, bootOptions()))
			there.produce(2, 2, tt.records)
			r := before
			r.ReplicaID = 10
			require.Equal(t, tt.want, TookPlace(h.manifest.ID, 2, h.broker(2), before, there.broker(2), r))
		})
	}
	gone := before
	gone.ReplicaID = 10
	require.False(t, TookPlace(h.manifest.ID, 2, h.broker(2), before, t.TempDir(), gone), "it is not there")
}
