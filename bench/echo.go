package bench

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/valyala/fasthttp"
)

// ServeEcho answers every request with the request's body until ctx ends. It
// shows what HTTP alone costs. The first line on out says where it listens.
func ServeEcho(ctx context.Context, listen string, out io.Writer) error {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("open listener: %w", err)
	}
	fmt.Fprintf(out, "echo listening on http://%s\n", ln.Addr())
	server := &fasthttp.Server{
		Handler:               func(ctx *fasthttp.RequestCtx) { ctx.SetBody(ctx.PostBody()) },
		NoDefaultServerHeader: true,
	}
	defer context.AfterFunc(ctx, func() { _ = ln.Close() })()
	if err := server.Serve(ln); err != nil && ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
