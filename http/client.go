package http

import (
	"errors"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/http/budget"
	"ottla/http/conn"
	"ottla/protocol"
)

// client is what the API keeps for one connection. It lives as long as the
// connection, and implements conn.Handler.
type client struct {
	srv     *Server
	session *conn.Session   // nil in a test that calls a handler without a connection
	answer  budget.Share    // what the answer being made or sent holds
	account *budget.Account // what it counts towards; nil without a connection
	host    []byte          // the Host header that was found to be this server's last
	unnamed *unnamed        // as whom requests without a token are counted; nil: they are not

	who     *protocol.Principal // who sent the last request; nil where nobody is asked
	shown   []byte              // the Authorization header by which that was found
	counted *protocol.Usage     // where the connection is counted; nil: nowhere
	views   [3]Backend          // the broker as that one may use it, by right, as far as it was asked

	rendered *rendering // owns the buffer that the answer aliases; nil if none does
}

// newClient is the client of one connection.
func (s *Server) newClient(session *conn.Session) conn.Handler {
	address := budget.AddressOf(session.Conn().RemoteAddr())
	account := s.answers.Account(address)
	cl := &client{srv: s, session: session, account: account, answer: budget.ShareOf(account, session.Conn())}
	if s.o.Addresses != nil {
		cl.unnamed = newUnnamed(s, address)
		_ = cl.count(cl.unnamed.who) // who goes beyond the quota is told so when there is a request
	}
	return cl
}

// share is what another answer of the client holds, such as a stream's.
func (cl *client) share() budget.Share {
	if cl.account == nil {
		return cl.srv.answers.Share()
	}
	return budget.ShareOf(cl.account, cl.session.Conn())
}

// payAs makes the answers from now on those of somebody who has shown who he is.
func (cl *client) payAs(who string) {
	if cl.account == nil || who == "" {
		return
	}
	cl.account.Close()
	cl.account = cl.srv.answers.Account("token " + who)
	cl.answer.MoveTo(cl.account)
}

// clientOf returns the client that sent a request; nil if it came on no
// connection.
func clientOf(ctx *fasthttp.RequestCtx) *client {
	if s := conn.Of(ctx); s != nil {
		return s.Handler().(*client)
	}
	return nil
}

// Serve implements conn.Handler.
func (cl *client) Serve(ctx *fasthttp.RequestCtx) { cl.srv.handler(ctx) }

// Sent implements conn.Handler.
func (cl *client) Sent() {
	cl.releaseRendered()
	cl.answer.Release()
}

// Closed implements conn.Handler.
func (cl *client) Closed() {
	cl.forgetWho()
	cl.unnamed.leave()
	cl.account.Close()
}

// releaseRendered gives the answer's buffer to other answers: the answer was
// sent, or another has taken its place.
func (cl *client) releaseRendered() {
	if cl.rendered != nil {
		cl.rendered.release()
		cl.rendered = nil
	}
}

// gone reports whether the client has left, as far as that can be told without
// reading.
func (cl *client) gone() bool { return cl.session != nil && cl.session.Conn().Gone() }

// givenUp is how long a request for a change may have lain unread, because the process was
// stopped or very busy, before it is not carried out any more when its client has left. The
// client may have asked another node since, which did it, and may have undone it.
const givenUp = time.Second

// gaveUp reports whether the client has sent the present request long ago, and left.
func (cl *client) gaveUp() bool {
	return cl.session != nil && cl.session.Conn().Abandoned(givenUp)
}

// watch returns a channel that is closed when the client leaves, nil where that cannot
// be told, and what ends the watch.
func (cl *client) watch() (left <-chan struct{}, forget func()) {
	return cl.session.Conn().Watch(func() {})
}

// Continue implements conn.Handler: it refuses a body that is too large before
// the client sends it.
func (cl *client) Continue(ctx *fasthttp.RequestCtx) bool {
	if ctx.Request.Header.ContentLength() <= cl.srv.o.MaxBodyBytes {
		return true
	}
	cl.refuse(ctx, cl.srv.intake.bodyTooLarge())
	return false
}

// Refuse implements conn.Handler.
func (cl *client) Refuse(ctx *fasthttp.RequestCtx, reason error) {
	cl.refuse(ctx, cl.srv.transportError(reason))
}

// refuse answers a request that did not reach a route.
func (cl *client) refuse(ctx *fasthttp.RequestCtx, e *protocol.Error) {
	c := cl.srv.acquire(ctx)
	defer cl.srv.release(c)
	c.began = time.Now()
	c.begin()
	c.fail(e)
	c.logRequest()
}

// errEnding says that the shutdown began before the request had arrived.
var errEnding = protocol.Errorf(protocol.CodeShuttingDown, "the broker is shutting down")

// transportError is the error for bytes that did not become a request.
func (s *Server) transportError(reason error) *protocol.Error {
	var bad conn.BadRequest
	switch {
	case errors.Is(reason, conn.ErrManyFields):
		return protocol.Errorf(protocol.CodeLimitExceeded, "the request has more than %d header fields", conn.MaxHeaderFields).
			With("limit", conn.MaxHeaderFields)
	case errors.Is(reason, conn.ErrLargeHeader):
		return protocol.Errorf(protocol.CodeLimitExceeded, "the request line and the headers exceed %d bytes", s.o.MaxHeaderBytes).
			With("limit", s.o.MaxHeaderBytes)
	case errors.Is(reason, conn.ErrNoBytes):
		return s.intake.tooManyBytes()
	case isTimeout(reason) && s.conns.Ending():
		return errEnding
	case isTimeout(reason):
		return protocol.Errorf(protocol.CodeMalformed, "the request did not arrive within %s", s.o.ReadTimeout)
	case errors.As(reason, &bad):
		return protocol.Errorf(protocol.CodeMalformed, "not a valid HTTP request: %s", bad)
	}
	return protocol.Errorf(protocol.CodeMalformed, "not a valid HTTP request")
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
