package kafka

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/xdg-go/scram"

	"ottla/http/access"
	"ottla/protocol"
)

// tokens are those that a registry finds.
type tokens struct {
	mu      sync.Mutex
	list    []*protocol.TokenEntry
	changed func()
}

func (s *tokens) Tokens() ([]*protocol.TokenEntry, *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list, nil
}

func (s *tokens) OnTokens(f func())   { s.changed = f }
func (*tokens) Nudge()                {}
func (*tokens) TokensElsewhere() bool { return false }

func (*tokens) RenewTokens() *protocol.Error { return nil }

func (*tokens) TokenSalt(name string) []byte { return []byte("salt of " + name) }

// add keeps a token that may read everything.
func (s *tokens) add(name string, quota *protocol.TokenQuota) (token string) {
	token, secret := access.NewToken(s.TokenSalt(name))
	s.mu.Lock()
	s.list = append(s.list, &protocol.TokenEntry{TokenSecret: secret, TokenInfo: protocol.TokenInfo{Name: name, Quota: quota, Allow: []protocol.Grant{{Do: []string{"read"}}}}})
	s.mu.Unlock()
	s.changed()
	return token
}

// authenticating is a connection to a server that asks who its clients are.
func authenticating(t *testing.T) (*conn, *tokens) {
	t.Helper()
	s := newGated(t, &gated{})
	list := &tokens{}
	var err error
	s.o.Access, err = access.New(list, access.Options{AdminToken: "the admin's"})
	require.NoError(t, err)
	server, client := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	return newConn(s, server), list
}

func (c *conn) shakes(mechanism string, version int16) *kmsg.SASLHandshakeResponse {
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Mechanism, req.Version = mechanism, version
	return c.saslHandshake(req)
}

func (c *conn) says(message string) *kmsg.SASLAuthenticateResponse {
	req := kmsg.NewPtrSASLAuthenticateRequest()
	req.Version, req.SASLAuthBytes = 2, []byte(message)
	return c.saslAuthenticate(req)
}

// showsByScram has a client show a token, and returns the code of the last answer.
func (c *conn) showsByScram(t *testing.T, mechanism string, hash scram.HashGeneratorFcn, user, token string) int16 {
	t.Helper()
	require.Zero(t, c.shakes(mechanism, 1).ErrorCode)
	cl, err := hash.NewClient(user, token, "")
	require.NoError(t, err)
	conv := cl.NewConversation()
	message, err := conv.Step("")
	require.NoError(t, err)
	answer := c.says(message)
	require.Zero(t, answer.ErrorCode)
	message, err = conv.Step(string(answer.SASLAuthBytes))
	require.NoError(t, err)
	answer = c.says(message)
	if answer.ErrorCode != errNone {
		assert.Empty(t, answer.SASLAuthBytes)
		assert.NotEmpty(t, *answer.ErrorMessage)
		return answer.ErrorCode
	}
	_, err = conv.Step(string(answer.SASLAuthBytes))
	require.NoError(t, err)
	require.True(t, conv.Valid(), "the server has shown that it knows the secret")
	return errNone
}

func TestMechanismsOfSASL(t *testing.T) {
	c, list := authenticating(t)
	token := list.add("a", nil)
	all := []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}
	for _, wrong := range []string{"", "GSSAPI", "OAUTHBEARER", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS"} {
		resp := c.shakes(wrong, 1)
		assert.Equal(t, errUnsupportedSASLMechanism, resp.ErrorCode, wrong)
		assert.Equal(t, all, resp.SupportedMechanisms)
		assert.Equal(t, errIllegalSASLState, c.says("\x00a\x00"+token).ErrorCode, "nothing was agreed on")
	}
	assert.Equal(t, errUnsupportedSASLMechanism, c.shakes("PLAIN", 0).ErrorCode, "what follows it has no frame")
	for mechanism, hash := range map[string]scram.HashGeneratorFcn{"SCRAM-SHA-256": scram.SHA256, "SCRAM-SHA-512": scram.SHA512} {
		c, list := authenticating(t)
		token := list.add("a", nil)
		assert.Equal(t, all, c.shakes(mechanism, 1).SupportedMechanisms)
		require.Equal(t, errNone, c.showsByScram(t, mechanism, hash, "a", token))
		assert.Equal(t, "a", c.who.Name())
		assert.False(t, c.unknown())
		assert.Equal(t, errIllegalSASLState, c.says("n,,n=a,r=abc").ErrorCode, "it is over")
	}
	plain, list := authenticating(t)
	token = list.add("a", nil)
	require.Zero(t, plain.shakes("PLAIN", 1).ErrorCode)
	assert.Zero(t, plain.says("\x00any\x00"+token).ErrorCode)
	assert.Equal(t, "a", plain.who.Name())

	c.srv.o.Access = nil
	assert.Equal(t, []string{"PLAIN"}, c.shakes("PLAIN", 1).SupportedMechanisms)
	assert.Equal(t, errUnsupportedSASLMechanism, c.shakes("SCRAM-SHA-256", 1).ErrorCode, "the server knows no secrets that it could show")
	require.Zero(t, c.shakes("PLAIN", 1).ErrorCode)
	assert.Zero(t, c.says("whatever").ErrorCode)
}

