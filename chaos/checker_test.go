package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func rec(partition int, offset int64, value string) record {
	return record{place{partition, offset}, value}
}

func sent(value string, o outcome, partition int, offset int64) produced {
	return produced{topic: "t", value: value, outcome: o, at: place{partition, offset}, began: 1, ended: 2}
}

func keyed(value string, offset int64) produced {
	p := sent(value, acked, 0, offset)
	p.key = "k"
	return p
}

func TestLogCheckerFindsEachKind(t *testing.T) {
	log := []record{rec(0, 0, "a"), rec(0, 1, "b"), rec(1, 0, "c")}
	with := func(extra ...record) []record { return append(append([]record{}, log...), extra...) }
	short := []record{rec(0, 7, "h"), rec(0, 8, "i")}
	cut := map[int]int64{0: 7}
	for name, c := range map[string]struct {
		produced []produced
		churned  map[string]lifetime
		log      finalLog
		want     string
	}{
		"nothing wrong":        {[]produced{sent("a", acked, 0, 0), sent("x", refused, 0, 0), sent("u", unknown, 0, 0)}, nil, finalLog{records: log, copies: map[int][]record{1: log}}, ""},
		"acked but gone":       {[]produced{sent("z", acked, 0, 2)}, nil, finalLog{records: log}, "lost"},
		"acked elsewhere":      {[]produced{sent("a", acked, 0, 1)}, nil, finalLog{records: log}, "moved"},
		"refused but there":    {[]produced{sent("a", refused, 0, 0)}, nil, finalLog{records: log}, "phantom"},
		"twice":                {[]produced{sent("a", acked, 0, 0)}, nil, finalLog{records: with(rec(0, 2, "a"))}, "duplicate"},
		"hole":                 {nil, nil, finalLog{records: with(rec(0, 3, "d"))}, "gap"},
		"hole at the start":    {nil, nil, finalLog{records: short}, "gap"},
		"taken by retention":   {[]produced{sent("g", acked, 0, 6), sent("h", acked, 0, 7)}, nil, finalLog{records: short, start: cut}, ""},
		"not by retention":     {[]produced{sent("g", acked, 0, 9)}, nil, finalLog{records: short, start: cut}, "lost"},
		"copy is short":        {nil, nil, finalLog{records: log, copies: map[int][]record{2: log[:2]}}, "diverged"},
		"copy is long":         {nil, nil, finalLog{records: log[:2], copies: map[int][]record{2: log}}, "diverged"},
		"copy differs":         {nil, nil, finalLog{records: log, copies: map[int][]record{3: {log[0], rec(0, 1, "x"), log[2]}}}, "diverged"},
		"copy keeps more":      {nil, nil, finalLog{records: short, start: cut, copies: map[int][]record{1: append([]record{rec(0, 6, "g")}, short...)}}, ""},
		"deleted with its log": {[]produced{sent("z", acked, 0, 2)}, map[string]lifetime{"t": {3, 4}}, finalLog{records: log}, ""},
		"outlived its log":     {[]produced{sent("a", acked, 0, 5)}, map[string]lifetime{"t": {3, 4}}, finalLog{records: log}, "ghost"},
		"lost since":           {[]produced{sent("z", acked, 0, 2)}, map[string]lifetime{"t": {0, 0}}, finalLog{records: log}, "lost"},
		"compacted":            {[]produced{keyed("a", 0), keyed("b", 5), keyed("z", 3)}, nil, finalLog{records: []record{rec(0, 5, "b")}, compacted: true}, ""},
		"newest of a key lost": {[]produced{keyed("b", 5), keyed("z", 7)}, nil, finalLog{records: []record{rec(0, 5, "b")}, compacted: true}, "lost"},
		"compacted, unordered": {nil, nil, finalLog{records: []record{rec(0, 5, "b"), rec(0, 4, "c")}, compacted: true}, "gap"},
		"never made again":     {[]produced{sent("z", acked, 0, 2)}, map[string]lifetime{"t": {1, never}}, finalLog{records: log}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.log.topic = "t"
			if c.log.start == nil {
				c.log.start = map[int]int64{}
			}
			wantKind(t, checkLog(&history{produced: c.produced, churned: c.churned}, &c.log), c.want)
		})
	}
}

func wantKind(t *testing.T, got []violation, kind string) {
	t.Helper()
	if kind == "" {
		require.Empty(t, got)
		return
	}
	require.Len(t, got, 1)
	require.Equal(t, kind, got[0].Kind)
}

func gave(member int, generation int64, moved bool, offsets ...int64) delivery {
	return delivery{"g", member, generation, 0, offsets, moved}
}

