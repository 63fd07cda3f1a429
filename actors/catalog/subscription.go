package catalog

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// subscriptionValue is the value of a subscription.
type subscriptionValue struct {
	V int `json:"v"`
	protocol.SubscriptionSpec
	Secret     string              `json:"secret,omitempty"` // as it was sent: signatures are made of the secret itself
	Headers    map[string]string   `json:"headers,omitempty"`
	ConsumerID protocol.ConsumerID `json:"consumer_id"`
	CreatedAt  int64               `json:"created_at"` // milliseconds since 1970
}

// Subscriptions are all subscriptions by name. As with Tokens, neither the list nor
// its entries are ever changed.
func (s *registryState) Subscriptions() []*protocol.Subscription { return s.subscriptions }

// FindSubscription finds a subscription in a list of them by name, and where it is, or
// would be.
func FindSubscription(list []*protocol.Subscription, name string) (at int, found bool) {
	return slices.BinarySearchFunc(list, name, func(t *protocol.Subscription, name string) int { return cmp.Compare(t.Name, name) })
}

// DecidePutSubscription creates a subscription, or gives it other settings; fresh is the
// consumer id of a new one. No records are returned when nothing changes. Now is in
// milliseconds since 1970. Error: too_many_subscriptions (there are limit already).
func (s *registryState) DecidePutSubscription(spec *protocol.SubscriptionSpec, fresh protocol.ConsumerID, now int64, limit int) (sub *protocol.Subscription, created bool, recs []metarecord.Record, err *protocol.Error) {
	sub = &protocol.Subscription{SubscriptionSpec: *spec, ConsumerID: fresh, CreatedAt: time.UnixMilli(now).UTC()}
	action := actionCreateSubscription
	at, found := FindSubscription(s.subscriptions, spec.Name)
	switch {
	// Whoever consumes is the same as before, and so are its cursors.
	case found:
		action, sub.ConsumerID, sub.CreatedAt = actionAlterSubscription, s.subscriptions[at].ConsumerID, s.subscriptions[at].CreatedAt
	case len(s.subscriptions) >= limit:
		return nil, false, nil, protocol.Errorf(protocol.CodeTooManySubscriptions,
			"there are %d subscriptions, as many as limits.subscriptions allows", len(s.subscriptions)).With("limit", limit)
	}
	rec := subscriptionRecord(action, sub)
	// As written, so that secrets are compared as well.
	if found && bytes.Equal(rec.Value, subscriptionRecord(action, s.subscriptions[at]).Value) {
		return s.subscriptions[at], false, nil, nil
	}
	return sub, !found, []metarecord.Record{rec}, nil
}

// DecideDeleteSubscription deletes a subscription. Error: subscription_not_found.
func (s *registryState) DecideDeleteSubscription(name string) ([]metarecord.Record, *protocol.Error) {
	if _, found := FindSubscription(s.subscriptions, name); !found {
		return nil, SubscriptionNotFound(name)
	}
	return []metarecord.Record{{Action: actionDeleteSubscription, Key: metarecord.Key(keySubscription, name)}}, nil
}

// SubscriptionNotFound is the error for a subscription that does not exist.
func SubscriptionNotFound(name string) *protocol.Error {
	return protocol.Errorf(protocol.CodeSubscriptionNotFound, "subscription %q does not exist", name)
}

func subscriptionRecord(action string, sub *protocol.Subscription) metarecord.Record {
	v := subscriptionValue{
		V: metarecord.Format, SubscriptionSpec: sub.SubscriptionSpec, Secret: string(sub.Secret),
		ConsumerID: sub.ConsumerID, CreatedAt: sub.CreatedAt.UnixMilli(),
	}
	if len(sub.Headers) > 0 {
		v.Headers = make(map[string]string, len(sub.Headers))
		for name, value := range sub.Headers {
			v.Headers[name] = string(value)
		}
	}
	return metarecord.Record{Action: action, Key: metarecord.Key(keySubscription, sub.Name), Value: metarecord.JSON(v)}
}

func (s *registryState) applySubscription(name string, value []byte) error {
	at, found := FindSubscription(s.subscriptions, name)
	if value == nil {
		if found {
			s.subscriptions = slices.Delete(slices.Clone(s.subscriptions), at, at+1)
		}
		return nil
	}
	var v subscriptionValue
	if err := metarecord.Decode(value, &v); err != nil {
		return err
	}
	sub := &protocol.Subscription{SubscriptionSpec: v.SubscriptionSpec, ConsumerID: v.ConsumerID, CreatedAt: time.UnixMilli(v.CreatedAt).UTC()}
	sub.Name, sub.Secret = name, protocol.Secret(v.Secret)
	if len(v.Headers) > 0 {
		sub.Headers = make(map[string]protocol.Secret, len(v.Headers))
		for header, text := range v.Headers {
			sub.Headers[header] = protocol.Secret(text)
		}
	}
	// Readers have the old list.
	s.subscriptions = slices.Clone(s.subscriptions)
	if found {
		s.subscriptions[at] = sub
	} else {
		s.subscriptions = slices.Insert(s.subscriptions, at, sub)
	}
	return nil
}

// subscriptionKeys begins the keys of subscriptions.
var subscriptionKeys = []byte(`["` + keySubscription + `",`)

// subscriptionWithoutSecrets is WithoutSecrets of a subscription.
func subscriptionWithoutSecrets(value []byte) []byte {
	var v subscriptionValue
	// What cannot be read is not shown at all, for who knows what is in it.
	if string(value) == protocol.NullToken || metarecord.Decode(value, &v) != nil {
		return []byte(protocol.NullToken)
	}
	if v.Secret != "" {
		v.Secret = protocol.Secret("").String()
	}
	for name := range v.Headers {
		v.Headers[name] = protocol.Secret("").String()
	}
	return metarecord.JSON(v)
}
