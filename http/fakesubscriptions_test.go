package http

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"ottla/protocol"
)

// fakeSubscriptions are the subscriptions of a fakeBackend.
type fakeSubscriptions struct {
	gate sync.Mutex
	subs []*protocol.Subscription
}

func (f *fakeSubscriptions) Subscriptions() ([]*protocol.Subscription, *protocol.Error) {
	f.gate.Lock()
	defer f.gate.Unlock()
	return slices.Clone(f.subs), nil
}

func (f *fakeSubscriptions) Subscription(name string) (*protocol.Subscription, *protocol.Error) {
	f.gate.Lock()
	defer f.gate.Unlock()
	for _, sub := range f.subs {
		if sub.Name == name {
			return sub, nil
		}
	}
	return nil, protocol.Errorf(protocol.CodeSubscriptionNotFound, "subscription %q does not exist", name)
}

func (f *fakeSubscriptions) SubscriptionState(sub *protocol.Subscription) protocol.SubscriptionState {
	lag, status := protocol.Offset(3), 503
	since := time.UnixMilli(1795367763123).UTC()
	s := protocol.SubscriptionState{State: "failing", Lag: &lag, LastStatus: &status, LastError: "answered with 503", LastAttemptAt: &since, FailingSince: &since}
	if sub.Paused {
		s.State = "paused"
	}
	return s
}

func (f *fakeSubscriptions) PutSubscription(_ context.Context, spec *protocol.SubscriptionSpec) (*protocol.Subscription, bool, *protocol.Error) {
	sub := &protocol.Subscription{SubscriptionSpec: *spec, ConsumerID: 1000001, CreatedAt: time.UnixMilli(1795367763123).UTC()}
	sub.Cluster, sub.Group = cmp.Or(sub.Cluster, "default"), cmp.Or(sub.Group, sub.DefaultGroup())
	f.gate.Lock()
	defer f.gate.Unlock()
	before := len(f.subs)
	f.subs = slices.DeleteFunc(f.subs, func(s *protocol.Subscription) bool { return s.Name == spec.Name })
	created := len(f.subs) == before
	f.subs = append(f.subs, sub)
	slices.SortFunc(f.subs, func(a, b *protocol.Subscription) int { return cmp.Compare(a.Name, b.Name) })
	return sub, created, nil
}

func (f *fakeSubscriptions) AlterSubscription(ctx context.Context, name string, change func(*protocol.SubscriptionSpec) *protocol.Error) (*protocol.Subscription, *protocol.Error) {
	sub, err := f.Subscription(name)
	if err != nil {
		return nil, err
	}
	spec := sub.SubscriptionSpec
	if err := change(&spec); err != nil {
		return nil, err
	}
	sub, _, err = f.PutSubscription(ctx, &spec)
	return sub, err
}

func (f *fakeSubscriptions) DeleteSubscription(_ context.Context, name string) *protocol.Error {
	if _, err := f.Subscription(name); err != nil {
		return err
	}
	f.gate.Lock()
	defer f.gate.Unlock()
	f.subs = slices.DeleteFunc(f.subs, func(s *protocol.Subscription) bool { return s.Name == name })
	return nil
}
