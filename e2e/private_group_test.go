package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// noGroups waits until there is no group any more.
func (s *server) noGroups() {
	s.t.Helper()
	s.eventually(waitTimeout, "the private groups have gone", func() error {
		if names := s.names("/groups", "groups", "group"); len(names) > 0 {
			return fmt.Errorf("%v", names)
		}
		return nil
	})
}

// The group of a stream that names none goes when its client has gone, however that
// ends; and who comes back with the id of a record goes on behind it, before and after.
func TestAPrivateGroupGoesWithItsStream(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.topic("t", 2)
	const path = "/events?topic=t&session_timeout_ms=1500"
	made := 0
	for _, auto := range []bool{true, false} {
		for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
			made++
			topic := fmt.Sprintf("t%d", made)
			s.topic(topic, 2)
			at := fmt.Sprintf("/events?topic=%s&session_timeout_ms=1500&auto_commit=%v", topic, auto)
			s.produceAll(topic, "v", 1)
			in, header, end := s.stream(accept, at)
			_, last := nextValue(t, accept, in)
			group := "consumer-" + header.Get("Ottla-Consumer-Id")
			require.Equal(t, []string{group}, s.names("/groups", "groups", "group"))
			end()
			in, _, end = s.stream(accept, at, "Last-Event-ID", last)
			s.produceAll(topic, "a", 1)
			for v := ""; v != `"a-0"`; {
				v, last = nextValue(t, accept, in)
			}
			end()
			s.noGroups()

			s.produceAll(topic, "b", 1)
			for range 2 { // with the same id, as a browser does to which nothing came
				in, header, end = s.stream(accept, at, "Last-Event-ID", last)
				assert.Equal(t, group, "consumer-"+header.Get("Ottla-Consumer-Id"))
				v, _ := nextValue(t, accept, in)
				assert.Equal(t, `"b-0"`, v, "it goes on behind what it had")
				end()
			}
			s.noGroups()
		}
	}
	in, _, end := s.stream("text/event-stream", "/events?topic=t&from=latest")
	require.True(t, in.Scan())
	end()
	s.noGroups() // also where no record came

	s.produceAll("t", "v", 1)
	in, _, _ = s.stream("text/event-stream", path)
	nextMessage(t, in)
	s.kill()
	s.again()
	s.noGroups() // its client did not come back

	// Whoever names the consumer or the group, or commits, keeps it.
	in, header, end := s.stream("text/event-stream", path+"&auto_commit=false")
	m := nextMessage(t, in)
	require.NotEmpty(t, m.id)
	id := header.Get("Ottla-Consumer-Id")
	s.post("/offset", `{"consumer_id":`+id+`}`).want(http.StatusOK)
	s.produceAll("t", "later", 2) // the stream goes on
	nextMessage(t, in)
	<-time.After(time.Second)
	end()
	in, _, end = s.stream("text/event-stream", path+"&group=named")
	nextMessage(t, in)
	end()
	in, _, end = s.stream("text/event-stream", path+"&consumer_id=5")
	nextMessage(t, in)
	end()
	s.eventually(waitTimeout, "all have lapsed", func() error {
		for _, g := range []string{"consumer-" + id, "named", "consumer-5"} {
			if n := len(s.members(g)); n > 0 {
				return fmt.Errorf("%s has %d members", g, n)
			}
		}
		return nil
	})
	<-time.After(3 * time.Second)
	assert.ElementsMatch(t, []string{"consumer-" + id, "named", "consumer-5"}, s.names("/groups", "groups", "group"))
}

// A node that dies takes its clients' streams with it: their groups go, wherever their
// coordinators are, and also where those had moved meanwhile.
func TestPrivateGroupsGoWithTheirNode(t *testing.T) {
	t.Parallel()
	f := startNodes(t, 3)
	f.nodes[0].topic("t", 1)
	f.nodes[0].produceAll("t", "v", 1)
	for range 4 {
		in, _, _ := f.nodes[2].stream("text/event-stream", "/events?topic=t&session_timeout_ms=2000")
		nextMessage(t, in)
	}
	require.Len(t, f.nodes[0].names("/groups", "groups", "group"), 4)
	f.nodes[0].call("POST", "/cluster/default/brokers/1/stop", nil).want(http.StatusOK)
	for range 2 { // a poll of each stream asks the coordinators that there are now
		<-time.After(time.Second)
	}
	f.nodes[2].kill()
	f.nodes[0].call("POST", "/cluster/default/brokers/1/start", nil).want(http.StatusOK)
	f.nodes[0].noGroups()
}
