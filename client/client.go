package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// maxRedirects is how often a request is sent on, at the same host.
const maxRedirects = 10

// Client sends requests to a server, or to the nodes of a fleet. [New] makes it.
type Client struct {
	bases []string      // scheme://host:port of each node, without a slash at the end
	at    atomic.Uint32 // which of them is asked
	http  *http.Client
	tls   *tls.Config // of defaultHTTPClient; nil: the defaults
	auth  string      // the Authorization header; empty: none
	more  http.Header // further headers of every request
}

// Option changes a Client that New makes.
type Option func(*Client)

// WithHTTPClient sets the HTTP client, for example one with TLS settings. Its
// Timeout must be longer than the longest poll.
func WithHTTPClient(c *http.Client) Option { return func(cl *Client) { cl.http = c } }

// WithTLS sets whom the client trusts and the certificate that it shows to the
// server. It has no effect on the client of WithHTTPClient; nil stands for the
// system's roots and no certificate.
func WithTLS(config *tls.Config) Option { return func(cl *Client) { cl.tls = config } }

// WithToken has every request show a token. It is sent to whatever the server's URL
// names, so outside of this machine the URL should begin with https. Empty: none.
func WithToken(token string) Option {
	return func(cl *Client) {
		if cl.auth = ""; token != "" {
			cl.auth = "Bearer " + token
		}
	}
}

// WithHeaders has every request carry further headers, such as those by which a proxy in
// front of the server knows who asks. They are sent to whatever the server's URL names,
// and to no other host to which that redirects. New fails where OwnHeader has one of them.
func WithHeaders(headers http.Header) Option {
	return func(cl *Client) { cl.more = headers.Clone() }
}

// OwnHeader reports whether a header of requests is the client's own, in whatever case it
// is written: one that says what the body is, where an answer ends, or what was sent
// already.
func OwnHeader(name string) bool { return slices.Contains(ownHeaders, http.CanonicalHeaderKey(name)) }

var ownHeaders = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host",
	"Idempotency-Key", "Last-Event-Id", "Producer-Epoch", "Producer-Id", "Producer-Seq", "Transfer-Encoding",
}

// New returns a client of the server, a URL such as "http://127.0.0.1:8080", or of
// several nodes of one fleet, URLs with commas between them: any of them answers
// everything, so the client stays with one and moves on to the next when that cannot
// be reached, or says that it starts or ends. It sends nothing.
func New(server string, options ...Option) (*Client, error) {
	c := &Client{}
	for base := range strings.SplitSeq(server, ",") {
		base = strings.TrimSuffix(strings.TrimSpace(base), "/")
		u, err := url.Parse(base)
		if err != nil {
			return nil, fmt.Errorf("client: server: %w", err)
		}
		if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("client: server %q is not a URL with a host", base)
		}
		c.bases = append(c.bases, base)
	}
	for _, o := range options {
		o(c)
	}
	for name := range c.more {
		if OwnHeader(name) {
			return nil, fmt.Errorf("client: header %q is one that the client sets itself", name)
		}
	}
	if c.http == nil {
		c.http = defaultHTTPClient(c.tls)
	}
	c.http = stayingThere(c.http)
	return c, nil
}

// stayingThere is a client that follows redirects to the same scheme and host only:
// another one must not get headers that say who asks, nor records.
func stayingThere(given *http.Client) *http.Client {
	c := *given
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		was := via[0].URL
		switch {
		case req.URL.Scheme != was.Scheme || req.URL.Host != was.Host:
			return http.ErrUseLastResponse
		case given.CheckRedirect != nil:
			return given.CheckRedirect(req, via)
		case len(via) >= maxRedirects:
			return http.ErrUseLastResponse
		}
		return nil
	}
	return &c
}

// defaultHTTPClient keeps as many connections open as there were requests at the
// same time. It does not ask for compressed answers: in a local network they cost
// more time than they save.
func defaultHTTPClient(trust *tls.Config) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Client{Transport: &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       trust,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
	}}
}

// CloseIdleConnections closes the connections that no request uses.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// request is one HTTP request.
type request struct {
	method  string
	path    string // escaped
	query   url.Values
	body    []byte
	headers map[string]string
	status  int // of the answer, once there is one
}

