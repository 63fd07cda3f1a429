package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// event is one webhook delivery: its type, its repository, and GitHub's JSON.
type event struct {
	Type    string          `json:"type"`
	Key     string          `json:"key"`
	Payload json.RawMessage `json:"payload"`
}

// loadEvents reads events, one per line, and returns where they are from. Without
// the file it generates events of the same shape.
func loadEvents(path string) ([]event, string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return generateEvents(329), "generated", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("events: %w", err)
	}
	var events []event
	for i, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, "", fmt.Errorf("events: line %d: %w", i+1, err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, e.Payload); err != nil {
			return nil, "", fmt.Errorf("events: line %d: %w", i+1, err)
		}
		e.Payload = compact.Bytes()
		events = append(events, e)
	}
	return events, "recorded deliveries of GitHub webhooks", nil
}

// generateEvents makes n events for a few repositories, with sizes that vary as
// those of real events do.
func generateEvents(n int) []event {
	types := []string{"push", "issues", "pull_request", "star", "release"}
	events := make([]event, n)
	for i := range events {
		repository := fmt.Sprintf("octo-org/repo-%d", i%7)
		text := bytes.Repeat([]byte("line of a commit message\\n"), i*i%400)
		events[i] = event{
			Type: types[i%len(types)],
			Key:  repository,
			Payload: fmt.Appendf(nil, `{"action":"created","number":%d,"repository":{"full_name":"%s","private":false},"ratio":%d.50,"message":"%s"}`,
				i, repository, i, text),
		}
	}
	return events
}
