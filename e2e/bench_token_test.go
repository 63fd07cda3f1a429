package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A running broker that asks for tokens can be measured.
func TestBenchShowsAToken(t *testing.T) {
	t.Parallel()
	s := guarded(t)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(adminSecret), 0o600))
	args := []string{"bench", "produce-single", "fetch", "--server", s.base, "--cluster", "default", "--connections", "1", "--duration", "200ms", "--warmup", "50ms"}
	out := s.must("", append(args, "--token-file", file)...)
	assert.Contains(t, out, "produce-single")
	assert.NotContains(t, out, adminSecret)
	code, _, errs := s.ottla("", args...)
	assert.NotZero(t, code)
	assert.Contains(t, errs, "unauthorized")
}