// send sends a request and appends the body of its answer to buf. Anything
// but a status below 300 is an *Error, no answer a *TransportError.
func (c *Client) send(ctx context.Context, r *request, buf []byte) ([]byte, error) {
	var refused error
	for range c.bases {
		resp, at, err := c.do(ctx, r)
		if err != nil {
			return nil, err
		}
		r.status = resp.StatusCode
		answer, err := readAnswer(resp, buf)
		if refused = err; !elsewhere(err) || !c.moveOn(at) {
			return answer, err
		}
	}
	return nil, refused
}

// elsewhere reports whether another node may answer what this one has refused:
// nothing happened.
func elsewhere(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Outcome == "none" && (e.Code == "shutting_down" || e.Code == "joining" || e.Code == "node_unreachable")
}

// moveOn has the next node asked, unless another request has seen to that; false if
// there is only one.
func (c *Client) moveOn(from uint32) bool {
	if len(c.bases) < 2 {
		return false
	}
	c.at.CompareAndSwap(from, (from+1)%uint32(len(c.bases)))
	return true
}

// maxAnswerRoom bounds the memory, in bytes, that is made for an answer before it is there.
const maxAnswerRoom = 32 << 20

// readAnswer appends the body of an answer to buf and closes it.
func readAnswer(resp *http.Response, buf []byte) ([]byte, error) {
	if n := resp.ContentLength; n > 0 { // and one byte more, or the end is looked for in memory twice as large
		buf = slices.Grow(buf, int(min(n, maxAnswerRoom))+1)
	}
	buf, err := readAll(buf, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, &TransportError{fmt.Errorf("client: read answer: %w", err)}
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, decodeError(resp, buf)
	}
	return buf, nil
}

// open sends a request and returns its answer, whose body the caller reads and
// closes. Errors are those of send.
func (c *Client) open(ctx context.Context, r *request) (*http.Response, error) {
	resp, _, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		_, err := readAnswer(resp, nil)
		return nil, err
	}
	return resp, nil
}

// do sends a request to the node that is asked, and to the next ones when it cannot
// be reached: then nothing was sent. Where a connection is lost later only the next
// request goes to the next node. At says which one has answered.
func (c *Client) do(ctx context.Context, r *request) (resp *http.Response, at uint32, err error) {
	for range c.bases {
		at = c.at.Load()
		resp, err = c.doAt(ctx, c.bases[at], r)
		var op *net.OpError
		if err == nil || ctx.Err() != nil || !c.moveOn(at) || !errors.As(err, &op) || op.Op != "dial" {
			break
		}
	}
	return resp, at, err
}

func (c *Client) doAt(ctx context.Context, base string, r *request) (*http.Response, error) {
	target := base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	for name, values := range c.more {
		req.Header[name] = values
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.headers {
		req.Header.Set(name, value)
	}
	if c.auth != "" {
		req.Header.Set("Authorization", c.auth)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &TransportError{fmt.Errorf("client: %w", err)}
	}
	return resp, nil
}

// call sends a request with a JSON body, unless body is nil, and decodes the
// answer into reply, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, reply any) error {
	r := &request{method: method, path: path, query: query}
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("client: encode request: %w", err)
		}
		r.body = data
	}
	data, err := c.send(ctx, r, nil)
	if err != nil || reply == nil {
		return err
	}
	if err := json.Unmarshal(data, reply); err != nil {
		return fmt.Errorf("%w, to %s %s: %w", ErrGarbled, method, path, err)
	}
	return nil
}

// Do sends a request for which c has no method. body is JSON, or nil for none.
// The answer is returned as the server wrote it, or nil if it is empty. path must
// be escaped and begin with a slash.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body []byte) (json.RawMessage, error) {
	return c.DoWith(ctx, method, path, query, nil, body)
}

// DoStatus is Do, and returns the status of the answer as well: 201 says that something
// was created, 200 that it was there.
func (c *Client) DoStatus(ctx context.Context, method, path string, query url.Values, body []byte) (int, json.RawMessage, error) {
	r := &request{method: method, path: path, query: query, body: body}
	answer, err := c.send(ctx, r, nil)
	return r.status, answer, err
}

// DoWith is Do with headers.
func (c *Client) DoWith(ctx context.Context, method, path string, query url.Values, headers map[string]string, body []byte) (json.RawMessage, error) {
	return c.send(ctx, &request{method: method, path: path, query: query, headers: headers, body: body}, nil)
}

// readAll is io.ReadAll into a buffer that is reused.
func readAll(buf []byte, r io.Reader) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
	}
}