func TestGroupCheckerFindsEachKind(t *testing.T) {
	for name, c := range map[string]struct {
		mode commitMode
		list []delivery
		end  int64
		want string
	}{
		"nothing wrong":                  {byAck, []delivery{gave(1, 1, true, 0, 1), gave(1, 1, false, 2)}, 3, ""},
		"poll skips":                     {byAck, []delivery{gave(1, 1, true, 0, 1), gave(1, 1, false, 3), gave(1, 1, true, 2)}, 4, "skipped"},
		"poll repeats":                   {byAck, []delivery{gave(1, 1, true, 0, 1), gave(1, 1, false, 1)}, 2, "skipped"},
		"gap within a poll":              {byAck, []delivery{gave(1, 1, true, 0, 2), gave(1, 1, true, 1)}, 3, "skipped"},
		"poll after a failure":           {byAck, []delivery{gave(1, 1, true, 0, 1), gave(1, 1, true, 1, 2)}, 3, ""},
		"failure without records":        {byAck, []delivery{gave(1, 1, true, 0, 1), gave(1, 1, true), gave(1, 1, false, 1)}, 2, ""},
		"nobody was given one":           {byAck, []delivery{gave(1, 1, true, 0, 1), gave(2, 2, true, 3)}, 4, "skipped"},
		"the last ones were never given": {byPost, []delivery{gave(1, 1, true, 0, 1)}, 3, "skipped"},
		"two owners":                     {byAck, []delivery{gave(1, 4, true, 0), gave(2, 4, true, 0)}, 1, "two owners"},
		"another owner later":            {byAck, []delivery{gave(1, 4, true, 0), gave(2, 5, true, 0)}, 1, ""},
		"twice, by acks":                 {byAck, []delivery{gave(1, 4, true, 0), gave(1, 5, true, 0)}, 1, ""},
		"twice, automatically":           {byAuto, []delivery{gave(1, 4, true, 0), gave(1, 5, true, 0)}, 1, "twice"},
		"lost, automatically":            {byAuto, []delivery{gave(1, 4, true, 0), gave(1, 5, true, 2)}, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := &group{"g", mainTopic, c.mode, false}
			wantKind(t, checkGroups(c.list, []*group{g}, map[int]int64{0: c.end}), c.want)
		})
	}
}

func TestOffsetsAreChecked(t *testing.T) {
	r := newRecorder()
	g := &group{"g", mainTopic, byAck, false}
	r.offsets.Commit("1", g.register(0), 5).Acked()
	r.offsets.Read("2", g.register(0)).Returned(5)
	require.Empty(t, checkOffsets(r.offsets))
	r.offsets.Read("2", g.register(0)).Returned(4)
	wantKind(t, checkOffsets(r.offsets), "offset")
}

func TestValuesNeverChange(t *testing.T) {
	r := newRecorder()
	one := []consumed{{Partition: 1, Offset: 2, Value: []byte(`"a"`)}}
	r.saw(mainTopic, one)
	r.saw(mainTopic, one)
	require.Empty(t, r.h.violations)
	require.EqualValues(t, 2, r.highest(mainTopic, 1))
	r.saw(mainTopic, []consumed{{Partition: 1, Offset: 2, Value: []byte(`"b"`)}})
	wantKind(t, r.h.violations, "inconsistent")
}

func TestCursorsOfOldGenerationsAreRefused(t *testing.T) {
	r := newRecorder()
	m := &member{g: &group{"g", mainTopic, byAck, false}, id: 1}
	require.Zero(t, r.generation("g"))
	r.accepted(m, 4, 0, 0)
	require.EqualValues(t, 4, r.generation("g"))
	r.accepted(m, 4, 4, 4)
	r.accepted(m, 5, 4, 4) // the next one began while the poll was under way
	require.Empty(t, r.h.violations)
	r.accepted(m, 5, 4, 5)
	wantKind(t, r.h.violations, "stale")
}

func TestLifetimeOfATopic(t *testing.T) {
	r := newRecorder()
	r.began = time.Now().Add(-time.Second)
	r.deleting("t")
	require.Equal(t, never, r.h.churned["t"].created)
	r.created("t")
	l := r.h.churned["t"]
	require.Greater(t, l.deleted, time.Second)
	require.GreaterOrEqual(t, l.created, l.deleted)

	// A topic that nobody could delete keeps its records, and they are no ghosts.
	r.deleting("t")
	r.notDeleted("t")
	f := finalLog{topic: "t", records: []record{{at: place{0, 0}, value: "a"}}, start: map[int]int64{}}
	h := history{produced: []produced{{topic: "t", value: "a", outcome: acked, at: place{0, 0}, ended: 1}}, churned: r.h.churned}
	for _, v := range checkLog(&h, &f) {
		require.NotEqual(t, "ghost", v.Kind)
	}
}

// A group has not reached an end that nobody knows.
func TestBehind(t *testing.T) {
	at := func(n int64) *int64 { return &n }
	for _, row := range []struct {
		committed, end *int64
		want           bool
	}{
		{nil, nil, true}, {at(3), nil, true}, {nil, at(0), false}, {nil, at(4), true}, {at(3), at(4), true}, {at(4), at(4), false},
	} {
		require.Equal(t, row.want, behind(offsetRow{Committed: row.committed, End: row.end}))
	}
}
