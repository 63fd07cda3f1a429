package http

import (
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"time"

	"ottla/protocol"
)

var authorizationKey = []byte("Authorization")

// nobody is who shows no token, where routes need none.
var nobody = protocol.NewPrincipal("", nil, nil)

// authenticate finds out who sends the request, and refuses those who may not ask
// for what the route is about. A connection remembers the last one that it found:
// as long as it shows the same, and the token was not changed, nothing is looked
// up.
func (c *call) authenticate(needs rule) *protocol.Error {
	if c.srv.access == nil {
		if c.client.unnamed == nil {
			return nil
		}
		c.who = c.client.unnamed.who
		return c.meter(needs)
	}
	shown, cl := c.ctx.Request.Header.PeekCanonical(authorizationKey), c.client
	if cl.who == nil || subtle.ConstantTimeCompare(shown, cl.shown) == 0 || cl.who.Over(c.began) {
		if cl.who != nil {
			cl.forgetWho()
		}
		who, err := c.identify(shown)
		switch {
		case err == nil:
			if err := cl.count(who); err != nil {
				c.ctx.SetConnectionClose()
				return err
			}
			cl.who, cl.shown = who, append(cl.shown[:0], shown...)
			cl.payAs(who.Name())
		case needs.open():
			c.who, c.b = nobody, c.srv.o.As(protocol.Access{Who: nobody, Do: protocol.RightRead})
			if cl.unnamed != nil {
				c.who = cl.unnamed.who
			}
			return c.meter(needs)
		default:
			if err := c.meter(needs); err != nil {
				return err
			}
			return c.challenge(err, len(shown) > 0)
		}
	}
	c.who = cl.who
	do := needs.do
	if needs.open() {
		do = protocol.RightRead
	}
	c.b = cl.view(do)
	if err := c.who.Usage().Request(c.began); err != nil && !needs.open() {
		return err
	}
	if needs.on == everything && !c.who.Everything(do) {
		return protocol.Access{Who: c.who, Do: do}.Forbidden(do, "everything", "", "*")
	}
	return nil
}

// meter counts a request without a token, and its connection, against the quota of its
// address. Probes and pages that need no token are counted, and answered all the same; a
// connection beyond the quota ends with the answer, whatever that is. Error: quota_exceeded.
func (c *call) meter(needs rule) *protocol.Error {
	cl := c.client
	if cl.unnamed == nil {
		return nil
	}
	usage := cl.unnamed.who.Usage()
	if cl.counted != usage {
		if err := cl.count(cl.unnamed.who); err != nil {
			c.ctx.SetConnectionClose()
			if needs != anybody {
				return err
			}
		}
	}
	if err := usage.Request(c.began); err != nil && needs != anybody {
		return err
	}
	return nil
}

// refuseOrigin returns the error of a request that origins.check has refused with err. It counts
// against the quota of the client's address, unless the connection belongs to a token.
func (c *call) refuseOrigin(err *protocol.Error) *protocol.Error {
	if c.client.who == nil {
		if over := c.meter(noRoute); over != nil {
			return over
		}
	}
	return err
}

// identify finds the principal that an Authorization header shows, or without one the
// certificate of the connection.
func (c *call) identify(shown []byte) (*protocol.Principal, *protocol.Error) {
	if len(shown) == 0 {
		if cert := c.client.certificate(); cert != nil {
			return c.srv.access.Certificate(cert)
		}
		return nil, protocol.Errorf(protocol.CodeUnauthorized, "the server asks who sends a request: send Authorization: Bearer <token>")
	}
	token, ok := tokenIn(shown)
	if !ok {
		return nil, protocol.Errorf(protocol.CodeUnauthorized, "Authorization is neither Bearer <token> nor Basic with the token as password")
	}
	return c.srv.access.Token(token)
}

// certificate is the client's, nil if it has shown none that was verified.
func (cl *client) certificate() *x509.Certificate {
	if cl.session == nil {
		return nil
	}
	c, ok := cl.session.Conn().Conn.(*tls.Conn)
	if !ok {
		return nil
	}
	if chains := c.ConnectionState().VerifiedChains; len(chains) > 0 {
		return chains[0][0]
	}
	return nil
}

