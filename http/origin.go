package http

import (
	"bytes"
	"net"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// A browser lets any page send requests to any address, this server's included,
// and tells where they come from: Origin with whatever may change something and
// with what a script reads, Sec-Fetch-Site with everything. What comes from
// another site is refused before anything happens, GET too, because a poll
// creates groups and commits offsets. A page can also have its own name resolve
// to this server (DNS rebinding): then the browser takes the server for the
// page's own, but Host says that name, so names that are not the server's are
// refused as well. Programs send neither header, and a host that they were given.

// Names of headers in the form in which fasthttp keeps them.
var (
	originKey       = []byte("Origin")
	secFetchSiteKey = []byte("Sec-Fetch-Site")
	secFetchModeKey = []byte("Sec-Fetch-Mode")
	secFetchDestKey = []byte("Sec-Fetch-Dest")
)

// What an allowed origin may send and read. A preflight answer may be kept for
// corsMaxAge, in seconds.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	corsHeaders = "Accept, Authorization, Content-Encoding, Content-Type, Idempotency-Key, Last-Event-ID, Producer-Epoch, Producer-Id, Producer-Seq, X-Request-Id"
	corsExposed = "Allow, Location, Ottla-Consumer-Id, Ottla-Leader, Ottla-Node, Retry-After, X-Request-Id"
	corsMaxAge  = "600"
)

// origins decides who may ask.
type origins struct {
	hosts   map[string]bool // lower case, without port; nil: any host
	allowed map[string]bool // origins, lower case
	any     bool            // every origin is allowed
}

func newOrigins(o Options) *origins {
	or := &origins{allowed: map[string]bool{}}
	if o.Hosts != nil {
		or.hosts = map[string]bool{}
		for _, h := range o.Hosts {
			or.hosts[plainHost(h)] = true
		}
	}
	for _, origin := range o.CORSOrigins {
		or.any = or.any || origin == "*"
		or.allowed[strings.ToLower(origin)] = true
	}
	return or
}

// check refuses a request that a page of another site made, or that names a host
// which is not this server's. An allowed origin gets the headers that let its
// page read the answer.
func (or *origins) check(c *call) *protocol.Error {
	h := &c.ctx.Request.Header
	if host := h.Host(); or.hosts != nil && len(host) > 0 && !bytes.Equal(host, c.client.host) {
		if !or.knows(host, c.ctx.LocalAddr()) {
			return protocol.Errorf(protocol.CodeUnknownHost,
				"the host %.220q is none of this server's; add it to http.hosts if it is", host)
		}
		c.client.host = append(c.client.host[:0], host...)
	}
	origin, site := h.PeekCanonical(originKey), h.PeekCanonical(secFetchSiteKey)
	if len(origin) == 0 && len(site) == 0 {
		return nil
	}
	c.ctx.Response.Header.Add("Vary", "Origin")
	if len(origin) > 0 {
		switch {
		case ownOrigin(origin, h.Host()):
			return nil
		case or.any || or.allowed[strings.ToLower(string(origin))]:
			allowOrigin(c.ctx, string(origin))
			return nil
		}
		return crossSite("the page's origin %.220q is not in cors.origins", origin)
	}
	switch string(site) {
	case "cross-site":
		return crossSite("a page of another site may not ask (Sec-Fetch-Site: cross-site)")
	case "same-site":
		if embedded(h) {
			return crossSite("a page of another origin may not embed an answer (Sec-Fetch-Site: same-site)")
		}
	}
	return nil
}

func crossSite(format string, args ...any) *protocol.Error {
	return protocol.Errorf(protocol.CodeCrossSite, format, args...)
}

// embedded reports whether a browser loads the answer into a page, as an image,
// a script or a frame, rather than as a page by itself. Then it names no origin.
func embedded(h *fasthttp.RequestHeader) bool {
	switch string(h.PeekCanonical(secFetchModeKey)) {
	case "":
		return false
	case "navigate":
		dest := h.PeekCanonical(secFetchDestKey)
		return len(dest) > 0 && string(dest) != "document"
	}
	return true
}

// knows reports whether a Host header names this server: by a loopback name or
// address, by one of the configured hosts, or by the address at which the
// request arrived.
func (or *origins) knows(host []byte, local net.Addr) bool {
	name := plainHost(string(host))
	if or.hosts[name] || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	if addr = addr.Unmap(); addr.IsLoopback() {
		return true
	}
	tcp, ok := local.(*net.TCPAddr)
	return ok && tcp.AddrPort().Addr().Unmap().WithZone("") == addr
}

// plainHost is the host of HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT in lower
// case, without the dot that may end a name.
func plainHost(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	return strings.TrimSuffix(strings.ToLower(s), ".")
}

// ownOrigin reports whether a page of that origin came from this server, as far
// as the client names it: a proxy in front may speak TLS.
func ownOrigin(origin, host []byte) bool {
	scheme, authority, found := strings.Cut(strings.ToLower(string(origin)), "://")
	if !found || scheme != "http" && scheme != "https" {
		return false
	}
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.TrimSuffix(authority, port) == strings.TrimSuffix(strings.ToLower(string(host)), port)
}

// allowOrigin lets a page of another origin read the answer. The answer to a
// preflight also says what it may send.
func allowOrigin(ctx *fasthttp.RequestCtx, origin string) {
	h := &ctx.Response.Header
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", corsExposed)
	if !ctx.IsOptions() {
		return
	}
	h.Set("Access-Control-Allow-Methods", corsMethods)
	h.Set("Access-Control-Allow-Headers", corsHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	if string(ctx.Request.Header.Peek("Access-Control-Request-Private-Network")) == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
}
