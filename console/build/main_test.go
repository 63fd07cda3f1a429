package main

import (
	"testing"
)

// The files that the server embeds are those that the sources give, so that nobody
// has to trust whoever committed them.
func TestTheFilesAreThoseOfTheSources(t *testing.T) {
	if err := run("..", true); err != nil {
		t.Fatal(err)
	}
}