// tokenIn is the token in an Authorization header: of Bearer, or the password of
// Basic. ok is false if there is none.
func tokenIn(shown []byte) (token []byte, ok bool) {
	scheme, rest, _ := bytes.Cut(shown, []byte(" "))
	rest = bytes.TrimLeft(rest, " ")
	switch {
	case len(rest) == 0:
		return nil, false
	case bytes.EqualFold(scheme, []byte("Bearer")):
		return rest, true
	case !bytes.EqualFold(scheme, []byte("Basic")):
		return nil, false
	}
	pair, err := base64.StdEncoding.AppendDecode(nil, rest)
	if err != nil {
		return nil, false
	}
	_, token, ok = bytes.Cut(pair, []byte(":"))
	return token, ok && len(token) > 0
}

// challenge makes err an answer that says how to show a token. Basic is not named,
// though it is taken: browsers would ask for a password by themselves.
func (c *call) challenge(err *protocol.Error, shown bool) *protocol.Error {
	if err.Code != protocol.CodeUnauthorized {
		return err
	}
	text := `Bearer realm="ottla"`
	if shown {
		text += `, error="invalid_token"`
	}
	c.ctx.Response.Header.Set("WWW-Authenticate", text)
	return err
}

// count counts the connection as one of who's, until forgetWho, and as nobody else's.
func (cl *client) count(who *protocol.Principal) *protocol.Error {
	if err := who.Usage().Connect(); err != nil {
		return err
	}
	cl.counted.Disconnect()
	cl.counted = who.Usage()
	return nil
}

// forgetWho forgets who the connection's last request was from.
func (cl *client) forgetWho() {
	cl.counted.Disconnect()
	cl.counted = nil
	cl.who, cl.shown = nil, cl.shown[:0]
	cl.views = [3]Backend{}
}

// view is the broker as the client may use it for what needs that right.
func (cl *client) view(do protocol.Right) Backend {
	i := do >> 1 // of 1, 2 and 4
	if cl.views[i] == nil {
		cl.views[i] = cl.srv.o.As(protocol.Access{Who: cl.who, Do: do})
	}
	return cl.views[i]
}

// permit is what a read that may take long was let in with.
type permit struct {
	srv *Server
	who *protocol.Principal
	may func(who *protocol.Principal) *protocol.Error // whether another principal may do the same
}

// lost is the error for what a read was let in with and does not hold any more:
// unauthorized if the token is gone or has expired, forbidden if it was changed and
// does not allow the read. It is nil while it holds.
func (p *permit) lost() *protocol.Error {
	if !p.who.Over(time.Now()) {
		return nil
	}
	next := p.srv.access.Successor(p.who)
	if next == nil {
		return errRevoked
	}
	if err := p.may(next); err != nil {
		return err
	}
	p.who = next
	return nil
}

var errRevoked = protocol.Errorf(protocol.CodeUnauthorized, "the token has expired, or was deleted, while the request waited")

// mayRead returns whether a principal may read topics, and with a group unless that
// is empty.
func mayRead(cluster string, topics []string, group string) func(*protocol.Principal) *protocol.Error {
	return func(who *protocol.Principal) *protocol.Error {
		a := protocol.Access{Who: who, Do: protocol.RightRead}
		for _, topic := range topics {
			if !who.Topic(a.Do, cluster, topic) {
				return a.Forbidden(a.Do, "topic", cluster, topic)
			}
		}
		if group != "" && !who.Group(a.Do, cluster, group) {
			return a.Forbidden(a.Do, "group", cluster, group)
		}
		return nil
	}
}

// turnPatience is how long a request waits for its turn, but in tests.
const turnPatience = 2 * time.Second

// enter waits for the request's turn, if its client has many others under way. Requests
// that anybody may send do not wait. Error: overloaded.
func (c *call) enter(needs rule) *protocol.Error {
	who := c.who.Name()
	switch {
	case who == "", needs.open():
		return nil
	case !c.srv.gate.Enter(who, c.arrived(), c.srv.turn):
		return protocol.Errorf(protocol.CodeOverloaded, "others want their share of the server, and %s has had as many requests under way for %s as it may have meanwhile", who, c.srv.turn)
	}
	c.entered = who
	return nil
}

// leave lets other requests of the client in.
func (c *call) leave() {
	if c.entered != "" {
		c.srv.gate.Leave(c.entered)
		c.entered = ""
	}
}
