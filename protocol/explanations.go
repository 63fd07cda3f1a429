package protocol

// Explanation says what a code means to the author of a client.
type Explanation struct {
	Happened string // what happened; a sentence
	Do       string // what a client should do next; a sentence or two
}

// Explanation returns the explanation of c. The contract, the page /docs and
// docs/errors.md are made of it; tests see to it that every code has one.
func (c Code) Explanation() Explanation { return explanations[c.Number] }

// What to do is said once where it is the same for several codes.
const (
	mendRequest  = "Correct the request; `details` and `message` name what is wrong."
	asFull       = "Wait for `Retry-After`, then send the same again; send less at the same time."
	asBusy       = "Wait for `Retry-After`, then send the same again."
	askOperator  = "Do not repeat it in a loop. The server's log says more, under the request id."
	chooseOther  = "Choose another name, or ask for exactly what exists: the same settings again are answered with 200."
	nameACluster = "Name the cluster (`cluster`)."
)

var explanations = map[int]Explanation{
	CodeMalformed.Number:        {"The request is not valid HTTP or JSON, has a value of the wrong type, or did not arrive completely in time.", mendRequest},
	CodeUnknownField.Number:     {"The body has a field that this request does not have.", mendRequest},
	CodeUnknownParameter.Number: {"The query has a parameter that this request does not have.", mendRequest},
	CodeMissingField.Number:     {"A required field is missing.", mendRequest},
	CodeInvalidParameter.Number: {"A value is not one that the field can have.", mendRequest},
	CodeLimitExceeded.Number:    {"A value, or the request's headers, exceed a configured limit.", "Ask for at most `details.limit`."},
	CodeInvalidCursor.Number: {
		"The text is not a cursor that a server of this version made.",
		"Pass cursors on unchanged. Without one, poll again: the group goes on from its committed offset.",
	},
	CodeInvalidReceipt.Number: {
		"The text is not a receipt that this queue has made.",
		"Send the `delivery.receipt` of a poll's record unchanged.",
	},

	CodeUnauthorized.Number: {
		"The server asks who sends a request, and this one shows no token that is valid. Nothing was done with it.",
		"Send `Authorization: Bearer <token>`. A token that was valid has expired, or was changed or deleted.",
	},
	CodeInvalidSignature.Number: {
		"The webhook is not signed as its source says: the signature is missing or of another secret, or its timestamp is not within 5 minutes. Nothing was written.",
		"Give the sender and the source (PUT /sources/{name}) the same secret, and see that proxies pass the body on unchanged. The clocks must agree.",
	},
	CodeForbidden.Number: {
		"The token does not allow it: `details.action` on `details.resource`. Nothing was done.",
		"Use another token, or have this one allowed more (PATCH /tokens/{name}).",
	},
	CodeCrossSite.Number: {
		"A web page of another origin sent the request. Nothing was done with it.",
		"If the page is yours, add its origin to `cors.origins`.",
	},
	CodeUnknownHost.Number: {
		"The `Host` header names none of this server's hosts. Nothing was done with the request.",
		"Use an address of the server. If the name is the server's, add it to `http.hosts`.",
	},

	CodeTopicNotFound.Number: {
		"The topic does not exist. Reading does not create it; writing does, unless the server is configured otherwise.",
		"Check the name; `details.similar` has the nearest one. Create the topic, or write to it first.",
	},
	CodeClusterNotFound.Number:   {"The cluster does not exist.", "Check the name, or create the cluster."},
	CodePartitionNotFound.Number: {"The topic has no partition of that number.", "Ask GET /topic/{topic} for its partitions."},
	CodeGroupNotFound.Number:     {"The group does not exist, or has been deleted.", "Check the name. A group is made by its first poll."},
	CodeConsumerNotFound.Number: {
		"The group has never seen this consumer, or the consumer has left.",
		"Poll first; the answer has the `consumer_id` to use.",
	},
	CodeBrokerNotFound.Number: {"The cluster has no broker of that id.", "Ask GET /cluster/{cluster} for its brokers."},
	CodeRouteNotFound.Number:  {"There is no such path.", "GET /openapi.json lists all paths."},

	CodeTokenNotFound.Number:        {"There is no token of that name.", "Ask GET /tokens for their names."},
	CodeSubscriptionNotFound.Number: {"There is no subscription of that name.", "Ask GET /subscriptions for their names, or create it (PUT /subscriptions/{name})."},
	CodeSourceNotFound.Number:       {"There is no source of webhooks of that name. Nothing was written.", "Ask GET /sources for their names, or create it (PUT /sources/{name})."},
	CodeUnknownMember.Number: {
		"The consumer is not a member of the group: it has never been, has left, or was silent for longer than its lease and replaced.",
		"Stop the work on its records, and poll: that joins the group again. What it had not committed is delivered again, perhaps to another consumer.",
	},

	CodeMethodNotAllowed.Number: {"The path exists, but not with this method.", "Use one of the methods in the header `Allow`."},

	CodeClusterExists.Number:  {"A cluster of that name exists with other settings.", chooseOther},
	CodeTopicExists.Number:    {"A topic of that name exists with other settings.", chooseOther},
	CodeAmbiguousTopic.Number: {"More than one cluster has a topic of that name.", nameACluster},
	CodeAmbiguousGroup.Number: {
		"More than one cluster has that group, or the consumer is in more than one group.",
		"Name the group (`group`) and, if that is not enough, the cluster (`cluster`).",
	},
	CodeGroupExists.Number: {"The group is a queue with other settings.", "PATCH /groups/{group} changes them; the same settings again are answered with 200."},
	CodeNotFinalized.Number: {
		"What is asked for needs a level that the fleet is not at yet: older versions of the program could not read what it writes, and may still be started.",
		"Ask GET /fleet what it waits for. Once all nodes run the new version, the level is raised by itself, or by POST /fleet/finalize where that is held.",
	},
	CodeGroupProtocol.Number: {
		"The group has members that speak Kafka's protocol. They share its partitions out among themselves, so consumers of HTTP cannot join them; committed offsets are the same for both.",
		"Use another group, or wait until they have left.",
	},
	CodeStaleReceipt.Number: {
		"The record of this receipt was given to a worker again, because its deadline had passed or it was given back, or it is ended otherwise.",
		"Drop the receipt: another delivery counts now. If this happens often, raise `ack_wait_ms`, or POST /events/extend while the work goes on.",
	},
	CodeStaleGeneration.Number: {
		"The group's partitions were shared out anew since the cursor or generation was handed out, because a consumer came, left or fell silent. Nothing was committed or delivered.",
		"Drop `ack`, `after` and `generation`, and poll again with the same `consumer_id`. What was not committed is delivered again, perhaps to another consumer.",
	},
	CodeOffsetRegression.Number: {"The commit would move the group back.", "Leave it out. To read again, send it with `\"force\": true`, or seek."},
	CodePositionUnknown.Number: {
		"Positions are kept in memory, and were lost with a failover, a restart or a seek.",
		"Name the offsets in the commit, or acknowledge with the cursor of the answer (`ack`).",
	},
	CodeStaleSequence.Number: {
		"The producer has already sent a request with a higher sequence.",
		"Use a higher `Producer-Seq` for what is new. Two producers must not share a `Producer-Id`.",
	},
	CodeStaleEpoch.Number:     {"A newer instance of this producer, with a higher epoch, has written.", "End this instance: it has been replaced."},
	CodeDirectoryInUse.Number: {"The directory belongs to another cluster, or lies inside or around one that does.", "Name another `log_directory`."},
	CodeGroupNotEmpty.Number:  {"The group still has live members.", "End its consumers, or wait until their leases have run out."},
	CodeForeignCursor.Number: {
		"The cursor belongs to another cluster, group or consumer, or to a group that was deleted.",
		"Pass back only the cursor of this consumer's own latest answer. Without one, poll again.",
	},
	CodeTokenExists.Number: {
		"There is a token of that name already. What it is made of is shown once, when it is created.",
		"Choose another name, or delete the token first.",
	},

	CodeBodyTooLarge.Number:   {"The body exceeds the limit, as sent or decompressed.", "Send at most `details.limit` bytes; split the batch."},
	CodeRecordTooLarge.Number: {"A record exceeds the limit of the server or of its topic.", "Send records of at most `details.limit` bytes."},
	CodeBatchTooLarge.Number:  {"The batch has too many records, or too many bytes.", "Split the batch; `details.limit` is the most."},

	CodeUnsupportedMediaType.Number: {"The body's media type or encoding is not supported here.", "Use one that `message` names."},

	CodeOffsetOutOfRange.Number: {
		"The offset is below the start of the log: the records have been removed by retention.",
		"Decide what to skip: go on at `details.earliest`, for a group with a seek or a commit. The server never skips records by itself.",
	},

	CodeInternalTopic.Number:    {"Topics whose names begin with `__` can only be read.", "Write to another topic."},
	CodeUnknownPartition.Number: {"The topic has no partition of that number.", "Leave `partition` out, or name one that GET /topic/{topic} lists."},
	CodeNotAllowed.Number:       {"The request is well-formed, but a value is not permitted.", mendRequest},
	CodeEmptyBatch.Number:       {"The batch has no records.", "Send nothing when there is nothing to send."},
	CodeIdempotencyMismatch.Number: {
		"The `Idempotency-Key` was used for a request with another body.",
		"Use a new key for each new request, and the old one only for exact repetitions.",
	},
	CodeDirectoryEscapes.Number: {"The directory would lie outside of the data directory.", "Name a relative path below it."},
	CodeInvalidName.Number:      {"The text is not a valid name.", "Use 1 to 200 letters, digits, `.`, `_` and `-`; not `.` or `..`."},

	CodeRecordLimit.Number: {
		"A record is nested deeper, or has a number of more digits, more headers or a longer header name than the server takes: JSON readers of some languages would refuse every answer that has it in it.",
		"Stay within `details.limit`, or send what exceeds it as a string or as `value_text`.",
	},

	CodeTooManyPartitions.Number: {
		"The node carries as many replicas of partitions as `limits.partitions` allows, or would with these. Nothing was made.",
		"Ask for fewer partitions, or delete topics; `details` has the numbers. An operator may raise the limit.",
	},
	CodeTooManySubscriptions.Number: {"There are as many subscriptions as `limits.subscriptions` allows.", "Delete subscriptions that nobody needs, or have the limit raised."},
	CodeTooManySources.Number:       {"There are as many sources of webhooks as `limits.sources` allows.", "Delete sources that nobody uses, or have the limit raised."},
	CodeTooManyTokens.Number:        {"There are as many tokens as `limits.tokens` allows.", "Delete tokens that nobody uses, or have the limit raised."},

	CodeTooManyRequests.Number: {"Too much at the same time: bytes of request bodies in memory, or consumers of a group.", asFull},
	CodeTooManyProducers.Number: {
		"A partition remembers no more producer ids and idempotency keys at the moment.",
		"Wait for `Retry-After`, then send the same again. Use one `Producer-Id` for each producer instead of a key for each request.",
	},
	CodeQuotaExceeded.Number: {
		"The token, or the address of a client without one, has used up a quota, which `details.quota` names. Nothing was done.",
		"Wait for `Retry-After`, then send the same again; send less, or have the quota raised (PATCH /tokens/{name}; of addresses, `quotas.anonymous`).",
	},
	CodeTooManyCreations.Number: {
		"The topic does not exist, and as many topics were created automatically in the last minute as `limits.auto_creates_per_minute` allows. Nothing was made or written.",
		"Wait for `Retry-After`, then send the same again. Create topics with POST /topic, which is not limited by this.",
	},
	CodeTooManyGroups.Number: {
		"The group does not exist, and there are as many groups as `limits.groups` allows.",
		"Delete groups that nobody uses, then send the same again; name a `group` in polls, and not another one for each run. Unused groups go by themselves after `internal_topics.offsets_retention`.",
	},
	CodeInternal.Number:      {"A defect in the server.", askOperator},
	CodeStorageFailed.Number: {"The server's disk or a file failed.", askOperator},
	CodeStarting.Number:      {"The server is starting and does not know yet what exists.", asBusy},
	CodeNoLeader.Number:      {"The partition has no leader at the moment, as for some hundred milliseconds when a broker stops.", asBusy},
	CodeNotEnoughReplicas.Number: {
		"Too few replicas run to write the record safely.",
		"Wait for `Retry-After`, then send the same again. If it stays, an operator must start brokers: GET /readyz says what is missing.",
	},
	CodeOverloaded.Number:   {"The server has more to do than it can: writes queue at a disk, reads wait, or answers are not read by their clients.", asFull},
	CodeShuttingDown.Number: {"The server is shutting down.", "Wait for `Retry-After`, then send the same again; it may be answered by the next process."},
	CodeNodeNotFound.Number: {"The fleet has no node of that number, or the server is alone.", "Ask GET /nodes for the nodes."},
	CodeTaskNotFound.Number: {"The fleet has no task of that id, or has forgotten it: the last hundred are kept.", "Ask GET /tasks for the tasks."},
	CodeJoining.Number:      {"The node that was asked does not belong to its fleet yet; the message says what it waits for.", asBusy},
	CodeTopicRestoring.Number: {
		"The topic is being filled from a backup and is not complete yet. Nothing can be read from it or written to it, but by who restores it.",
		"Wait until `ottla restore` has ended, then send the same again. If the restore was interrupted, start it again, or delete the topic.",
	},
	CodePartitionsChanged.Number: {
		"The topic has just got more partitions, and the request, which has a `Producer-Id` or `Idempotency-Key`, was placed by somebody who did not know that yet. Nothing was written.",
		asBusy,
	},
	CodeNodeUnreachable.Number: {"A node of the fleet that the request needs cannot be reached from the node that was asked. Nothing was done with the request.", asBusy},
	CodeStorageFull.Number:     {"The disk is full. Reading goes on.", "Wait for `Retry-After`, then send the same again. An operator must make room."},
	CodeOutcomeUnknown.Number: {
		"No majority has confirmed the request in time. It may have happened, or may still happen.",
		"Repeat it only if a repetition does no harm: with a `Producer-Id` or `Idempotency-Key` it is written once. Otherwise look whether it happened.",
	},
}
