// Package front answers what clients ask of the broker: produce, fetch, poll,
// groups and administration. It implements the front end's interface Backend.
//
// Nothing here runs in an actor's mailbox. A request's own goroutine finds out
// what is meant (which cluster, topic, group) in the routing tables, asks
// leaders through routing.Leader, and reads published views of logs. A read
// that has nothing to return parks: no goroutine waits with it, and whatever may
// end the wait has its caller go on.
//
//	front.go        Front and its services, and the ports to the process that it stands before
//	locator.go, follow.go, view.go, ask.go    locator: who leads, the next one when it moves, what it publishes
//	resolve.go, may.go, create.go    resolver: which cluster, topic and group is meant, and whether the client may
//	produce.go      recordService: records to the leaders of their partitions (produce_follow.go: when those move)
//	fetch.go, reading.go    the same: reading a partition, and following a topic, without a group
//	park.go         reads that wait
//	poll.go         pollService: GET /events of a group's member, its states; poll_*.go: what each state does
//	poll_ahead.go   polls of consumers that are known read before they ask: one question instead of two
//	poll_seat.go    the next poll of a stream goes on from the delivery of the last one
//	gathered.go, tail.go, room.go    reading logs into an answer
//	groups.go, offsets.go, classic.go    groupService: groups, committed offsets, seek; Kafka's members
//	queue.go, queue_feed.go, queue_dead.go    queueService: work queues, what they may give, dead letters
//	topics.go       topicService
//	clusters.go, nodes.go, filling.go    fleetService
//	tokens.go, sources.go, subscriptions.go    registryService: what the default cluster keeps for all
//	metrics.go, overview.go, rates.go    statusService
//
// The tests run without a node: world_test.go has leaders with logs on a disk in
// memory, and world_group_test.go a coordinator with the real state of a group.
//
// What a client may not do is refused here, where names are resolved: the Front that
// answers a request is the one of its principal and of its route's right (Front.For).
// A check in http would have to resolve names a second time, and might find others.
package front
