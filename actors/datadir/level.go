package datadir

import (
	"fmt"

	"ottla/actors/level"
)

// NewerLevelError says that a data directory belongs to a fleet whose level this program
// does not know. Nothing of it is touched.
type NewerLevelError struct{ Level int }

func (e *NewerLevelError) Error() string {
	return fmt.Sprintf("the fleet of this data directory is at level %d, this program knows levels %d to %d: start a newer version here", e.Level, level.Oldest, level.Newest)
}

// Level is that of the node's fleet, as far as it is known here.
func (m *Manifests) Level() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return max(level.Oldest, m.level)
}

// Raise notes that the fleet has a level. Once it returns, programs that do not know the
// level refuse the data directory. A level below the one that is noted changes nothing.
func (m *Manifests) Raise(to int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.level
	if to <= max(level.Oldest, was) {
		return nil
	}
	m.level = to
	if err := m.replaceRoot(m.clusters); err != nil {
		m.level = was
		return fmt.Errorf("note level %d: %w", to, err)
	}
	return nil
}
