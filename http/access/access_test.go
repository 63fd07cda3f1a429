package access

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// source is a broker's tokens, which a test changes.
type source struct {
	mu      sync.Mutex
	list    []*protocol.TokenEntry
	err     *protocol.Error
	changed func()
	nudges  int
	asked   int // how often Tokens was called
	renew   func() *protocol.Error
}

func (s *source) Tokens() ([]*protocol.TokenEntry, *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.list, s.err
}

// TokenSalt is a salt once the tokens can be read.
func (s *source) TokenSalt(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil
	}
	sum := sha256.Sum256([]byte(name))
	return sum[:16]
}

// TokensElsewhere is true where a test has set what renewing does.
func (s *source) TokensElsewhere() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renew != nil
}

func (s *source) RenewTokens() *protocol.Error {
	s.mu.Lock()
	renew := s.renew
	s.mu.Unlock()
	return renew()
}

func (s *source) OnTokens(f func()) { s.changed = f }

func (s *source) Nudge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nudges++
}

func (s *source) nudged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nudges
}

func (s *source) set(err *protocol.Error, list ...*protocol.TokenEntry) {
	s.mu.Lock()
	s.list, s.err = list, err
	s.mu.Unlock()
	s.changed()
}

func entry(name string, hash protocol.TokenHash, expires *time.Time) *protocol.TokenEntry {
	return &protocol.TokenEntry{TokenSecret: protocol.TokenSecret{Hash: hash}, TokenInfo: protocol.TokenInfo{Name: name, Allow: []protocol.Grant{{Do: []string{"read"}}}, ExpiresAt: expires}}
}

// newToken is a token without keys for SCRAM.
func newToken() (string, protocol.TokenHash) {
	token, secret := NewToken(nil)
	return token, secret.Hash
}

func code(err *protocol.Error) string {
	if err == nil {
		return ""
	}
	return err.Code.Name
}

func TestRegistry(t *testing.T) {
	s := &source{err: protocol.Errorf(protocol.CodeStarting, "starting")}
	r, failed := New(s, Options{AdminToken: "the admin's"})
	require.NoError(t, failed)
	admin, err := r.Token([]byte("the admin's"))
	require.Nil(t, err)
	assert.True(t, admin.Everything(protocol.RightAdmin) && admin.Everything(protocol.RightRead) && admin.Everything(protocol.RightWrite))
	token, hash := newToken()
	_, err = r.Token([]byte(token))
	assert.Equal(t, "starting", code(err), "nobody can say yet")
	s.set(nil)
	_, err = r.Token([]byte(token))
	assert.Equal(t, "unauthorized", code(err))

	s.set(nil, entry("a", hash, nil))
	who, err := r.Token([]byte(token))
	require.Nil(t, err)
	assert.Equal(t, "a", who.Name())
	nudges := s.nudged()
	s.set(nil, entry("a", hash, nil))
	again, err := r.Token([]byte(token))
	require.Nil(t, err)
	assert.Same(t, who, again, "the same token read anew, as after an election")
	assert.Equal(t, nudges, s.nudged())
	s.set(protocol.Errorf(protocol.CodeStarting, "starting"))
	again, err = r.Token([]byte(token))
	assert.Nil(t, err)
	assert.Same(t, who, again, "what is known stays in force while the broker cannot say")

	altered := entry("a", hash, nil)
	altered.Allow = []protocol.Grant{{Do: []string{"write"}}}
	s.set(nil, altered)
	assert.True(t, who.Over(time.Now()))
	<-who.Ended()
	assert.Greater(t, s.nudged(), nudges)
	next := r.Successor(who)
	require.NotNil(t, next)
	assert.True(t, next.Everything(protocol.RightWrite))
	s.set(nil)
	assert.True(t, next.Over(time.Now()))
	assert.Nil(t, r.Successor(next))
	assert.Same(t, admin, r.Successor(admin))
	assert.False(t, admin.Over(time.Now()))

	asked := s.asked
	for range 3 {
		_, err = r.Token([]byte("nobody's"))
		assert.Equal(t, "unauthorized", code(err))
	}
	assert.Equal(t, asked, s.asked, "who tries tokens costs nothing")
	_, other := newToken()
	assert.NotEqual(t, hash, other)
	s.set(nil, entry(AdminName, other, nil))
	assert.Same(t, admin, r.Successor(admin), "nobody takes the administrator's name")
}

