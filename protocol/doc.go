// Package protocol holds what travels between the HTTP front end and the
// actors: identities, encoded records, requests, replies and error codes.
//
// It imports the standard library only, so that both sides, and tests of
// either, can use it without the other.
package protocol
