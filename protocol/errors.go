package protocol

import (
	"fmt"
	"maps"
	"time"
)

// Outcome says whether a failed request had an effect.
type Outcome string

// The outcomes of a failed request.
const (
	OutcomeNone    Outcome = "none"    // nothing happened
	OutcomeApplied Outcome = "applied" // it happened all the same
	OutcomeUnknown Outcome = "unknown" // it may or may not have happened
)

// Code is one kind of error: its number (the HTTP status times 100 plus a
// serial), its name and whether the same request may succeed later.
type Code struct {
	Number    int
	Name      string
	Retriable bool
}

// Status is the HTTP status that belongs to the code.
func (c Code) Status() int { return c.Number / 100 }

// Every error code that a client can see.
var (
	CodeMalformed        = Code{40001, "malformed", false}         // not JSON, wrong type, bad encoding
	CodeUnknownField     = Code{40002, "unknown_field", false}     // a field the request does not have
	CodeUnknownParameter = Code{40003, "unknown_parameter", false} // a query parameter it does not have
	CodeMissingField     = Code{40004, "missing_field", false}
	CodeInvalidParameter = Code{40005, "invalid_parameter", false} // a value outside of its range
	CodeLimitExceeded    = Code{40006, "limit_exceeded", false}    // more than the configured limit
	CodeInvalidCursor    = Code{40007, "invalid_cursor", false}    // not a cursor this server made
	CodeInvalidReceipt   = Code{40008, "invalid_receipt", false}   // not a receipt of a queue

	CodeUnauthorized     = Code{40101, "unauthorized", false}      // nobody knows who asks
	CodeInvalidSignature = Code{40102, "invalid_signature", false} // a webhook that is not signed as its source says

	CodeCrossSite = Code{40301, "cross_site", false} // a page of another site asked
	CodeForbidden = Code{40302, "forbidden", false}  // the token does not allow it

	CodeTopicNotFound     = Code{40401, "topic_not_found", false}
	CodeClusterNotFound   = Code{40402, "cluster_not_found", false}
	CodePartitionNotFound = Code{40403, "partition_not_found", false}
	CodeGroupNotFound     = Code{40404, "group_not_found", false}
	CodeConsumerNotFound  = Code{40405, "consumer_not_found", false}
	CodeBrokerNotFound    = Code{40406, "broker_not_found", false}
	CodeRouteNotFound     = Code{40407, "route_not_found", false}
	CodeUnknownMember     = Code{40408, "unknown_member", false}
	CodeTokenNotFound     = Code{40409, "token_not_found", false}
	CodeSourceNotFound    = Code{40410, "source_not_found", false}

	CodeSubscriptionNotFound = Code{40411, "subscription_not_found", false}

	CodeNodeNotFound = Code{40420, "node_not_found", false}
	CodeTaskNotFound = Code{40421, "task_not_found", false}

	CodeMethodNotAllowed = Code{40501, "method_not_allowed", false}

	CodeClusterExists    = Code{40901, "cluster_exists", false}
	CodeTopicExists      = Code{40902, "topic_exists", false}
	CodeAmbiguousTopic   = Code{40903, "ambiguous_topic", false}
	CodeAmbiguousGroup   = Code{40904, "ambiguous_group", false}
	CodeStaleGeneration  = Code{40905, "stale_generation", false}
	CodeOffsetRegression = Code{40906, "offset_regression", false}
	CodePositionUnknown  = Code{40907, "position_unknown", false}
	CodeStaleSequence    = Code{40908, "stale_sequence", false}
	CodeStaleEpoch       = Code{40909, "stale_epoch", false}
	CodeDirectoryInUse   = Code{40910, "directory_in_use", false}
	CodeGroupNotEmpty    = Code{40911, "group_not_empty", false}
	CodeForeignCursor    = Code{40912, "foreign_cursor", false} // a cursor of another group
	CodeTokenExists      = Code{40913, "token_exists", false}
	CodeGroupExists      = Code{40914, "group_exists", false}
	CodeStaleReceipt     = Code{40915, "stale_receipt", false}  // of a record that was given again, or is ended
	CodeNotFinalized     = Code{40920, "not_finalized", false}  // the fleet's level is not raised yet
	CodeGroupProtocol    = Code{40930, "group_protocol", false} // the group's members speak another protocol

	CodeBodyTooLarge   = Code{41301, "body_too_large", false}
	CodeRecordTooLarge = Code{41302, "record_too_large", false}
	CodeBatchTooLarge  = Code{41303, "batch_too_large", false}

	CodeUnsupportedMediaType = Code{41501, "unsupported_media_type", false}

	CodeUnknownHost = Code{42101, "unknown_host", false} // Host is none of the server's names

	CodeOffsetOutOfRange = Code{41601, "offset_out_of_range", false}

	CodeInternalTopic       = Code{42201, "internal_topic", false}
	CodeUnknownPartition    = Code{42202, "unknown_partition", false}
	CodeNotAllowed          = Code{42203, "not_allowed", false} // well-formed, but the value is not permitted
	CodeEmptyBatch          = Code{42204, "empty_batch", false}
	CodeIdempotencyMismatch = Code{42205, "idempotency_mismatch", false}
	CodeDirectoryEscapes    = Code{42206, "directory_escapes", false}
	CodeInvalidName         = Code{42207, "invalid_name", false}
	CodeRecordLimit         = Code{42208, "record_limit", false} // what other readers could not read
	CodeTooManyPartitions   = Code{42209, "too_many_partitions", false}
	CodeTooManyTokens       = Code{42210, "too_many_tokens", false}
	CodeTooManySources      = Code{42211, "too_many_sources", false}

	CodeTooManySubscriptions = Code{42212, "too_many_subscriptions", false}

	CodeTooManyRequests   = Code{42901, "too_many_requests", true}
	CodeTooManyProducers  = Code{42902, "too_many_producers", true}
	CodeQuotaExceeded     = Code{42903, "quota_exceeded", true}
	CodeTooManyCreations  = Code{42904, "too_many_creations", true}
	CodeTooManyGroups     = Code{42905, "too_many_groups", true}
	CodeInternal          = Code{50001, "internal", false}
	CodeStorageFailed     = Code{50002, "storage_failed", false}
	CodeStarting          = Code{50301, "starting", true}
	CodeNoLeader          = Code{50302, "no_leader", true}
	CodeNotEnoughReplicas = Code{50303, "not_enough_replicas", true}
	CodeOverloaded        = Code{50304, "overloaded", true}
	CodeShuttingDown      = Code{50305, "shutting_down", true}
	CodeStorageFull       = Code{50307, "storage_full", true}
	CodeNodeUnreachable   = Code{50308, "node_unreachable", true}
	CodeJoining           = Code{50309, "joining", true}
	CodeTopicRestoring    = Code{50311, "topic_restoring", true} // from a backup, and not complete yet
	CodePartitionsChanged = Code{50310, "partitions_changed", true}
	CodeOutcomeUnknown    = Code{50401, "outcome_unknown", true}
)

