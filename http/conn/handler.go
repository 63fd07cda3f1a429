package conn

import "github.com/valyala/fasthttp"

// Handler answers the requests of one session, one after the other. Its
// methods may be called on different goroutines, but never at the same time.
type Handler interface {
	// Serve answers the request in ctx, or calls Session.Suspend. It may read
	// the body, a Body, as far as it likes: a body that is not read to its end
	// closes the connection. Nothing of ctx may be kept.
	Serve(ctx *fasthttp.RequestCtx)

	// Continue decides about a request with "Expect: 100-continue". If it returns
	// false it has answered the request.
	Continue(ctx *fasthttp.RequestCtx) bool

	// Refuse answers what never became a request. The reason is a BadRequest, one
	// of the Err... of this package, a net.Error of which Timeout is true, or
	// another error of the connection.
	Refuse(ctx *fasthttp.RequestCtx, reason error)

	// Sent says that the answer was sent, or will never be: nothing that Serve
	// put into ctx is needed any more. It may be called when there is no answer.
	Sent()

	// Closed says that the connection has ended: it is the last call.
	Closed()
}
