package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// What a client asks for that takes long is not done any more once it has left; and no
// poll names more topics than it may.
func TestNoTopicsAreMadeForAClientThatLeft(t *testing.T) {
	t.Parallel()
	s := start(t, "OTTLA_LOG_REQUESTS=true")
	names := make([]string, protocol.MaxPollTopics+1)
	for i := range names {
		names[i] = fmt.Sprintf(`"t%d"`, i)
	}
	body := func(n int) string {
		return fmt.Sprintf(`{"topic":[%s],"auto_create":true,"timeout_ms":0}`, strings.Join(names[:n], ","))
	}
	e := s.call("GET", "/events", body(len(names))).wantError(http.StatusBadRequest, "limit_exceeded")
	assert.Equal(t, float64(protocol.MaxPollTopics), e.Details["limit"])
	s.call("GET", "/events?"+strings.Repeat("topic=a&", len(names)), nil).wantError(http.StatusBadRequest, "limit_exceeded")
	assert.Empty(t, s.names("/topic", "topics", "name"))

	conn, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
	require.NoError(t, err)
	much := body(protocol.MaxPollTopics)
	_, err = fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: leaves\r\nContent-Length: %d\r\n\r\n%s", len(much), much)
	require.NoError(t, err)
	s.eventually(waitTimeout, "the first topic is there", func() error {
		if a := s.get("/topic/t0"); a.status != http.StatusOK {
			return fmt.Errorf("%d", a.status)
		}
		return nil
	})
	require.NoError(t, conn.Close())
	s.eventually(30*time.Second, "the request has ended", func() error {
		if log := s.stderr.tail(1 << 20); !strings.Contains(log, `"leaves"`) && !strings.Contains(log, "request_id=leaves") {
			return fmt.Errorf("it is under way")
		}
		return nil
	})
	assert.Less(t, len(s.names("/topic", "topics", "name")), protocol.MaxPollTopics/2)
}
