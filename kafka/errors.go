package kafka

import "ottla/protocol"

// The error codes that this package answers with, named as Kafka names them. What a client does
// about a code depends on the request: each has a list of those that it expects, and one that is
// not in it is a final failure at best.
const (
	errNone                      int16 = 0
	errOffsetOutOfRange          int16 = 1
	errCorruptMessage            int16 = 2
	errUnknownTopicOrPartition   int16 = 3
	errLeaderNotAvailable        int16 = 5
	errNotLeaderOrFollower       int16 = 6
	errRequestTimedOut           int16 = 7
	errMessageTooLarge           int16 = 10
	errCoordinatorLoadInProgress int16 = 14
	errCoordinatorNotAvailable   int16 = 15
	errNotCoordinator            int16 = 16
	errInconsistentGroupProtocol int16 = 23
	errNotController             int16 = 41
	errInvalidTopic              int16 = 17
	errInvalidGroupID            int16 = 24
	errUnknownMemberID           int16 = 25
	errRebalanceInProgress       int16 = 27
	errGroupAuthorizationFailed  int16 = 30
	errNonEmptyGroup             int16 = 68
	errGroupIDNotFound           int16 = 69
	errNotEnoughReplicas         int16 = 19
	errInvalidRequiredAcks       int16 = 21
	errTopicAuthorizationFailed  int16 = 29
	errInvalidTimestamp          int16 = 32
	errUnsupportedSASLMechanism  int16 = 33
	errIllegalSASLState          int16 = 34
	errUnsupportedVersion        int16 = 35
	errTopicAlreadyExists        int16 = 36
	errInvalidPartitions         int16 = 37
	errInvalidReplicationFactor  int16 = 38
	errInvalidReplicaAssignment  int16 = 39
	errInvalidConfig             int16 = 40
	errInvalidRequest            int16 = 42
	errUnsupportedForMessage     int16 = 43
	errPolicyViolation           int16 = 44
	errOutOfOrderSequence        int16 = 45
	errInvalidProducerEpoch      int16 = 47
	errTransactionalIDNotFound   int16 = 105
	errStorage                   int16 = 56
	errSASLAuthenticationFailed  int16 = 58
	errUnknownTopicID            int16 = 100
	errFetchSessionIDNotFound    int16 = 70
	errUnsupportedCompression    int16 = 76
	errPreferredNotAvailable     int16 = 80
	errEligibleNotAvailable      int16 = 83
	errElectionNotNeeded         int16 = 84
	errInvalidRecord             int16 = 87
)

// topicError is Kafka's code for what became of a request about a topic. It is always one of
// those that clients expect in answers to Metadata, ListOffsets and Fetch: what may
// pass is NOT_LEADER_OR_FOLLOWER, upon which they look for the leader and try again. So is
// everything that is not in this list, as it is better to try in vain than to give up. A broken
// disk is KAFKA_STORAGE_ERROR, for which they try again, too: another replica takes over.
func topicError(err *protocol.Error) int16 {
	if err == nil {
		return errNone
	}
	switch err.Code {
	case protocol.CodeTopicNotFound, protocol.CodeClusterNotFound, protocol.CodePartitionNotFound, protocol.CodeUnknownPartition:
		return errUnknownTopicOrPartition
	case protocol.CodeOffsetOutOfRange:
		return errOffsetOutOfRange
	case protocol.CodeForbidden:
		return errTopicAuthorizationFailed
	case protocol.CodeInvalidName, protocol.CodeInternalTopic:
		return errInvalidTopic
	case protocol.CodeStorageFailed, protocol.CodeInternal:
		return errStorage
	}
	return errNotLeaderOrFollower
}

// produceError is Kafka's code for what became of records. Where nobody knows, it is
// REQUEST_TIMED_OUT; an idempotent producer then sends the same batch again, and other
// producers may write it twice, as with Kafka. It is never UNKNOWN_SERVER_ERROR, after which
// idempotent producers go on with other sequences, and can write twice, too (KAFKA-14034).
//
// What nobody has written and may pass, for want of a leader, a majority, memory or a quota, is
// a code for which clients try again by themselves: NOT_ENOUGH_REPLICAS at the same node,
// NOT_LEADER_OR_FOLLOWER after they have asked who leads.
func produceError(err *protocol.Error) int16 {
	if err == nil {
		return errNone
	}
	// Before the code, which may be one that says that nothing was written.
	if err.Outcome == protocol.OutcomeUnknown {
		return errRequestTimedOut
	}
	switch err.Code {
	case protocol.CodeStaleEpoch:
		return errInvalidProducerEpoch
	case protocol.CodeStaleSequence:
		return errOutOfOrderSequence
	case protocol.CodeRecordTooLarge, protocol.CodeBatchTooLarge, protocol.CodeBodyTooLarge:
		return errMessageTooLarge
	case protocol.CodeRecordLimit:
		return errInvalidRecord
	case protocol.CodeNotEnoughReplicas, protocol.CodeStorageFull, protocol.CodeOverloaded, protocol.CodeTooManyProducers, protocol.CodeQuotaExceeded, protocol.CodeTooManyRequests:
		return errNotEnoughReplicas
	}
	return topicError(err)
}

// adminError is Kafka's code, and the text beside it, for what became of a change. Older
// versions of some answers have no place for the text.
func adminError(err *protocol.Error) (int16, *string) {
	if err == nil {
		return errNone, nil
	}
	text := err.Message
	code := topicError(err)
	switch err.Code {
	case protocol.CodeTopicExists:
		code = errTopicAlreadyExists
	case protocol.CodeNotAllowed, protocol.CodeInvalidParameter:
		code = errInvalidConfig
	case protocol.CodeTooManyPartitions, protocol.CodeQuotaExceeded:
		code = errPolicyViolation
	case protocol.CodeOutcomeUnknown:
		code = errRequestTimedOut
	default:
		if code == errNotLeaderOrFollower { // it may pass: clients look for the controller and try again
			code = errNotController
		}
	}
	return code, &text
}
