package protocol

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Package-level errors answer many requests at the same time. Under the race
// detector this fails if a With method writes to the error that it is called on.
func TestSharedErrorsAreNotChanged(t *testing.T) {
	shared := Errorf(CodeNoLeader, "there is no leader").With("topic", "t")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			e := shared.With("partition", i).WithOutcome(OutcomeUnknown)
			assert.Equal(t, map[string]any{"topic": "t", "partition": i}, e.Details)
			assert.Equal(t, OutcomeUnknown, e.Outcome)
			assert.Equal(t, shared.Message, e.Message)
		})
	}
	wg.Wait()
	assert.Equal(t, map[string]any{"topic": "t"}, shared.Details)
	assert.Equal(t, OutcomeNone, shared.Outcome)
}

func TestErrorsAreComparedByCode(t *testing.T) {
	err := fmt.Errorf("produce: %w", Errorf(CodeNoLeader, "partition %d", 3))
	assert.EqualError(t, err, "produce: no_leader: partition 3")
	assert.ErrorIs(t, err, Errorf(CodeNoLeader, ""))
	assert.NotErrorIs(t, err, Errorf(CodeStarting, ""))
	assert.NotErrorIs(t, err, errors.New("no_leader"))
	unknown := Unknownf("nobody confirmed it")
	assert.Equal(t, []any{CodeOutcomeUnknown, OutcomeUnknown}, []any{unknown.Code, unknown.Outcome})
}

// Tests of the renderer and of the documents walk Codes, so none may be missing.
func TestCodesListsEveryCode(t *testing.T) {
	source, err := os.ReadFile("errors.go")
	require.NoError(t, err)
	declared := regexp.MustCompile(`(?m)^\tCode\w+ += Code\{(\d+),`).FindAllSubmatch(source, -1)
	require.NotEmpty(t, declared)
	var want, have []string
	for _, m := range declared {
		want = append(want, string(m[1]))
	}
	for _, c := range Codes {
		have = append(have, strconv.Itoa(c.Number))
	}
	assert.ElementsMatch(t, want, have)
}

// A client tells codes by number or by name, and the status by the number.
func TestCodesAreDistinct(t *testing.T) {
	numbers, names := map[int]bool{}, map[string]bool{}
	for _, c := range Codes {
		assert.False(t, numbers[c.Number], "%d is used twice", c.Number)
		assert.False(t, names[c.Name], "%s is used twice", c.Name)
		numbers[c.Number], names[c.Name] = true, true
		assert.Regexp(t, regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`), c.Name)
		assert.NotEmpty(t, http.StatusText(c.Status()), "%s has status %d", c.Name, c.Status())
		switch c.Status() {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			assert.True(t, c.Retriable, c.Name)
		default:
			assert.False(t, c.Retriable, c.Name)
		}
	}
}

// What a client is told about a code is a sentence on what happened and one on
// what to do.
func TestEveryCodeIsExplained(t *testing.T) {
	require.Len(t, explanations, len(Codes))
	sentence := regexp.MustCompile(`^[A-Z` + "`" + `].*[.]$`)
	for _, c := range Codes {
		e := c.Explanation()
		assert.Regexp(t, sentence, e.Happened, c.Name)
		assert.Regexp(t, regexp.MustCompile(`^(GET|[A-Z]).*[.]$`), e.Do, c.Name)
		if c.Retriable {
			assert.Regexp(t, `same again|Repeat`, e.Do, c.Name)
		} else {
			assert.NotContains(t, e.Do, "same again,", c.Name)
		}
	}
	assert.Contains(t, CodeStaleGeneration.Explanation().Do, "Drop `ack`")
}
