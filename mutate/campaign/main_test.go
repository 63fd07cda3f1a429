package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/mutate"
)

func TestRead(t *testing.T) {
	for output, want := range map[string]catch{
		"=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n--- FAIL: TestB (0.00s)\n    --- FAIL: TestB/seed=7 (0.00s)\n": {"TestB", "7"},
		"=== RUN   TestB\n--- FAIL: TestB (0.00s)\n    --- FAIL: TestB/torn_tail (0.00s)\n":                                        {"TestB/torn_tail", "-"},
		"=== RUN   TestB\n--- FAIL: TestB (0.00s)\n":                                                                               {"TestB", "-"},
		"=== RUN   TestB\n=== RUN   TestB/seed=3\npanic: BUG\n":                                                                    {"TestB", "3"},
		"panic: OTTLA_MUTATE: there is no bug":                                                                                     {"a test binary that does not start", ""},
	} {
		assert.Equal(t, want, read(output), output)
	}
}

func TestEveryBugHasItsTests(t *testing.T) {
	for _, b := range mutate.All() {
		require.NotEmpty(t, noticedBy(b), b)
	}
}

func TestReadChaos(t *testing.T) {
	for output, want := range map[string]chaosCatch{
		"3 rounds, 7 records acknowledged, slowest\nVIOLATION lost: a of t\nVIOLATION two owners: b\nVIOLATIONS lost: 2\n": {kinds: []string{"lost", "two owners"}, rounds: 3},
		"10 rounds, 7 records\n12 rounds, 9 records\n... 0 violations\n":                                                   {rounds: 12},
		"SKIPPED power: mounting a disk image needs root\n":                                                                {skipped: "mounting a disk image needs root"},
		"VIOLATION stuck: after a restart\nchaos: round 4: kill -9: not ready\n":                                           {kinds: []string{"stuck"}, rounds: 4, failure: "round 4: kill -9: not ready"},
	} {
		assert.Equal(t, want, readChaos(output), output)
	}
}

func TestEveryBugHasACampaignOrAReason(t *testing.T) {
	for _, b := range mutate.All() {
		list, why := trials(b)
		require.NotEqual(t, len(list) == 0, why == "", b)
		require.NotEqual(t, noReason, why, b)
		for _, one := range list {
			require.NotEmpty(t, one.kinds, b)
			require.Positive(t, one.rounds*one.runs, b)
		}
	}
}
