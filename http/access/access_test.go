package access

import (
	"sync"
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
}

func (s *source) Tokens() ([]*protocol.TokenEntry, *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.list, s.err
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
	return &protocol.TokenEntry{Hash: hash, TokenInfo: protocol.TokenInfo{Name: name, Allow: []protocol.Grant{{Do: []string{"read"}}}, ExpiresAt: expires}}
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
	token, hash := NewToken()
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
	_, other := NewToken()
	assert.NotEqual(t, hash, other)
	s.set(nil, entry(AdminName, other, nil))
	assert.Same(t, admin, r.Successor(admin), "nobody takes the administrator's name")
}

func TestTokensThatExpire(t *testing.T) {
	s := &source{}
	r, failed := New(s, Options{})
	require.NoError(t, failed)
	token, hash := NewToken()
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
