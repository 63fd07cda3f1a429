package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The settings of the page on security do what it says.
func TestSettingsOfTheSecurityPage(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(blocks(t, "../docs/security.md", "yaml")[0]), 0o600))
	s := prepare(t)
	s.args = []string{"--config", file}
	s.again()
	ask := func(host, origin string) *http.Response {
		req, err := http.NewRequest(http.MethodGet, s.base+"/healthz", nil)
		require.NoError(t, err)
		req.Host = host
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp
	}
	assert.Equal(t, http.StatusOK, ask("", "").StatusCode)
	assert.Equal(t, http.StatusOK, ask("ottla.example", "").StatusCode)
	assert.Equal(t, http.StatusOK, ask("broker:8080", "").StatusCode)
	assert.Equal(t, http.StatusMisdirectedRequest, ask("evil.example", "").StatusCode)
	assert.Equal(t, http.StatusForbidden, ask("", "https://evil.example").StatusCode)
	allowed := ask("", "https://app.example")
	assert.Equal(t, http.StatusOK, allowed.StatusCode)
	assert.Equal(t, "https://app.example", allowed.Header.Get("Access-Control-Allow-Origin"))
}
