// Package conn accepts connections and serves HTTP/1.1 on them, without
// knowing what is asked for.
//
// It has two layers. A Listener and its Conns know nothing of HTTP: they bound
// the number of connections, make deadlines cheap to move, tell when clients
// leave, and end in an orderly way. Another protocol can stand on them. A Server
// runs a Session on each Conn: the loop over the requests of one client, which
// asks a Handler for the answers.
//
// # Invariants
//
//   - A Conn is counted from Accept until Close, which everybody who gets one
//     must call. Closing twice is harmless.
//   - One goroutine at a time owns a Session. While a request is suspended, none
//     does: whoever resumes it owns the Session next.
//   - A Session holds buffers and a request only while there is a part of a
//     request. An idle connection and a suspended request hold none, which is what
//     lets ten thousand polls wait.
//   - Nothing of a RequestCtx may be kept when its Handler has returned. Bytes and
//     strings that alias it are overwritten in builds with `-tags poison` or the
//     race detector: without that, such a string reads well in every test until the
//     buffer is used again.
//   - Each byte that is read belongs to exactly one request. What two readers of
//     HTTP could cut into requests differently is refused and ends the connection.
//   - Whatever needs a socket (looking for a request without holding a buffer, being
//     told of departures, gathering writes) is optional: connections that are none,
//     such as a tls.Conn, are served without.
//
// # Not obvious
//
//   - The loop is our own because fasthttp.Server holds a read buffer as large as the
//     largest header for each open connection (docs/adr/0005). The parsers of headers
//     and chunks are our own because fasthttp takes a bare LF for the end of a line,
//     "Transfer-Encoding: identity" for no body, so that the body's bytes become the
//     next request, "//a/b" without a Host for the path "/b", and a chunked body that
//     breaks off in its trailer for a whole one.
//   - A header of 4 KiB can have some thousand empty fields, and would take a hundred
//     KiB when parsed: hence MaxHeaderFields.
//   - Closing a socket that has unread bytes resets the connection, and a reset takes
//     away an answer that the client has not read yet. So a connection is half-closed
//     and read from for a moment wherever the client may still be sending (linger).
//   - A client that has sent half a request would hold up a shutdown for the read
//     timeout. So all deadlines are bounded when the shutdown begins (Listener.Hurry).
//   - A read deadline costs more than the read that it bounds. So deadlines are only
//     told to the runtime when the one that is armed would be too late (lazyDeadline).
//     A tls.Conn is broken for good by a write that was interrupted: there, each write
//     deadline is armed.
//   - What resumes a suspended request may run before Waiting.Park has returned, and on
//     the goroutine that calls it.
package conn
