package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// patience is how long a test waits for what must come: far more than a busy
// machine needs.
const patience = time.Minute

// ptr returns a pointer to v.
func ptr[T any](v T) *T { return &v }

// requireCode fails the test unless err has the code.
func requireCode(t testing.TB, code protocol.Code, err *protocol.Error) {
	t.Helper()
	require.NotNil(t, err, "want %s", code.Name)
	require.Equal(t, code.Name, err.Code.Name, err.Message)
}
