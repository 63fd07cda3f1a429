// Package protocol holds what travels between the HTTP front end and the
// actors: identities, encoded records, requests, replies and error codes.
//
// Invariants:
//
//   - It imports the standard library only, so that both sides, the Go client and
//     the tests of each can use it without the others.
//   - An Error is not changed once others can see it; With and WithOutcome copy.
//   - A key or value travels as a log token (token.go). Tokens are UTF-8 without
//     control characters below 0x20, and content and kind of a token determine its
//     bytes.
//   - JSON is scanned, not decoded: a value keeps its bytes, except for white space
//     between tokens.
//   - The placement of keys (partitioner.go) is part of the data format: a change
//     would move keys to other partitions.
package protocol
