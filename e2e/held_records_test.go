package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Looking records up by their time gives what a search through all of them gives, also
// when the indexes of the segments were deleted, emptied or damaged.
func TestLookUpsByTimeWithoutTheirIndexes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.post("/topic", object{"name": "timed", "partitions": 1, "segment_bytes": 65536}).want(http.StatusCreated)
	const n = 1000
	rnd := rand.New(rand.NewSource(1))
	times := make([]int64, n)
	var records []object
	for i := range times {
		times[i] = 1_790_000_000_000 + int64(i)*1000 + rnd.Int63n(20_000) // not in order
		records = append(records, object{"value": fmt.Sprintf("%d-%0600d", i, 0), "timestamp": times[i]})
		if len(records) == 100 {
			s.post("/events", object{"topic": "timed", "records": records}).want(http.StatusOK)
			records = nil
		}
	}
	check := func(when string) {
		t.Helper()
		for range 150 {
			at := times[0] - 10_000 + rnd.Int63n(n*1000+40_000)
			want := n
			for i, ts := range times {
				if ts >= at {
					want = i
					break
				}
			}
			var f fetched
			s.get(fmt.Sprintf("/topic/timed/partitions/0/records?timestamp=%d&max_records=1", at)).want(http.StatusOK).as(&f)
			if want == n {
				require.Empty(t, f.Records, "%s: nothing is as young as %d", when, at)
				continue
			}
			require.Len(t, f.Records, 1, "%s: time %d", when, at)
			require.EqualValues(t, want, f.Records[0].Offset, "%s: time %d", when, at)
		}
	}
	check("with indexes")
	s.kill()
	indexes, err := filepath.Glob(filepath.Join(s.dir, "default", "broker-*", "timed-0", "*.idx"))
	require.NoError(t, err)
	require.Greater(t, len(indexes), 9)
	for i, path := range indexes {
		switch i % 3 {
		case 0:
			require.NoError(t, os.Remove(path))
		case 1:
			require.NoError(t, os.Truncate(path, 0))
		case 2:
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			for at := 0; at < len(data); at += 7 {
				data[at] ^= 1
			}
			require.NoError(t, os.WriteFile(path, data, 0o600))
		}
	}
	s.again()
	check("without")
}

// The newest record of each key is there, whatever is compacted and killed meanwhile.
func TestNewestOfEachKeyOverKillsAndCompaction(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_STORAGE_RETENTION_CHECK_INTERVAL=100ms")
	s.post("/topic", object{"name": "table", "partitions": 1, "cleanup_policy": "compact", "segment_bytes": 65536}).want(http.StatusCreated)
	read := func() (newest map[string]string, records int) {
		newest = map[string]string{}
		for next := int64(0); ; {
			f := s.fetch("table", 0, next, "&max_records=10000")
			for _, r := range f.Records {
				newest[string(r.Key)] = string(r.Value)
			}
			records += len(f.Records)
			if next = f.NextOffset; next >= f.HighWatermark {
				return newest, records
			}
		}
	}
	want := map[string]string{}
	const keys, rounds = 20, 40
	for life := range 4 {
		for round := range rounds {
			var records []object
			for key := range keys {
				value := fmt.Sprintf("%d-%d-%0300d", life, round, key)
				records = append(records, object{"key": fmt.Sprint(key), "value": value})
				want[fmt.Sprintf(`"%d"`, key)] = `"` + value + `"`
			}
			s.post("/events", object{"topic": "table", "records": records}).want(http.StatusOK)
		}
		if life < 3 {
			s.kill() // in the middle of a compaction, as a rule
			s.again()
		}
		got, _ := read()
		require.Equal(t, want, got, "life %d", life)
	}
	s.eventually(waitTimeout, "it is compacted", func() error {
		if _, n := read(); n > 2*keys*rounds {
			return fmt.Errorf("%d records", n)
		}
		return nil
	})
	s.kill()
	s.again()
	got, _ := read()
	assert.Equal(t, want, got)
}

