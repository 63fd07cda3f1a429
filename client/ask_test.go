package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answers gives the answers to a request, one after the other, and the last one for ever.
type answers struct {
	list   []any // an error, or JSON
	bodies []string
}

func (a *answers) DoWith(_ context.Context, _, _ string, _ url.Values, _ map[string]string, body []byte) (json.RawMessage, error) {
	a.bodies = append(a.bodies, string(body))
	next := a.list[0]
	if len(a.list) > 1 {
		a.list = a.list[1:]
	}
	if err, failed := next.(error); failed {
		return nil, err
	}
	return json.RawMessage(next.(string)), nil
}

func TestAsk(t *testing.T) {
	busy, lost, wrong := &Error{Code: "overloaded", Retriable: true}, &TransportError{errors.New("reset")}, &Error{Code: "malformed"}
	for name, row := range map[string]struct {
		answers  []any
		patience time.Duration
		final    func(error) bool
		tries    int
		err      error
	}{
		"answered at once":           {[]any{`{"n":7}`}, 0, nil, 1, nil},
		"tried until it is answered": {[]any{busy, lost, `{"n":7}`}, time.Minute, nil, 3, nil},
		"no patience":                {[]any{busy, `{"n":7}`}, 0, nil, 1, busy},
		"patience ends":              {[]any{lost}, time.Millisecond, nil, 2, lost},
		"trying again does not help": {[]any{wrong, `{"n":7}`}, time.Minute, nil, 1, wrong},
		"final":                      {[]any{busy, `{"n":7}`}, time.Minute, func(error) bool { return true }, 1, busy},
		"not what was asked for":     {[]any{`[]`}, time.Minute, nil, 1, ErrGarbled},
	} {
		t.Run(name, func(t *testing.T) {
			server := &answers{list: row.answers}
			ask := Ask{Method: http.MethodPost, Path: "/x", Body: map[string]int{"a": 1}, Patience: row.patience, Final: row.final}
			var reply struct{ N int }
			err := ask.Send(t.Context(), server, &reply)
			require.ErrorIs(t, err, row.err)
			if row.err == nil {
				assert.Equal(t, 7, reply.N)
			}
			assert.Len(t, server.bodies, row.tries)
			assert.Equal(t, `{"a":1}`, server.bodies[len(server.bodies)-1])
		})
	}
}

func TestAskSendsBytesAsTheyAre(t *testing.T) {
	server := &answers{list: []any{`{}`}}
	ask := Ask{Method: http.MethodPost, Path: "/events", Body: []byte("{ \"a\" : 1 }")}
	require.NoError(t, ask.Send(t.Context(), server, nil))
	assert.Equal(t, []string{`{ "a" : 1 }`}, server.bodies)
}

func TestAskEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := &answers{list: []any{&TransportError{errors.New("reset")}}}
	go func() { cancel() }()
	ask := Ask{Method: http.MethodGet, Path: "/x", Patience: time.Hour}
	require.Error(t, ask.Send(ctx, server, nil))
}
