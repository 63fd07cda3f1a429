package client

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// node answers with a status and an error code, and counts.
func node(t *testing.T, status int, code string) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(status)
		_, err := w.Write([]byte(`{"code":"` + code + `","error_code":50305,"outcome":"none","message":"m"}`))
		assert.NoError(t, err)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// unusedURL is where nobody listens.
func unusedURL(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return "http://" + ln.Addr().String()
}

func TestClientMovesOnToANodeThatAnswers(t *testing.T) {
	ending, atEnding := node(t, 503, "shutting_down")
	well, atWell := node(t, 200, "")
	c, err := New(unusedURL(t) + ", " + ending + "," + well)
	require.NoError(t, err)
	for range 3 {
		_, err = c.Do(context.Background(), "GET", "/topic", nil, nil)
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, atEnding.Load(), "it is not asked again")
	assert.EqualValues(t, 3, atWell.Load())
}

// What another node would refuse as well, or may have happened, is not sent again.
func TestClientDoesNotRepeatOtherErrors(t *testing.T) {
	refusing, asked := node(t, 503, "no_leader")
	well, atWell := node(t, 200, "")
	c, err := New(refusing + "," + well)
	require.NoError(t, err)
	_, err = c.Do(context.Background(), "GET", "/topic", nil, nil)
	require.Error(t, err)
	assert.EqualValues(t, 1, asked.Load())
	assert.Zero(t, atWell.Load())
}

func TestClientWhoseNodesAreAllGone(t *testing.T) {
	c, err := New(unusedURL(t) + "," + unusedURL(t))
	require.NoError(t, err)
	_, err = c.Do(context.Background(), "GET", "/topic", nil, nil)
	var lost *TransportError
	require.ErrorAs(t, err, &lost)

	ending, asked := node(t, 503, "shutting_down")
	c, err = New(ending + "," + ending)
	require.NoError(t, err)
	_, err = c.Do(context.Background(), "GET", "/topic", nil, nil)
	require.Error(t, err)
	assert.EqualValues(t, 2, asked.Load(), "each once")
}

func TestServersMustBeURLs(t *testing.T) {
	for _, servers := range []string{"http://a:1,b", "http://a:1,", "ftp://a"} {
		_, err := New(servers)
		require.Error(t, err, servers)
	}
}
