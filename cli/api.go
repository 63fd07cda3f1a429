package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"ottla/client"
	"ottla/protocol"
)

// defaultServer is the server if neither --server nor OTTLA_SERVER names one. It
// is the address on which `ottla serve` listens by default.
const defaultServer = "http://127.0.0.1:8080"

// callTimeout bounds a single request. Creating a topic with many partitions is
// what takes longest.
const callTimeout = time.Minute

// api is a server and its name in error messages.
type api struct {
	*client.Client
	name string // its URL, or several, without passwords
}

// newAPI returns the server that a user names by a URL or by HOST:PORT, or the nodes of
// a fleet, by several with commas between them. Settings
// of TLS may be nil, and the token empty.
func newAPI(server string, trust *tls.Config, token string, more ...client.Option) (*api, error) {
	servers, names := strings.Split(server, ","), []string{}
	for i, s := range servers {
		if s = strings.TrimSpace(s); !strings.Contains(s, "://") {
			scheme := "http://"
			if trust != nil {
				scheme = "https://"
			}
			s = scheme + s
		}
		name := s
		if u, err := url.Parse(s); err == nil {
			name = u.Redacted()
		}
		servers[i], names = s, append(names, strings.TrimSuffix(name, "/"))
	}
	c, err := client.New(strings.Join(servers, ","), append(more, client.WithTLS(trust), client.WithToken(token))...)
	if err != nil {
		return nil, usageError{fmt.Errorf("server %q is not a URL such as %s", strings.Join(servers, ","), defaultServer)}
	}
	return &api{c, strings.Join(names, ",")}, nil
}

// A server that has just been started, or a cluster that was, refuses changes until it knows
// what exists. They had no effect, so a command sends them again, for startPatience.
const (
	startPatience = 5 * time.Second
	startPause    = 100 * time.Millisecond
)

func notYet(err error) bool {
	var said *client.Error
	return errors.As(err, &said) && isOurs(said) && said.Code == protocol.CodeStarting.Name && said.Outcome == protocol.OutcomeNone
}

// request is one call of the API.
type request struct {
	method string
	path   string // escaped
	query  url.Values
	body   []byte // nil: none
	status *int   // where the status of the answer goes; nil: nowhere
}

// do sends r and returns the JSON of the answer, nil if it is empty. Its errors
// are worded by explain.
func (a *api) do(ctx context.Context, r request) (json.RawMessage, error) {
	limited, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	status, answer, err := a.DoStatus(limited, r.method, r.path, r.query, r.body)
	for started := time.Now(); r.method != http.MethodGet && notYet(err) && time.Since(started) < startPatience; {
		select {
		case <-limited.Done():
		case <-time.After(startPause):
		}
		status, answer, err = a.DoStatus(limited, r.method, r.path, r.query, r.body)
	}
	if r.status != nil {
		*r.status = status
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, a.explain(err)
	case len(answer) > 0 && !json.Valid(answer):
		return nil, fmt.Errorf("the answer of %s to %s %s is not what an Ottla server gives", a.name, r.method, r.path)
	}
	return answer, nil
}

// explainedError is an error of the client with a text for the user.
type explainedError struct {
	text string
	err  error
}

func (e *explainedError) Error() string { return e.text }
func (e *explainedError) Unwrap() error { return e.err }

// explain gives an error of the client a text that says what happened and what
// the user can do. It returns other errors unchanged.
func (a *api) explain(err error) error {
	text := a.reason(err)
	if text == "" {
		return err
	}
	var said *client.Error
	var given *client.DeliveryError
	switch {
	case errors.As(err, &given) && given.Unknown, errors.As(err, &said) && isOurs(said) && said.Outcome == protocol.OutcomeUnknown:
		text += "; it may or may not have happened"
	}
	switch {
	case said == nil || !isOurs(said):
	case hints[said.Code] != "":
		text += "; " + hints[said.Code]
	case said.Retriable:
		text += "; try again in a moment"
	}
	return &explainedError{text, err}
}

