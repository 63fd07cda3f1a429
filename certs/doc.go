// Package certs makes TLS settings from files, for listeners and between nodes,
// and reads the files again when they change.
//
// Invariants:
//
//   - Files that cannot be used end the start. Later they are logged, once for each
//     change, and what was read before stays in force: a certificate that is being
//     replaced never ends the service.
//   - Looking for changes costs a handshake nothing but, once in checkEvery, the
//     stat of each file. Open connections keep what they were made with.
//   - Where clients must have certificates, no session is resumed: a ticket would
//     outlive the removal of the authority that vouched for its client.
package certs
