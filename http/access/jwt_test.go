package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// issuer makes JSON web tokens.
type issuer struct {
	t    *testing.T
	keys map[string]crypto.Signer
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks are the public keys.
func (i *issuer) jwks() []byte {
	var keys []map[string]any
	for kid, key := range i.keys {
		switch pub := key.Public().(type) {
		case *rsa.PublicKey:
			keys = append(keys, map[string]any{"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig", "n": b64(pub.N.Bytes()), "e": b64(big.NewInt(int64(pub.E)).Bytes())})
		case *ecdsa.PublicKey:
			point, err := pub.Bytes() // 4, x, y
			require.NoError(i.t, err)
			keys = append(keys, map[string]any{"kty": "EC", "kid": kid, "alg": "ES256", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])})
		case ed25519.PublicKey:
			keys = append(keys, map[string]any{"kty": "OKP", "kid": kid, "alg": "EdDSA", "crv": "Ed25519", "x": b64(pub)})
		}
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	require.NoError(i.t, err)
	return text
}

func newIssuer(t *testing.T) *issuer {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return &issuer{t, map[string]crypto.Signer{"r": r, "e": e, "d": ed}}
}

// claims are those of a valid token, with some replaced.
func claims(replaced map[string]any) jwt.MapClaims {
	c := jwt.MapClaims{
		"iss": "https://id.example", "aud": "ottla", "sub": "alice", "exp": time.Now().Add(time.Hour).Unix(),
		"ottla": []any{map[string]any{"do": []string{"read"}, "topics": "a.*", "groups": "a.*"}},
	}
	for name, v := range replaced {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

func (i *issuer) token(kid string, method jwt.SigningMethod, c jwt.MapClaims) string {
	t := jwt.NewWithClaims(method, c)
	t.Header["kid"] = kid
	text, err := t.SignedString(i.keys[kid])
	require.NoError(i.t, err)
	return text
}

func believing(t *testing.T, s Source, o JWT) *Registry {
	t.Helper()
	o.Issuer, o.Audience = "https://id.example", "ottla"
	if o.Claim == "" {
		o.Claim = "ottla"
	}
	r, err := New(s, Options{JWT: &o, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return r
}

func TestJSONWebTokens(t *testing.T) {
	i := newIssuer(t)
	file := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(file, i.jwks(), 0o600))
	r := believing(t, &source{}, JWT{KeysFile: file})
	for kid, method := range map[string]jwt.SigningMethod{"r": jwt.SigningMethodRS256, "e": jwt.SigningMethodES256, "d": jwt.SigningMethodEdDSA} {
		who, err := r.Token([]byte(i.token(kid, method, claims(nil))))
		require.Nil(t, err)
		assert.Equal(t, "jwt:alice", who.Name())
		assert.True(t, who.Topic(protocol.RightRead, "default", "a.x") && who.Group(protocol.RightRead, "default", "a.g"))
		assert.False(t, who.Topic(protocol.RightRead, "default", "b") || who.Topic(protocol.RightWrite, "default", "a.x"))
		assert.False(t, who.Over(time.Now()))
		assert.True(t, who.Over(time.Now().Add(2*time.Hour)))
		assert.Nil(t, r.Successor(who))
	}

	valid := func(replaced map[string]any) string { return i.token("e", jwt.SigningMethodES256, claims(replaced)) }
	stranger := newIssuer(t)
	head, rest, _ := strings.Cut(valid(nil), ".")
	body, signature, _ := strings.Cut(rest, ".")
	other, err := json.Marshal(claims(map[string]any{"ottla": []any{map[string]any{"do": []string{"admin"}}}}))
	require.NoError(t, err)
	confused := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil)) // signed with the public key as a secret
	confused.Header["kid"] = "e"
	hmac, err := confused.SignedString([]byte(i.jwks()))
	require.NoError(t, err)
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims(nil)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	for why, token := range map[string]string{
		"expired":            valid(map[string]any{"exp": past}),
		"for ever":           valid(map[string]any{"exp": nil}),
		"not valid yet":      valid(map[string]any{"nbf": future}),
		"made in the future": valid(map[string]any{"iat": future}),
		"another issuer":     valid(map[string]any{"iss": "https://evil.example"}),
		"no issuer":          valid(map[string]any{"iss": nil}),
		"another audience":   valid(map[string]any{"aud": []string{"other"}}),
		"no audience":        valid(map[string]any{"aud": nil}),
		"no claim":           valid(map[string]any{"ottla": nil}),
		"an empty claim":     valid(map[string]any{"ottla": []any{}}),
		"no grants":          valid(map[string]any{"ottla": []any{1}}),
		"a grant of nothing": valid(map[string]any{"ottla": []any{map[string]any{"topics": "a"}}}),
		"an unknown right":   valid(map[string]any{"ottla": []any{map[string]any{"do": []string{"all"}}}}),
		"a bad pattern":      valid(map[string]any{"ottla": []any{map[string]any{"do": []string{"read"}, "topics": "a*b"}}}),
		"an unknown token":   valid(map[string]any{"ottla": "nobody"}),
		"the admin":          valid(map[string]any{"ottla": AdminName}),
		"a long subject":     valid(map[string]any{"sub": strings.Repeat("a", 201)}),
		"another key":        stranger.token("e", jwt.SigningMethodES256, claims(nil)),
		"an unknown key":     i.token("e", jwt.SigningMethodES256, claims(nil))[:20] + ".x.y",
		"another body":       head + "." + b64(other) + "." + signature,
		"no signature":       head + "." + body + ".",
		"hmac":               hmac,
		"none":               unsigned,
		"not base64":         "ey!.ey!.!",
	} {
		_, err := r.Token([]byte(token))
		require.Equal(t, "unauthorized", code(err), why)
		assert.NotContains(t, err.Message, body, why)
		assert.NotContains(t, err.Message, "alice", why)
	}
	opaque, opaqueErr := New(&source{}, Options{})
	require.NoError(t, opaqueErr)
	_, perr := opaque.Token([]byte(valid(nil)))
	assert.Equal(t, "unauthorized", code(perr), "where none is believed")
}

// A claim may name a token: then the bearer may do what that one may, as long as it
// may.
func TestJSONWebTokensThatNameATokens(t *testing.T) {
	i, s := newIssuer(t), &source{}
	file := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(file, i.jwks(), 0o600))
	r := believing(t, s, JWT{KeysFile: file, Claim: "realm_access.roles"})
	_, hash := newToken()
	s.set(nil, entry("team-a", hash, nil))
	token := i.token("d", jwt.SigningMethodEdDSA, claims(map[string]any{"realm_access": map[string]any{"roles": []string{"offline", "team-a"}}}))
	who, err := r.Token([]byte(token))
	require.Nil(t, err)
	assert.True(t, who.Everything(protocol.RightRead))
	altered := entry("team-a", hash, nil)
	altered.Allow = []protocol.Grant{{Do: []string{"write"}}}
	s.set(nil, altered)
	assert.True(t, who.Over(time.Now()), "with the token that it names")
	<-who.Ended()
	next := r.Successor(who)
	require.NotNil(t, next)
	assert.Equal(t, "jwt:alice", next.Name())
	assert.True(t, next.Everything(protocol.RightWrite))
	assert.Equal(t, who.Expires(), next.Expires())
	s.set(nil)
	assert.Nil(t, r.Successor(next))
	_, err = r.Token([]byte(token))
	assert.Equal(t, "unauthorized", code(err))
}

