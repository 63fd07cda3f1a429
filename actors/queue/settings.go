package queue

import (
	"bytes"
	"slices"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Topic is a topic whose records a queue gives out.
type Topic struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Settings of a queue. Times are in milliseconds.
type Settings struct {
	Topics        []Topic        `json:"topics"` // ascending by id
	AckWaitMs     int64          `json:"ack_wait_ms"`
	MaxDeliveries int            `json:"max_deliveries"`
	BackoffMs     []int64        `json:"backoff_ms"`                  // after the first, second, ... nack; the last for all that follow
	DeadLetters   string         `json:"dead_letter_topic,omitempty"` // empty: the topic's name and ".dead"
	Order         protocol.Order `json:"order"`                       // protocol.OrderNone or protocol.OrderKey
	MaxInFlight   int            `json:"max_in_flight"`
}

// durableSettings is the record of the settings.
type durableSettings struct {
	Settings
	Secret     []byte              `json:"secret"` // seals receipts
	Generation protocol.Generation `json:"generation"`
	CreatedAt  int64               `json:"created_at"` // tells the queue from a deleted one of the same name
	At         int64               `json:"at"`
}

// Change is what a client asks of the settings. Nil: as it is, or the default.
type Change struct {
	Topics        []Topic // ascending by id
	AckWaitMs     *int64
	MaxDeliveries *int
	BackoffMs     []int64 // nil: not sent
	DeadLetters   *string
	Order         *protocol.Order
	MaxInFlight   *int
}

// defaults of a queue.
func defaults() Settings {
	return Settings{
		AckWaitMs: protocol.DefaultAckWaitMs, MaxDeliveries: protocol.DefaultMaxDeliveries,
		BackoffMs: []int64{1000, 5000, 30_000}, Order: protocol.OrderNone, MaxInFlight: protocol.DefaultMaxInFlight,
	}
}

// with is s after a change.
func (s Settings) with(c *Change) Settings {
	if c.Topics != nil {
		s.Topics = c.Topics
	}
	if c.BackoffMs != nil {
		s.BackoffMs = c.BackoffMs
	}
	set(&s.AckWaitMs, c.AckWaitMs)
	set(&s.MaxDeliveries, c.MaxDeliveries)
	set(&s.DeadLetters, c.DeadLetters)
	set(&s.Order, c.Order)
	set(&s.MaxInFlight, c.MaxInFlight)
	return s
}

func set[T any](dst, v *T) {
	if v != nil {
		*dst = *v
	}
}

func (s *Settings) equal(o *Settings) bool {
	return slices.Equal(s.Topics, o.Topics) && s.AckWaitMs == o.AckWaitMs && s.MaxDeliveries == o.MaxDeliveries &&
		slices.Equal(s.BackoffMs, o.BackoffMs) && s.DeadLetters == o.DeadLetters && s.Order == o.Order && s.MaxInFlight == o.MaxInFlight
}

// topic is the topic with that id; nil if the queue has none such.
func (s *Settings) topic(id string) *Topic {
	if i := slices.IndexFunc(s.Topics, func(t Topic) bool { return t.ID == id }); i >= 0 {
		return &s.Topics[i]
	}
	return nil
}

// backoff is how long a record waits after a nack, when it was given count times.
func (s *Settings) backoff(count int) int64 {
	if len(s.BackoffMs) == 0 {
		return 0
	}
	return s.BackoffMs[min(max(count, 1), len(s.BackoffMs))-1]
}

// DeadLettersOf is where the dead letters of a topic go.
func (s *Settings) DeadLettersOf(topic string) string {
	if s.DeadLetters != "" {
		return s.DeadLetters
	}
	return topic + protocol.DeadSuffix
}

// Exists reports whether the group is a queue.
func (s *State) Exists() bool { return s.cfg != nil }

// Settings are those of a queue that exists. They may not be changed.
func (s *State) Settings() *Settings { return &s.cfg.Settings }

// Generation counts the changes of the settings.
func (s *State) Generation() protocol.Generation { return s.cfg.Generation }

// CreatedAt is when the queue was created, in milliseconds since 1970.
func (s *State) CreatedAt() int64 { return s.cfg.CreatedAt }

// Put creates the queue, sealing its receipts with secret, or finds it there with
// these settings. Each request has a secret of its own: one that comes twice has created
// the queue. Errors: group_exists (with other settings).
func (s *State) Put(now int64, c *Change, secret []byte) (created bool, recs []metarecord.Record, err *protocol.Error) {
	if s.cfg == nil {
		s.cfg = &durableSettings{Settings: defaults().with(c), Secret: secret, Generation: 1, CreatedAt: now, At: now}
		return true, s.settingsRecord(), nil
	}
	if bytes.Equal(s.cfg.Secret, secret) {
		return true, nil, nil // whatever was changed since
	}
	if next := s.cfg.with(c); !next.equal(&s.cfg.Settings) {
		return false, nil, protocol.Errorf(protocol.CodeGroupExists, "group %q is a queue with other settings: PATCH changes them", s.group)
	}
	return false, nil, nil
}

// Patch changes the settings of a queue that exists. What it knows of partitions of
// topics that it does not have any more is dropped.
func (s *State) Patch(now int64, c *Change) []metarecord.Record {
	next := s.cfg.with(c)
	if next.equal(&s.cfg.Settings) {
		return nil
	}
	// A copy: Settings has handed the old one out.
	cfg := *s.cfg
	cfg.Settings, cfg.At = next, now
	cfg.Generation++
	s.cfg = &cfg
	recs := s.settingsRecord()
	for _, p := range s.list() {
		if next.topic(p.id.TopicID) == nil {
			recs = append(recs, s.drop(p)...)
		}
	}
	// The order may be another one now, and more may be read: what is known of the logs
	// begins anew.
	s.Resume()
	return recs
}

// TopicGone takes a deleted topic out of the queue.
func (s *State) TopicGone(now int64, id string) []metarecord.Record {
	if s.cfg == nil || s.cfg.topic(id) == nil {
		return nil
	}
	left := slices.DeleteFunc(slices.Clone(s.cfg.Topics), func(t Topic) bool { return t.ID == id })
	return s.Patch(now, &Change{Topics: append([]Topic{}, left...)})
}

// Delete ends the queue.
func (s *State) Delete() []metarecord.Record {
	recs := []metarecord.Record{{Action: actionDrop, Key: metarecord.Key(KeyQueue, s.group)}}
	for _, p := range s.list() {
		recs = append(recs, s.drop(p)...)
	}
	at := s.Level
	*s = *New(s.group)
	s.Level = at
	return recs
}

// WithoutSecret is the value of a record of __consumer_offsets as clients may read it:
// the secret of a queue is left out.
func WithoutSecret(key, value []byte) []byte {
	if !bytes.HasPrefix(key, []byte(`["`+KeyQueue+`",`)) {
		return value
	}
	var v settingsValue
	if string(value) == protocol.NullToken || metarecord.Decode(value, &v) != nil {
		return []byte(protocol.NullToken)
	}
	v.Secret = nil
	return metarecord.JSON(v)
}
