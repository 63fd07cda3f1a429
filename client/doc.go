// Package client talks to an Ottla server over HTTP.
//
// A [Client] has one method for each call of the API that programs need. On
// top of it stand two things that pay off as soon as there is traffic:
//
//   - [Producer] gathers records into batches, sends them compressed if asked
//     to, and repeats failed requests without writing a record twice;
//   - [Consumer] reads as a member of a group, at least once: a batch counts
//     as processed when the next one is asked for.
//
// Everything is safe for concurrent use unless it says otherwise, and every
// call ends when its context does. Failures that the server reports are
// [*Error]; [HasCode] compares their codes.
package client
