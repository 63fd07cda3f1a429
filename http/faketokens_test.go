package http

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"ottla/protocol"
)

// fakeTokens are the tokens of a fakeBackend, and its sources.
type fakeTokens struct {
	fakeQueues
	fakeFleet
	fakeSources
	fakeSubscriptions
	mu      sync.Mutex
	list    []*protocol.TokenEntry
	err     *protocol.Error // of Tokens
	changed func()
}

func (f *fakeTokens) Tokens() ([]*protocol.TokenEntry, *protocol.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list, f.err
}

func (f *fakeTokens) OnTokens(changed func()) { f.changed = changed }

// change replaces the list, and says so as the broker does.
func (f *fakeTokens) change(do func(list []*protocol.TokenEntry) []*protocol.TokenEntry) {
	f.mu.Lock()
	f.list = do(slices.Clone(f.list))
	slices.SortFunc(f.list, func(a, b *protocol.TokenEntry) int { return cmp.Compare(a.Name, b.Name) })
	f.mu.Unlock()
	if f.changed != nil {
		f.changed()
	}
}

func (f *fakeTokens) CreateToken(_ context.Context, spec *protocol.TokenSpec, secret protocol.TokenSecret) (*protocol.TokenInfo, *protocol.Error) {
	e := &protocol.TokenEntry{TokenSecret: secret, TokenInfo: protocol.TokenInfo{
		Name: spec.Name, Allow: spec.Allow, ExpiresAt: spec.ExpiresAt, Quota: spec.Quota, CreatedAt: time.UnixMilli(1795367763123).UTC(),
	}}
	var err *protocol.Error
	f.change(func(list []*protocol.TokenEntry) []*protocol.TokenEntry {
		if slices.ContainsFunc(list, func(t *protocol.TokenEntry) bool { return t.Name == spec.Name }) {
			err = protocol.Errorf(protocol.CodeTokenExists, "token %q already exists", spec.Name)
			return list
		}
		return append(list, e)
	})
	return &e.TokenInfo, err
}

func (f *fakeTokens) AlterToken(_ context.Context, spec *protocol.TokenSpec) (info *protocol.TokenInfo, err *protocol.Error) {
	err = protocol.Errorf(protocol.CodeTokenNotFound, "token %q does not exist", spec.Name)
	f.change(func(list []*protocol.TokenEntry) []*protocol.TokenEntry {
		for i, t := range list {
			if t.Name == spec.Name {
				altered := *t
				if spec.Allow != nil {
					altered.Allow = spec.Allow
				}
				if spec.Quota != nil {
					altered.Quota = spec.Quota
				}
				if spec.ExpiresAt != nil {
					altered.ExpiresAt = spec.ExpiresAt
				}
				list[i], info, err = &altered, &altered.TokenInfo, nil
			}
		}
		return list
	})
	return info, err
}

func (f *fakeTokens) RotateToken(_ context.Context, name string, secret protocol.TokenSecret, overlapMs int64) (info *protocol.TokenInfo, err *protocol.Error) {
	err = protocol.Errorf(protocol.CodeTokenNotFound, "token %q does not exist", name)
	f.change(func(list []*protocol.TokenEntry) []*protocol.TokenEntry {
		for i, t := range list {
			if t.Name == name {
				rotated := *t
				until := time.Now().Add(time.Duration(overlapMs) * time.Millisecond).UTC()
				rotated.Previous, rotated.PreviousUntil, rotated.TokenSecret = t.Hash, &until, secret
				list[i], info, err = &rotated, &rotated.TokenInfo, nil
			}
		}
		return list
	})
	return info, err
}

func (f *fakeTokens) DeleteToken(_ context.Context, name string) (err *protocol.Error) {
	err = protocol.Errorf(protocol.CodeTokenNotFound, "token %q does not exist", name)
	f.change(func(list []*protocol.TokenEntry) []*protocol.TokenEntry {
		return slices.DeleteFunc(list, func(t *protocol.TokenEntry) bool {
			if t.Name == name {
				err = nil
			}
			return t.Name == name
		})
	})
	return err
}

func (f *fakeTokens) TokenSalt(name string) []byte { return []byte("salt of " + name) }

func (f *fakeTokens) TokensElsewhere() bool { return false }

func (f *fakeTokens) RenewTokens() *protocol.Error { return nil }

// Nudge does nothing: reads of usedBy notice by themselves.
func (f *fakeTokens) Nudge() {}

// usedBy is a fakeBackend as somebody may use it. It refuses what the real one
// refuses when it resolves a topic.
type usedBy struct {
	*fakeBackend
	access protocol.Access
}

func (u usedBy) LookupTopic(cluster, topic string, create bool, deadline time.Time) (*protocol.Topic, *protocol.Error) {
	if !u.access.Who.Topic(u.access.Do, "default", topic) {
		return nil, u.access.Forbidden(u.access.Do, "topic", "default", topic)
	}
	return u.fakeBackend.LookupTopic(cluster, topic, create, deadline)
}

func (u usedBy) StartPoll(req *protocol.PollRequest, done <-chan struct{}) protocol.PendingPoll {
	return u.fakeBackend.StartPoll(req, either(done, u.access.Who.Ended()))
}

func (u usedBy) Poll(req *protocol.PollRequest, done <-chan struct{}) (*protocol.PollReply, *protocol.Error) {
	return u.fakeBackend.Poll(req, either(done, u.access.Who.Ended()))
}

func (u usedBy) StartFetch(req *protocol.FetchRequest) protocol.PendingFetch {
	req.Done = either(req.Done, u.access.Who.Ended())
	return u.fakeBackend.StartFetch(req)
}

// either is closed when one of two channels is.
func either(a, b <-chan struct{}) <-chan struct{} {
	c := make(chan struct{})
	go func() {
		defer close(c)
		select {
		case <-a:
		case <-b:
		}
	}()
	return c
}