// New keys are found, in a file that changes and behind a URL; what cannot be read
// leaves the old ones in force.
func TestKeysThatChange(t *testing.T) {
	old, now := newIssuer(t), newIssuer(t)
	now.keys["new"] = now.keys["d"]
	delete(now.keys, "d")
	file := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(file, old.jwks(), 0o600))
	r := believing(t, &source{}, JWT{KeysFile: file})
	fresh := now.token("new", jwt.SigningMethodEdDSA, claims(nil))
	before := old.token("d", jwt.SigningMethodEdDSA, claims(nil))
	_, err := r.Token([]byte(fresh))
	assert.Equal(t, "unauthorized", code(err))
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	_, err = r.Token([]byte(before))
	assert.Nil(t, err)
	require.NoError(t, os.WriteFile(file, now.jwks(), 0o600))
	_, err = r.Token([]byte(fresh))
	assert.Nil(t, err)
	_, err = r.Token([]byte(before))
	assert.Equal(t, "unauthorized", code(err))

	served := old.jwks()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(served) }))
	defer s.Close()
	r = believing(t, &source{}, JWT{KeysURL: s.URL})
	_, err = r.Token([]byte(before))
	assert.Nil(t, err)
	served = now.jwks()
	_, err = r.Token([]byte(fresh))
	assert.Nil(t, err, "a key that is not known has the URL asked again")
	s.Close()
	_, err = r.Token([]byte(now.token("new", jwt.SigningMethodEdDSA, claims(nil))))
	assert.Nil(t, err, "while nobody answers there")

	_, failed := New(&source{}, Options{JWT: &JWT{Issuer: "i", Audience: "a", Claim: "c", KeysFile: file + ".missing"}, Logger: slog.Default()})
	assert.ErrorContains(t, failed, "auth.jwt.jwks_file")
}

// FuzzJSONWebToken: whatever a client shows, it is nobody.
func FuzzJSONWebToken(f *testing.F) {
	t := &testing.T{}
	i := newIssuer(t)
	file := filepath.Join(f.TempDir(), "jwks.json")
	require.NoError(f, os.WriteFile(file, i.jwks(), 0o600))
	r := believing(t, &source{}, JWT{KeysFile: file})
	stranger := newIssuer(t)
	f.Add(stranger.token("e", jwt.SigningMethodES256, claims(nil)))
	f.Add("ey.ey.")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("eyJhbGciOiJFUzI1NiIsImtpZCI6ImUifQ.eyJleHAiOjk5OTk5OTk5OTk5fQ.AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		who, err := r.Token([]byte(token))
		assert.Nil(t, who)
		assert.Equal(t, "unauthorized", code(err))
	})
}
