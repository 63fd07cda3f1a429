package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// defaultServer is asked when neither --server nor OTTLA_SERVER names one. It
// is where `ottla serve` listens without configuration.
const defaultServer = "http://127.0.0.1:8080"

// apiClient asks an Ottla server over HTTP.
type apiClient struct {
	base string
	http *http.Client
}

// newAPIClient takes what a user calls a server: a URL, or HOST:PORT.
func newAPIClient(server string) (*apiClient, error) {
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("server %q is not a URL such as %s", server, defaultServer)}
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &apiClient{
		base: strings.TrimSuffix(server, "/"),
		http: &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: 8,
			IdleConnTimeout:     time.Minute,
		}},
	}, nil
}

// apiError is an answer other than success, in the API's one shape.
type apiError struct {
	Status    int            `json:"-"`
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Retriable bool           `json:"retriable"`
	Outcome   string         `json:"outcome"`
	RequestID string         `json:"request_id"`
	Details   map[string]any `json:"details"`

	retryAfter time.Duration
}

// Error says what the server said, and what to make of it.
func (e *apiError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s", e.Message, e.Code)
	if e.RequestID != "" {
		fmt.Fprintf(&b, ", request %s", e.RequestID)
	}
	b.WriteByte(')')
	if e.Outcome == "unknown" {
		b.WriteString("; it may or may not have happened")
	}
	if hint := hints[e.Code]; hint != "" {
		b.WriteString("; " + hint)
	} else if e.Retriable {
		b.WriteString("; try again in a moment")
	}
	return b.String()
}

// hints says what a user can do about an error.
var hints = map[string]string{
	"cluster_not_found":   "'ottla cluster list' shows what there is",
	"topic_not_found":     "'ottla topic list' shows what there is",
	"group_not_found":     "'ottla group list' shows what there is",
	"ambiguous_topic":     "name the cluster with --cluster",
	"ambiguous_group":     "name the cluster with --cluster",
	"group_not_empty":     "stop its consumers, or wait until their leases run out",
	"offset_regression":   "--force goes back",
	"offset_out_of_range": "the records were deleted by retention; 'ottla group seek' moves the group on",
	"storage_full":        "the server's disk is full: free space or shorten retention",
}

// unreachableError says that no answer came.
type unreachableError struct {
	base string
	err  error
}

func (e *unreachableError) Error() string {
	if errors.Is(e.err, syscall.ECONNREFUSED) {
		return fmt.Sprintf("no server answers at %s: connection refused; "+
			"is 'ottla serve' running? Another address is named by --server or OTTLA_SERVER", e.base)
	}
	return fmt.Sprintf("cannot ask the server at %s: %v", e.base, e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

// request is one call of the API.
type request struct {
	method  string
	path    string // below the base, escaped
	query   url.Values
	body    []byte // nil: none
	header  map[string]string
	timeout time.Duration // default 60 s
}

// do sends r and decodes the answer into out unless that is nil. Errors:
// *apiError, *unreachableError, or the context's.
func (c *apiClient) do(ctx context.Context, r request, out any) error {
	_, err := c.doStatus(ctx, r, out)
	return err
}

func (c *apiClient) doStatus(ctx context.Context, r request, out any) (int, error) {
	if r.timeout == 0 {
		r.timeout = time.Minute
	}
	limited, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(limited, r.method, target, body)
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, c.failed(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end, or given up
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, c.failed(ctx, err)
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, readError(resp, text)
	}
	if out == nil || len(text) == 0 {
		return resp.StatusCode, nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return resp.StatusCode, fmt.Errorf("%s %s: the answer is not what an Ottla server gives: %w", r.method, target, err)
	}
	return resp.StatusCode, nil
}

// failed tells a caller's cancellation from a server that cannot be reached.
func (c *apiClient) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &unreachableError{base: c.base, err: err}
}

func readError(resp *http.Response, text []byte) error {
	e := &apiError{Status: resp.StatusCode}
	if json.Unmarshal(text, e) != nil || e.Code == "" {
		return fmt.Errorf("%s %s answered %s; is it an Ottla server?", resp.Request.Method, resp.Request.URL.Redacted(), resp.Status)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.retryAfter = time.Duration(s) * time.Second
	}
	return e
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

// worthRetrying tells errors that the same request may get past later.
func worthRetrying(err error) bool {
	var e *apiError
	var u *unreachableError
	return errors.As(err, &e) && e.Retriable || errors.As(err, &u)
}
