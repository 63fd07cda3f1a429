package front

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/actors/routing"
	"ottla/protocol"
)

func TestJudges(t *testing.T) {
	refused := protocol.ErrNotLeader
	failed := protocol.Errorf(protocol.CodeStorageFailed, "full")
	unclear := protocol.Unknownf("cut off")
	for name, c := range map[string]struct {
		come                      bool
		err                       *protocol.Error
		once, repeatable, reading verdict
	}{
		"an answer":          {true, nil, verdictFinal, verdictFinal, verdictFinal},
		"no answer":          {false, nil, verdictFinal, verdictUnclear, verdictRefused},
		"does not lead":      {true, refused, verdictRefused, verdictRefused, verdictRefused},
		"an error":           {true, failed, verdictFinal, verdictFinal, verdictRefused},
		"an unknown outcome": {true, unclear, verdictFinal, verdictUnclear, verdictRefused},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.once, judgeOnce(c.come, c.err), "once")
			assert.Equal(t, c.repeatable, judgeRepeatable(c.come, c.err), "repeatable")
			assert.Equal(t, c.reading, judgeReading(c.come, c.err), "reading")
		})
	}
}

// listing asks for the groups of the coordinator's partition.
func (w *world) listing(timeout time.Duration) ([]string, *protocol.Error) {
	return w.listGroups(w.table(protocol.OffsetsTopic), 0, 0, time.Now().Add(timeout))
}

// answers makes a leader answer its questions by these functions in turn, the
// last one again and again.
func (l *fakeLeader) answers(fns ...func(*routing.ListGroups)) {
	l.ask = func(q routing.Question) {
		fn := fns[0]
		if len(fns) > 1 {
			fns = fns[1:]
		}
		fn(q.(*routing.ListGroups))
	}
}

func says(err *protocol.Error, groups ...string) func(*routing.ListGroups) {
	return func(q *routing.ListGroups) { q.Reply.Put(routing.GroupList{Groups: groups, Err: err}) }
}

func silent(*routing.ListGroups) {}

// coordinator replaces the coordinator of the world by a leader that answers
// as the test wants it to.
func (w *world) coordinator() *fakeLeader { return w.lead(w.table(protocol.OffsetsTopic), 0) }

// A leader that refuses, and stays, is asked again: it may have been about to
// hand over, and then did not.
func TestFollowAsksTheSameLeaderAgain(t *testing.T) {
	w := newWorld(t)
	w.coordinator().answers(says(protocol.ErrNotLeader), says(protocol.ErrNotLeader), says(nil, "g"))
	groups, err := w.listing(patience)
	require.Nil(t, err)
	assert.Equal(t, []string{"g"}, groups)
}

// A leader that refuses while too few other replicas run is asked again from time
// to time, and not as fast as it refuses.
func TestFollowDoesNotSpin(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.coordinator().answers(func(q *routing.ListGroups) {
		asked++
		says(protocol.ErrNotLeader)(q)
	})
	w.replicas.running.Store(0)
	_, err := w.listing(200 * time.Millisecond)
	require.NotNil(t, err)
	assert.LessOrEqual(t, asked, 6, "once, and then every 50 ms")
}

func TestFollowGoesToTheNextLeader(t *testing.T) {
	for name, first := range map[string]func(*routing.ListGroups){
		"refused": says(protocol.ErrNotLeader),
		"silent":  silent,
		"unknown": says(protocol.Unknownf("cut off")),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			offsets := w.table(protocol.OffsetsTopic)
			old := w.coordinator()
			old.answers(func(q *routing.ListGroups) {
				next := w.coordinator()
				next.answers(says(nil, "g"))
				first(q)
			})
			groups, err := w.listing(patience)
			require.Nil(t, err)
			assert.Equal(t, []string{"g"}, groups)
			assert.NotSame(t, old.Leadership, routing.Of(offsets).Partitions[0].Leader())
		})
	}
}

