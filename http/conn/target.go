package conn

import (
	"bytes"

	"github.com/valyala/fasthttp"
)

// validTarget reports whether a target has one of the forms of RFC 9112, 3.2: a
// path, a URL, "*" with OPTIONS, or a host and port with CONNECT.
func validTarget(method, target []byte) bool {
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	switch {
	case len(target) == 0:
		return false
	case target[0] == '/':
		return true
	case string(target) == "*":
		return string(method) == fasthttp.MethodOptions
	}
	if scheme, _, ok := bytes.Cut(target, []byte("://")); ok {
		return validScheme(scheme)
	}
	return string(method) == fasthttp.MethodConnect
}

// validScheme reports whether text is the scheme of a URL (RFC 3986, 3.1).
func validScheme(scheme []byte) bool {
	for i, c := range scheme {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return len(scheme) > 0
}

// checkTarget returns an error if the target or the Host header is not valid.
// Plain ones, which are nearly all, are valid without being parsed.
func checkTarget(r *fasthttp.Request) error {
	target, host := r.Header.RequestURI(), r.Header.Host()
	if plainTarget(target) && plainHost(host) {
		return nil
	}
	if !validHost(host) {
		return errBadTarget
	}
	if bytes.IndexByte(target, '#') >= 0 {
		return errBadTarget // some readers of HTTP cut a fragment off, and some do not
	}
	var u fasthttp.URI
	if u.Parse(host, target) != nil {
		return errBadTarget
	}
	return nil
}

// validHost reports whether a host has only characters of a host and port
// (RFC 3986, 3.2.2). Without it a@b, which names a user, was taken for host b by
// some readers, and for host a@b by others.
func validHost(h []byte) bool {
	for _, b := range h {
		switch {
		case b|0x20 >= 'a' && b|0x20 <= 'z', b >= '0' && b <= '9':
		case bytes.IndexByte([]byte("!$%&'()*+,-.:;=[]_~"), b) >= 0:
		default:
			return false
		}
	}
	return true
}

// plainTarget reports whether a target is a path of printable ASCII that cannot be
// taken for anything else.
func plainTarget(t []byte) bool {
	if len(t) == 0 || t[0] != '/' || len(t) > 1 && t[1] == '/' {
		return false
	}
	for _, b := range t {
		if b <= ' ' || b >= 0x7f || b == '#' {
			return false
		}
	}
	return true
}

// plainHost reports whether a host is a name or an IPv4 address, with or without a
// port.
func plainHost(h []byte) bool {
	name, port, _ := bytes.Cut(h, []byte{':'})
	for _, b := range port {
		if b < '0' || b > '9' {
			return false
		}
	}
	for _, b := range name {
		if (b|0x20 < 'a' || b|0x20 > 'z') && (b < '0' || b > '9') && b != '.' && b != '-' {
			return false
		}
	}
	return len(name) > 0
}
