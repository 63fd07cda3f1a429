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
