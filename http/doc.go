// Package http is the front end: it speaks HTTP to clients and asks the
// broker through the Backend interface.
//
// routes.go is the whole API as one table. A request passes through call.go
// (request id, recovery, body within the byte budget), a handler parses it
// (fields.go, record.go), asks the Backend and renders the answer (render.go,
// errors.go). Nothing of fasthttp's RequestCtx outlives its handler: whatever
// the Backend gets is memory of its own.
package http
