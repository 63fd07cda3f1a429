package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckerFindsEachKind(t *testing.T) {
	log := []record{{place{0, 0}, "a"}, {place{0, 1}, "b"}, {place{1, 0}, "c"}}
	with := func(extra ...record) []record { return append(append([]record{}, log...), extra...) }
	for name, c := range map[string]struct {
		h      history
		finals [][]record
		want   string
	}{
		"nothing wrong":        {history{produced: []produced{{"a", acked, place{0, 0}}, {"x", refused, place{}}, {"u", unknown, place{}}}}, [][]record{log, log}, ""},
		"acked but gone":       {history{produced: []produced{{"z", acked, place{0, 2}}}}, [][]record{log}, "lost"},
		"acked elsewhere":      {history{produced: []produced{{"a", acked, place{0, 1}}}}, [][]record{log}, "moved"},
		"refused but there":    {history{produced: []produced{{"a", refused, place{}}}}, [][]record{log}, "phantom"},
		"twice":                {history{produced: []produced{{"a", acked, place{0, 0}}}}, [][]record{with(record{place{0, 2}, "a"})}, "duplicate"},
		"hole":                 {history{}, [][]record{with(record{place{0, 3}, "d"})}, "gap"},
		"offset steps back":    {history{committed: []committed{{"c", 0, 5, false}, {"c", 0, 4, true}}}, [][]record{log}, "regression"},
		"offset stays":         {history{committed: []committed{{"c", 0, 5, false}, {"c", 0, 5, true}, {"d", 0, 1, true}}}, [][]record{log}, ""},
		"poll skips":           {history{deliveries: []delivery{{"c", 0, []int64{0, 1}, false, false}, {"c", 0, []int64{3}, false, false}}}, [][]record{log}, "skipped"},
		"poll repeats":         {history{deliveries: []delivery{{"c", 0, []int64{0, 1}, false, false}, {"c", 0, []int64{1}, false, false}}}, [][]record{log}, "skipped"},
		"poll after a restart": {history{deliveries: []delivery{{"c", 0, []int64{0, 1}, false, false}, {"c", 0, []int64{1}, true, false}}}, [][]record{log}, ""},
		"copy is short":        {history{}, [][]record{log, log[:2]}, "diverged"},
		"copy differs":         {history{}, [][]record{log, {log[0], {place{0, 1}, "x"}, log[2]}}, "diverged"},
	} {
		t.Run(name, func(t *testing.T) {
			got := check(&c.h, c.finals)
			if c.want == "" {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			require.Equal(t, c.want, got[0].kind)
		})
	}
}
