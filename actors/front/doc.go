// Package front answers what clients ask of the broker: produce, fetch, poll,
// groups and administration. It implements the front end's interface Backend.
//
// Nothing here runs in an actor's mailbox. A request's own goroutine finds out
// what is meant (which cluster, topic, group) in the routing tables, asks
// leaders through routing.Leader, and reads published views of logs. A read
// that has nothing to return parks: no goroutine waits with it, and whatever may
// end the wait has its caller go on.
//
//	front.go        Front, and the port to the process it stands before
//	resolve.go      which cluster, topic and group is meant; similar.go: the topic that may be meant
//	follow.go       asking a leader, and the next one when it moves
//	produce.go      records to the leaders of their partitions; the producers of a topic
//	park.go         reads that wait
//	poll.go         GET /events of a group's member: its states, fresh consumer ids; poll_*.go: what each state does
//	poll_ahead.go   polls of consumers that are known read before they ask: one question instead of two
//	poll_seat.go    the next poll of a stream goes on from the delivery of the last one
//	fetch.go        reading a partition without a group
//	reading.go      following a topic without a group; reading_cursor.go: its position, which only the client has
//	gathered.go, tail.go, room.go    reading logs into an answer
//	groups.go, offsets.go    groups, committed offsets, seek
//	topics.go, clusters.go, view.go    lists, descriptions, changes; figures for /metrics
//
// The tests run without a node: world_test.go has leaders with logs on a disk in
// memory, and world_group_test.go a coordinator with the real state of a group.
//
// What a client may not do is refused here, where names are resolved: the Front that
// answers a request is the one of its principal and of its route's right (Front.For).
// A check in http would have to resolve names a second time, and might find others.
package front