// reason is what happened, without advice; "" for errors that the client did not
// return.
func (a *api) reason(err error) string {
	var said *client.Error
	var lost *client.TransportError
	switch {
	case errors.As(err, &said) && !isOurs(said):
		return a.foreign(said)
	case said != nil && said.RequestID != "":
		return fmt.Sprintf("%s (%s, request %s)", said.Message, said.Code, said.RequestID)
	case said != nil:
		return fmt.Sprintf("%s (%s)", said.Message, said.Code)
	case errors.Is(err, client.ErrGarbled):
		return fmt.Sprintf("the answer of %s is not what an Ottla server gives", a.name)
	case !errors.As(err, &lost):
		return ""
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no server answers at %s: connection refused; "+
			"is 'ottla serve' running? Use --server or OTTLA_SERVER for another address", a.name)
	}
	var cause error = lost
	var inURL *url.Error
	if errors.As(err, &inURL) {
		cause = inURL.Err // the same without the request's URL
	}
	return fmt.Sprintf("cannot ask the server at %s: %s", a.name, strings.TrimPrefix(cause.Error(), "client: "))
}

// foreign says what has come from something that is not an Ottla server: a proxy in front
// of one, as a rule, where it asks for credentials or finds no server.
func (a *api) foreign(said *client.Error) string {
	text := fmt.Sprintf("%s answered %d %s", a.name, said.Status, http.StatusText(said.Status))
	if said.Server != "" {
		text += fmt.Sprintf(" (%.60s)", said.Server)
	}
	if said.Challenge != "" {
		text += fmt.Sprintf(", and asks for %.100s", said.Challenge)
	}
	switch said.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return text + "; the client does not go to another host by itself: name the server where it is, with --server"
	case http.StatusUnauthorized:
		return text + "; that is not Ottla's answer but that of a proxy in front of it: give it credentials in the URL (https://USER:PASSWORD@HOST; they are not sent where a token is shown), or with --header NAME=VALUE"
	case http.StatusProxyAuthRequired:
		return text + "; that is the answer of the proxy that HTTP_PROXY or HTTPS_PROXY names: give its credentials there (http://USER:PASSWORD@PROXY)"
	case http.StatusForbidden:
		return text + "; that is not Ottla's answer but that of a proxy in front of it: it does not let you through. --header NAME=VALUE shows it who you are"
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return text + "; that is the answer of a proxy that does not reach the server behind it"
	case http.StatusRequestEntityTooLarge:
		return text + "; that is the answer of a proxy that takes no request as large as Ottla does: raise its limit (client_max_body_size in nginx)"
	}
	return text + "; is it an Ottla server?"
}

// isOurs reports whether an Ottla server wrote the error.
func isOurs(e *client.Error) bool { return e.Code != client.CodeHTTPStatus }

// hints is what a user can do about an error, by its code.
var hints = map[string]string{
	"unauthorized":        "give a token with --token-file, OTTLA_TOKEN or 'ottla context add'",
	"forbidden":           "'ottla token describe NAME' shows what a token may do",
	"token_not_found":     "'ottla token list' shows what there is",
	"cluster_not_found":   "'ottla cluster list' shows what there is",
	"topic_not_found":     "'ottla topic list' shows what there is",
	"group_not_found":     "'ottla group list' shows what there is",
	"ambiguous_topic":     "name the cluster with --cluster",
	"ambiguous_group":     "name the cluster with --cluster",
	"group_not_empty":     "stop its consumers, or wait until their leases expire",
	"offset_regression":   "--force goes back",
	"offset_out_of_range": "the records were deleted by retention; 'ottla group seek' moves the group on",
	"storage_full":        "the server's disk is full: free space or shorten retention",
}

// path joins segments, each escaped.
func path(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	return b.String()
}

// query makes url.Values of pairs, leaving out those with an empty value.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Add(pairs[i], pairs[i+1])
		}
	}
	return q
}
