// Package budget bounds memory and other things that all connections of a
// process share: bytes of requests in memory, bytes of answers that their
// clients have not taken yet, reads that wait.
//
// A Budget refuses what it does not have. Answers, which bounds the memory of
// answers, may make one wait until others were sent.
package budget