// What is said of the outcome when there is no answer in the end: an attempt
// that nobody answered makes every later error one of unknown outcome.
func TestOutcomeWhenNobodyAnswers(t *testing.T) {
	full := protocol.Errorf(protocol.CodeStorageFailed, "full")
	for name, c := range map[string]struct {
		answers []func(*routing.ListGroups)
		code    protocol.Code
		outcome protocol.Outcome
	}{
		"refused to the end":         {[]func(*routing.ListGroups){says(protocol.ErrNotLeader)}, protocol.CodeNoLeader, protocol.OutcomeNone},
		"silent":                     {[]func(*routing.ListGroups){silent}, protocol.CodeOutcomeUnknown, protocol.OutcomeUnknown},
		"unknown, then refused":      {[]func(*routing.ListGroups){says(protocol.Unknownf("cut")), says(protocol.ErrNotLeader)}, protocol.CodeOutcomeUnknown, protocol.OutcomeUnknown},
		"an error":                   {[]func(*routing.ListGroups){says(full)}, protocol.CodeStorageFailed, protocol.OutcomeNone},
		"refused, then an error":     {[]func(*routing.ListGroups){says(protocol.ErrNotLeader), says(full)}, protocol.CodeStorageFailed, protocol.OutcomeNone},
		"unknown, then an error":     {[]func(*routing.ListGroups){says(protocol.Unknownf("cut")), says(full)}, protocol.CodeStorageFailed, protocol.OutcomeUnknown},
		"unknown, refused, an error": {[]func(*routing.ListGroups){says(protocol.Unknownf("cut")), says(protocol.ErrNotLeader), says(full)}, protocol.CodeStorageFailed, protocol.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.coordinator().answers(c.answers...)
			_, err := w.listing(300 * time.Millisecond)
			requireCode(t, c.code, err)
			assert.Equal(t, c.outcome, err.Outcome)
		})
	}
	assert.Equal(t, protocol.OutcomeNone, full.Outcome, "the leader's own error is left alone")
}

// A leader that was withdrawn may still answer, for it answers everybody before
// it ends.
func TestAnswerOfAWithdrawnLeader(t *testing.T) {
	w := newWorld(t)
	old := w.coordinator()
	old.answers(func(q *routing.ListGroups) {
		old.route.Clear(old.Leadership)
		says(nil, "g")(q)
	})
	groups, err := w.listing(patience)
	require.Nil(t, err)
	assert.Equal(t, []string{"g"}, groups)
}

func TestNobodyLeads(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(w *world, t *protocol.Topic)
		want    protocol.Code
	}{
		"for the moment":       {func(*world, *protocol.Topic) {}, protocol.CodeNoLeader},
		"too few replicas":     {func(w *world, _ *protocol.Topic) { w.replicas.running.Store(0) }, protocol.CodeNotEnoughReplicas},
		"the process ends":     {func(w *world, _ *protocol.Topic) { close(w.stop) }, protocol.CodeShuttingDown},
		"the topic is gone":    {func(w *world, t *protocol.Topic) { w.remove(t.Name) }, protocol.CodeTopicNotFound},
		"the topic is another": {func(w *world, t *protocol.Topic) { w.withTopic(t.Name, 1) }, protocol.CodeTopicNotFound},
		"the cluster is gone":  {func(w *world, _ *protocol.Topic) { w.directory.Put(w.cluster.Name, nil) }, protocol.CodeClusterNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q, leaders := w.withTopic("q", 1)
			leaders[0].resign()
			c.happens(w, q)
			requireCode(t, c.want, w.leaderless(q, 0))
		})
	}
}

// Producer ids are asked for until somebody knows them. A failure never leaves
// anything unknown, as nothing is changed.
func TestProducersAreAskedForAgain(t *testing.T) {
	w := newWorld(t)
	_, leaders := w.withTopic("q", 2)
	tries := 0
	leaders[0].ask = func(q routing.Question) {
		if tries++; tries == 1 {
			q.Refuse(protocol.Unknownf("cut off"))
			return
		}
		q.(*routing.ListProducers).Reply.Put(routing.ProducerList{IDs: []string{"b", "a"}})
	}
	leaders[1].ask = func(q routing.Question) {
		q.(*routing.ListProducers).Reply.Put(routing.ProducerList{IDs: []string{"a"}})
	}
	w.opt.RequestTimeout = patience
	list, err := w.Producers("")
	require.Nil(t, err)
	assert.Equal(t, []protocol.ProducerInfo{{Cluster: "default", Name: "a"}, {Cluster: "default", Name: "b"}}, list)
	assert.Equal(t, 2, tries)

	leaders[0].resign()
	w.opt.RequestTimeout = 100 * time.Millisecond
	_, err = w.Producers("")
	requireCode(t, protocol.CodeNoLeader, err)
	assert.Equal(t, protocol.OutcomeNone, err.Outcome)
}
