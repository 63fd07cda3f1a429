package http

import (
	"github.com/valyala/fasthttp"

	"ottla/console"
	"ottla/protocol"
)

// consolePath is where the page lies. It finds the API beside that, so a proxy may
// put both below a path of its own.
const consolePath = "/console/"

// getRoot sends people to the console, and programs to what there is.
func getRoot(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	h := &c.ctx.Response.Header
	h.Add("Vary", "Accept")
	if c.prefersHTML() {
		return sendConsole(c)
	}
	return c.sendJSON(fasthttp.StatusOK, struct {
		Name    string            `json:"name"`
		Version string            `json:"version"`
		Links   map[string]string `json:"links"`
	}{"ottla", c.srv.o.Version, map[string]string{
		"console": consolePath, "docs": "/docs", "openapi": "/openapi.json", "overview": "/overview", "health": "/healthz",
		"ready": "/readyz", "metrics": "/metrics", "topics": "/topic", "groups": "/groups", "clusters": "/cluster",
	}})
}

// sendConsole sends a browser to the page. The address is relative, for the sake of
// proxies.
func sendConsole(c *call) *protocol.Error {
	c.ctx.Response.Header.Set("Location", "console/")
	c.ctx.Response.ResetBody()
	c.ctx.Response.SetStatusCode(fasthttp.StatusFound)
	return nil
}

// getConsole answers with the page.
func getConsole(c *call) *protocol.Error { return sendFile(c, console.Index) }

// getConsoleFile answers with a file of the page.
func getConsoleFile(c *call) *protocol.Error { return sendFile(c, c.param("file")) }

// sendFile answers with a file of the console. Browsers keep it, and ask each time
// whether it is still the same: a new version of the server has a new page.
func sendFile(c *call, name string) *protocol.Error {
	f, err := console.Open(name)
	if err != nil {
		return protocol.Errorf(protocol.CodeInternal, "cannot read the console: %v", err)
	}
	if f == nil {
		return routeNotFound(c)
	}
	h := &c.ctx.Response.Header
	h.Set("ETag", f.ETag)
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept-Encoding")
	h.Set("Content-Security-Policy", console.Policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if string(c.ctx.Request.Header.Peek("If-None-Match")) == f.ETag {
		c.ctx.Response.ResetBody()
		c.ctx.Response.SetStatusCode(fasthttp.StatusNotModified)
		return nil
	}
	body := f.Content
	if acceptsGzip(c.ctx.Request.Header.Peek("Accept-Encoding")) {
		h.Set("Content-Encoding", "gzip")
		body = f.Gzip
	}
	c.ctx.Response.SetStatusCode(fasthttp.StatusOK)
	c.ctx.Response.SetBodyRaw(body)
	h.SetContentType(f.Type)
	return nil
}