// Codes lists every code above; a test of the error renderer walks it.
var Codes = []Code{
	CodeMalformed, CodeUnknownField, CodeUnknownParameter, CodeMissingField, CodeInvalidParameter,
	CodeLimitExceeded, CodeInvalidCursor, CodeInvalidReceipt, CodeUnauthorized, CodeInvalidSignature, CodeCrossSite, CodeForbidden, CodeUnknownHost, CodeTopicNotFound, CodeClusterNotFound, CodePartitionNotFound,
	CodeGroupNotFound, CodeConsumerNotFound, CodeBrokerNotFound, CodeRouteNotFound, CodeUnknownMember, CodeTokenNotFound, CodeSourceNotFound, CodeSubscriptionNotFound, CodeNodeNotFound, CodeTaskNotFound, CodeMethodNotAllowed,
	CodeClusterExists, CodeTopicExists, CodeAmbiguousTopic, CodeAmbiguousGroup, CodeStaleGeneration,
	CodeOffsetRegression, CodePositionUnknown, CodeStaleSequence, CodeStaleEpoch, CodeDirectoryInUse,
	CodeGroupNotEmpty, CodeForeignCursor, CodeTokenExists, CodeGroupExists, CodeStaleReceipt, CodeNotFinalized, CodeGroupProtocol, CodeBodyTooLarge, CodeRecordTooLarge, CodeBatchTooLarge,
	CodeUnsupportedMediaType, CodeOffsetOutOfRange, CodeInternalTopic, CodeUnknownPartition, CodeNotAllowed,
	CodeEmptyBatch, CodeIdempotencyMismatch, CodeDirectoryEscapes, CodeInvalidName, CodeRecordLimit, CodeTooManyPartitions, CodeTooManyTokens, CodeTooManySources, CodeTooManySubscriptions, CodeTooManyRequests,
	CodeTooManyProducers, CodeQuotaExceeded, CodeTooManyCreations, CodeTooManyGroups, CodeInternal, CodeStorageFailed, CodeStarting, CodeNoLeader, CodeNotEnoughReplicas,
	CodeOverloaded, CodeShuttingDown, CodeStorageFull, CodeNodeUnreachable, CodeJoining, CodePartitionsChanged, CodeTopicRestoring, CodeOutcomeUnknown,
}

// Error is a failure as a client sees it. It is not changed once others can see
// it: With and WithOutcome make copies.
type Error struct {
	Code       Code
	Message    string
	Outcome    Outcome        // OutcomeNone when empty
	Details    map[string]any // optional: limit, earliest, latest, ...
	RetryAfter time.Duration  // sent with 429, 503 and 504; one second when zero
}

// Error implements error.
func (e *Error) Error() string { return e.Code.Name + ": " + e.Message }

// Is makes errors.Is(err, Errorf(code, "")) and comparisons by code work.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code.Number == e.Code.Number
}

// Errorf makes an Error with OutcomeNone.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Outcome: OutcomeNone}
}

// Unknownf makes an Error of CodeOutcomeUnknown with OutcomeUnknown.
func Unknownf(format string, args ...any) *Error {
	return &Error{Code: CodeOutcomeUnknown, Message: fmt.Sprintf(format, args...), Outcome: OutcomeUnknown}
}

// With returns a copy of e with one more detail. It leaves e alone: an Error may
// be a package-level variable that many goroutines answer with.
func (e *Error) With(name string, value any) *Error {
	c := *e
	c.Details = make(map[string]any, len(e.Details)+1)
	maps.Copy(c.Details, e.Details)
	c.Details[name] = value
	return &c
}

// WithOutcome returns a copy of e with another outcome; it leaves e alone.
func (e *Error) WithOutcome(o Outcome) *Error {
	c := *e
	c.Outcome = o
	return &c
}

// ErrNotLeader is the answer of a replica that does not lead (any more) to
// something it has not proposed: nothing happened, and whoever asked may ask
// the next leader.
var ErrNotLeader = Errorf(CodeNoLeader, "the partition has no leader at the moment")

// ErrAway is the answer to a read that is to ask no other node, of a partition that
// another one leads. No client sees it.
var ErrAway = Errorf(CodeNoLeader, "another node leads the partition")
