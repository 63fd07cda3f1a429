package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWatch(t *testing.T) {
	for name, move := range map[string]func(dir string) error{
		"renamed":  func(dir string) error { return os.Rename(dir, dir+".away") },
		"removed":  os.RemoveAll,
		"replaced": func(dir string) error { return errors.Join(os.Rename(dir, dir+".away"), os.Mkdir(dir, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			require.NoError(t, os.Mkdir(dir, 0o700))
			opened, err := os.Stat(dir)
			require.NoError(t, err)
			said := make(chan error, 1)
			go Watch(dir, opened, nil, func(err error) { said <- err })
			require.NoError(t, move(dir))
			assert.ErrorContains(t, <-said, "not at "+dir)
		})
	}
}

func TestWatchEnds(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	Watch(t.TempDir(), nil, stop, func(err error) { t.Error(err) })
}
