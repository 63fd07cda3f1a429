package http

import (
	_ "embed" // for the document

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// openAPI is the contract of the API, in OpenAPI 3.1. The tests of this
// package hold the table of routes, and every answer they get, against it.
//
//go:embed openapi.json
var openAPI []byte

// getOpenAPI answers the contract.
func getOpenAPI(c *call) *protocol.Error {
	if err := c.bindQuery(); err != nil {
		return err
	}
	c.send(fasthttp.StatusOK, append(c.out(), openAPI...))
	return nil
}
