package protocol

import (
	"encoding/json"
	"time"
)

// Order is what a subscription keeps in order.
type Order string

// The orders.
const (
	OrderPartition Order = "partition" // one delivery after the other, in each partition
	OrderKey       Order = "key"       // records of the same key; others pass one that fails
	OrderNone      Order = "none"
)

// Orders are all orders.
var Orders = []Order{OrderPartition, OrderKey, OrderNone}

// DeadSuffix is what the name of a topic for dead letters ends with, if none is named.
const DeadSuffix = ".dead"

// SubscriptionSpec describes a subscription: records of topics that are sent to a URL.
type SubscriptionSpec struct {
	Name          string            `json:"name"`
	Cluster       string            `json:"cluster"` // empty in a request: the one that has the topics
	Topics        []string          `json:"topics"`
	Group         string            `json:"group"` // empty in a request: DefaultGroup
	FromLatest    bool              `json:"from_latest,omitempty"`
	URL           string            `json:"url"`
	Batch         int               `json:"batch"`      // records in one delivery at most; 1: a record by itself, no array
	TimeoutMs     int64             `json:"timeout_ms"` // of one delivery
	MaxDeliveries int               `json:"max_deliveries"`
	DeadLetter    string            `json:"dead_letter_topic,omitempty"` // empty: the topic of the record and DeadSuffix
	Order         Order             `json:"order"`
	Paused        bool              `json:"paused"`
	PausedBecause string            `json:"paused_because,omitempty"` // if it has paused by itself
	Secret        Secret            `json:"-"`                        // empty: deliveries are not signed
	Headers       map[string]Secret `json:"-"`                        // sent with each delivery; values are as secret as Secret
}

// DefaultGroup is the group of a subscription that names none.
func (s *SubscriptionSpec) DefaultGroup() string { return "subscription-" + s.Name }

// DeadLetterTopic is where the records of a topic go that cannot be delivered.
func (s *SubscriptionSpec) DeadLetterTopic(topic string) string {
	if s.DeadLetter != "" {
		return s.DeadLetter
	}
	return topic + DeadSuffix
}

// Subscription is a subscription as the broker keeps it. It is immutable: one that was
// changed is another.
type Subscription struct {
	SubscriptionSpec
	ConsumerID ConsumerID // the member of the group that delivers, wherever it runs
	CreatedAt  time.Time
}

// SubscriptionState says how deliveries go.
type SubscriptionState struct {
	State         string     `json:"state"` // "active", "failing" or "paused"
	Lag           *Offset    `json:"lag"`   // records that are not delivered; nil: it cannot be told now
	LastStatus    *int       `json:"last_status"`
	LastError     string     `json:"last_error,omitempty"`
	LastAttemptAt *time.Time `json:"last_attempt_at"`
	FailingSince  *time.Time `json:"failing_since"`
}

// DeliveryNote is how the deliveries of one partition go. It is kept as the metadata of
// the group's committed offset there, so it is as durable as that and moves with it.
type DeliveryNote struct {
	Status       int            `json:"status,omitempty"` // of the latest answer, 0: there was none
	Error        string         `json:"error,omitempty"`  // why the latest attempt failed
	At           int64          `json:"at,omitempty"`     // of the latest attempt, milliseconds since 1970
	FailingSince int64          `json:"failing_since,omitempty"`
	Units        []DeliveryUnit `json:"units,omitempty"` // what follows the offset, as it was divided
}

// DeliveryUnit is what goes out in one delivery: the records up to End, from the end of
// the unit before it on.
type DeliveryUnit struct {
	End      Offset
	Attempts int // that failed; Delivered: it is done, and only those before it are not
}

// Delivered is the Attempts of a unit that has ended.
const Delivered = -1

// MarshalJSON makes [end,attempts].
func (u DeliveryUnit) MarshalJSON() ([]byte, error) {
	return json.Marshal([2]int64{int64(u.End), int64(u.Attempts)})
}

// UnmarshalJSON reads [end,attempts].
func (u *DeliveryUnit) UnmarshalJSON(text []byte) error {
	var pair [2]int64
	err := json.Unmarshal(text, &pair)
	u.End, u.Attempts = Offset(pair[0]), int(pair[1])
	return err
}

// ParseDeliveryNote reads the metadata of a committed offset. What is no note, because
// somebody else has committed, is an empty one.
func ParseDeliveryNote(metadata string) (n DeliveryNote) {
	if metadata == "" || json.Unmarshal([]byte(metadata), &n) != nil {
		return DeliveryNote{}
	}
	return n
}

// String is the note as metadata.
func (n DeliveryNote) String() string {
	text, err := json.Marshal(n)
	if err != nil {
		panic("BUG: a note of deliveries cannot be rendered: " + err.Error())
	}
	return string(text)
}

// DeliveryCounts are deliveries of this process since it began.
type DeliveryCounts struct {
	Delivered uint64 // that a receiver has taken
	Failed    uint64 // attempts that were not taken
	Dead      uint64 // records that went to a topic of dead letters
}
