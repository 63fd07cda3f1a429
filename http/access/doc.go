// Package access knows who may ask: it finds the principal of a token, and ends
// it when the token is changed, deleted or has expired.
//
// Of a token only the SHA-256 is known, and the keys by which SCRAM shows it. Looking it up by its hash tells a client
// that measures time nothing: it cannot choose a hash that begins as another.
package access