// After a rotation both secrets show the token, for a while; what was opened with the one
// before goes on for so long, and no longer.
func TestRotations(t *testing.T) {
	s := &source{}
	r, failed := New(s, Options{})
	require.NoError(t, failed)
	first, hash1 := newToken()
	second, hash2 := newToken()
	third, hash3 := newToken()
	s.set(nil, entry("a", hash1, nil))
	opened, err := r.Token([]byte(first))
	require.Nil(t, err)

	until := time.Now().Add(time.Hour)
	rotated := entry("a", hash2, nil)
	rotated.Previous, rotated.PreviousUntil = hash1, &until
	s.set(nil, rotated)
	require.True(t, opened.Over(time.Now()), "whoever waits looks again")
	goesOn := r.Successor(opened)
	require.NotNil(t, goesOn)
	assert.Equal(t, until, goesOn.Expires())
	byFirst, err := r.Token([]byte(first))
	require.Nil(t, err)
	assert.Equal(t, until, byFirst.Expires())
	bySecond, err := r.Token([]byte(second))
	require.Nil(t, err)
	assert.True(t, bySecond.Expires().IsZero())

	altered := *rotated
	altered.Allow = []protocol.Grant{{Do: []string{"write"}}}
	s.set(nil, &altered)
	assert.Equal(t, until, r.Successor(byFirst).Expires(), "a change does not let it live longer")
	assert.True(t, r.Successor(bySecond).Expires().IsZero())

	nudges := s.nudged()
	soon := time.Now().Add(50 * time.Millisecond)
	brief := *rotated
	brief.PreviousUntil = &soon
	s.set(nil, &brief)
	byFirst = r.Successor(byFirst)
	require.NotNil(t, byFirst)
	require.Eventually(t, func() bool { return s.nudged() > nudges+1 }, 10*time.Second, time.Millisecond, "whoever waits is told")
	assert.True(t, byFirst.Over(time.Now()))
	assert.Nil(t, r.Successor(byFirst))
	_, err = r.Token([]byte(first))
	assert.Equal(t, "unauthorized", code(err))
	_, err = r.Token([]byte(second))
	assert.Nil(t, err)

	again := entry("a", hash3, nil)
	again.Previous, again.PreviousUntil = hash2, &until
	bySecond, err = r.Token([]byte(second))
	require.Nil(t, err)
	s.set(nil, again)
	assert.Equal(t, until, r.Successor(bySecond).Expires())
	_, err = r.Token([]byte(first))
	assert.Equal(t, "unauthorized", code(err))
	_, err = r.Token([]byte(third))
	assert.Nil(t, err)
}

func TestTokensThatExpire(t *testing.T) {
	s := &source{}
	r, failed := New(s, Options{})
	require.NoError(t, failed)
	token, hash := newToken()
	at := time.Now().Add(30 * time.Millisecond)
	s.set(nil, entry("a", hash, &at))
	who, err := r.Token([]byte(token))
	if err == nil { // else the machine took longer than that
		nudges := s.nudged()
		<-who.Ended()
		assert.False(t, time.Now().Before(at))
		assert.Eventually(t, func() bool { return s.nudged() > nudges }, time.Minute, time.Millisecond)
	}
	_, err = r.Token([]byte(token))
	assert.Equal(t, "unauthorized", code(err))
}

// A node whose own clock is wrong goes by that of its fleet, everywhere: who is let in is not
// taken for ended a moment later, and a timer that was set by the wrong clock ends nothing.
func TestExpiryByTheClockOfTheFleet(t *testing.T) {
	var behind atomic.Int64
	r, failed := New(&source{}, Options{Now: func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }})
	require.NoError(t, failed)
	s := r.source.(*source)
	token, hash := newToken()
	at := time.Now().Add(20 * time.Millisecond)
	s.set(nil, entry("a", hash, &at)) // its own clock is an hour ahead, as turns out now
	behind.Store(int64(time.Hour))
	require.Eventually(t, func() bool { return time.Since(at) > 20*time.Millisecond }, time.Minute, time.Millisecond)
	who, err := r.Token([]byte(token))
	require.Nil(t, err)
	assert.False(t, who.Over(time.Now()))
	assert.NotNil(t, r.Successor(who))
	behind.Store(0)
	assert.True(t, who.Over(time.Now()))
	_, err = r.Token([]byte(token))
	assert.Equal(t, "unauthorized", code(err))
}