// A thousand consumers of one partition: one has it, and the others wait; when it leaves,
// another one goes on where it was.
func TestAThousandMembersOfOnePartition(t *testing.T) {
	s := start(t)
	s.topic("one", 1)
	const members = 1000
	many := manyClients(members)
	type given struct {
		consumer int64
		record   record
	}
	got := make(chan given, 100)
	stop := make(chan struct{})
	var polls sync.WaitGroup
	defer func() { close(stop); s.kill(); polls.Wait() }()
	for id := int64(1); id <= members; id++ {
		polls.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := many.Get(fmt.Sprintf("%s/events?topic=one&group=g&consumer_id=%d&timeout_ms=30000&session_timeout_ms=60000", s.base, id))
				if err != nil {
					continue
				}
				var p polled
				err = json.NewDecoder(resp.Body).Decode(&p)
				_ = resp.Body.Close()
				if err == nil && len(p.Records) > 0 {
					for _, r := range p.Records {
						got <- given{id, r}
					}
					return // and leaves the partition to the others
				}
			}
		})
	}
	s.eventually(2*time.Minute, "all have joined", func() error { return s.joined("g", members) })
	seen := map[int64]bool{}
	for i := range 5 {
		s.produce("one", object{"value": i})
		select {
		case g := <-got:
			assert.EqualValues(t, i, g.record.Offset)
			assert.False(t, seen[g.consumer], "consumer %d has left", g.consumer)
			seen[g.consumer] = true
			s.delete(fmt.Sprintf("/groups/g/members/%d", g.consumer)).want(http.StatusNoContent)
		case <-time.After(waitTimeout):
			require.FailNow(t, "nobody is given the record", "%d", i)
		}
	}
	assert.Len(t, got, 0)
}

// A record that is larger than max_bytes comes alone, however it is read.
func TestARecordLargerThanMaxBytes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("large", 1)
	for i := range 3 {
		s.produce("large", object{"value": fmt.Sprintf("%d-%050000d", i, 0)})
	}
	for next := int64(0); next < 3; {
		f := s.fetch("large", 0, next, "&max_bytes=1")
		require.Len(t, f.Records, 1)
		require.Equal(t, next, f.Records[0].Offset)
		next = f.NextOffset
	}
	for i := range 3 {
		p := s.poll("topic=large", "group=g", "consumer_id=1", "max_bytes=1")
		require.Len(t, p.Records, 1)
		require.EqualValues(t, i, p.Records[0].Offset)
	}
	in, _, _ := s.stream("text/event-stream", "/events?topic=large&group=h&max_bytes=1")
	for i := range 3 {
		require.EqualValues(t, i, nextRecord(t, in).Offset)
	}
}

// Files of one broker, or its whole directory, are deleted while it runs: what is sent
// until it is answered is there once, then and after a restart, and the copy is rebuilt.
func TestFilesDeletedWhileTheBrokerRuns(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(t *testing.T, dir string){
		"segments": func(t *testing.T, dir string) {
			segments, err := filepath.Glob(filepath.Join(dir, "t-*", "*.log"))
			require.NoError(t, err)
			require.Greater(t, len(segments), 3)
			for _, path := range segments {
				require.NoError(t, os.Remove(path))
			}
		},
		"directory": func(t *testing.T, dir string) { require.NoError(t, os.RemoveAll(dir)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.post("/topic", object{"name": "t", "partitions": 3, "segment_bytes": 65536}).want(http.StatusCreated)
			value := func(i int) string { return fmt.Sprintf("%d-%05000d", i, 0) }
			write := func(from, to int) {
				for i := from; i < to; i++ {
					s.eventually(waitTimeout, "the record is written", func() error {
						a, err := s.try(http.MethodPost, "/events", object{"topic": "t", "partition": i % 3, "value": value(i)}, "Idempotency-Key", fmt.Sprint(i))
						if err != nil || a.status == http.StatusOK {
							return err
						}
						require.GreaterOrEqual(t, a.status, 503, string(a.body))
						return fmt.Errorf("%s", a.body)
					})
				}
			}
			check := func(n int) {
				t.Helper()
				for p := range 3 {
					records := s.readPartition("t", p)
					require.Len(t, records, n/3)
					for i, r := range records {
						require.Equal(t, `"`+value(3*i+p)+`"`, string(r.Value))
					}
				}
			}
			write(0, 90)
			remove(t, s.brokerDir("default", 1))
			write(90, 180)
			check(180)
			s.kill()
			s.again()
			check(180)
			s.waitInSync("t", 3)
			s.setBroker(2, "stop", "stopped")
			check(180)
		})
	}
}