func TestScramThatFailsEndsTheConnection(t *testing.T) {
	for what, fail := range map[string]func(c *conn, token string) int16{
		"another secret": func(c *conn, token string) int16 {
			return c.showsByScram(t, "SCRAM-SHA-256", scram.SHA256, "a", token+"x")
		},
		"another hash": func(c *conn, token string) int16 {
			return c.showsByScram(t, "SCRAM-SHA-512", scram.SHA512, "nobody", token)
		},
		"another mechanism's message": func(c *conn, token string) int16 {
			c.shakes("SCRAM-SHA-256", 1)
			return c.says("\x00a\x00" + token).ErrorCode
		},
		"a message too many": func(c *conn, token string) int16 {
			c.shakes("SCRAM-SHA-256", 1)
			c.says("n,,n=a,r=abc")
			return c.says("n,,n=a,r=abc").ErrorCode
		},
	} {
		c, list := authenticating(t)
		assert.Equal(t, errSASLAuthenticationFailed, fail(c, list.add("a", nil)), what)
		assert.True(t, c.sasl.failed, what)
		assert.True(t, c.unknown(), what)
		assert.Equal(t, errIllegalSASLState, c.says("n,,n=a,r=abc").ErrorCode, what)
	}
}

// A handshake in the middle begins anew; a client that is known may show another token.
func TestScramBeginsAnew(t *testing.T) {
	c, list := authenticating(t)
	a, b := list.add("a", nil), list.add("b", nil)
	require.Zero(t, c.shakes("SCRAM-SHA-256", 1).ErrorCode)
	require.Zero(t, c.says("n,,n=a,r=abc").ErrorCode)
	require.Equal(t, errNone, c.showsByScram(t, "SCRAM-SHA-512", scram.SHA512, "a", a))
	require.Equal(t, errNone, c.showsByScram(t, "SCRAM-SHA-256", scram.SHA256, "b", b))
	assert.Equal(t, "b", c.who.Name())
	assert.Equal(t, errSASLAuthenticationFailed, c.showsByScram(t, "SCRAM-SHA-256", scram.SHA256, "a", b))
	assert.True(t, c.sasl.failed)
}

// The quota of connections counts those that SCRAM has let in.
func TestScramCountsConnections(t *testing.T) {
	c, list := authenticating(t)
	token := list.add("a", &protocol.TokenQuota{Connections: 1})
	require.Equal(t, errNone, c.showsByScram(t, "SCRAM-SHA-256", scram.SHA256, "a", token))
	server, client := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	second := newConn(c.srv, server)
	assert.Equal(t, errSASLAuthenticationFailed, second.showsByScram(t, "SCRAM-SHA-256", scram.SHA256, "a", token))
	c.close()
	third := newConn(c.srv, server)
	assert.Equal(t, errNone, third.showsByScram(t, "SCRAM-SHA-512", scram.SHA512, "a", token))
}

// Users of SCRAM are tokens: Kafka's requests to list and change them are not served.
func TestUsersOfScramAreNotAdministered(t *testing.T) {
	c, _ := authenticating(t)
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 2
	for _, k := range c.apiVersions(req).ApiKeys {
		assert.NotContains(t, []int16{int16(kmsg.DescribeUserSCRAMCredentials), int16(kmsg.AlterUserSCRAMCredentials)}, k.ApiKey)
	}
}
