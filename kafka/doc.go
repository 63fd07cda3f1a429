// Package kafka speaks Kafka's protocol, so that Kafka's own clients work with the
// same topics, groups and offsets as the HTTP API.
//
// A Server has a listener for each broker of one cluster: clients see every one as a
// Kafka node. Each serves every partition, whoever leads it; where it leads, clients
// are one hop nearer. A connection has one goroutine, which answers one request after
// the other, as Kafka does. So the batches of an idempotent producer, of which a
// client sends up to five before it hears of the first, come in their order.
//
// A client that reads a partition from end to end finds the next answer made when it asks
// for it (ahead.go), as long as memory for answers is not scarce.
//
// conn.go reads requests and sends answers, by the table of requests.go. The answers are
// made by four sets of handlers, each of which has of the connection only what it needs:
// recordHandlers (fetch.go, produce.go, offsets.go), groupHandlers (coordinator.go,
// commits.go, groups.go), topicHandlers (topics.go, configs.go, elections.go) and
// clusterHandlers (metadata.go). All have the caller (caller.go), through which the broker is
// asked for what a client wants; the Server itself asks only which brokers, nodes and ids of
// topics there are.
//
// Invariants:
//
//   - Bytes come back exactly as a Kafka client has sent them. A key that is UTF-8 is
//     the JSON string that HTTP's {"key":"..."} makes, so both faces see one key.
//   - Nothing is allocated for a length that a client only claims, beyond what the
//     process's budget for requests has given.
//   - A frame or a version that cannot be read closes the connection, as Kafka does;
//     whatever else is wrong is an error code from the list that Kafka has for that
//     request. Where there is none, and the answer would be false without it, the
//     connection ends, too (caller.clueless).
//   - acks=1 means the same as acks=all: committed, and on disk on a majority.
package kafka
