package access

import (
	"bytes"
	"crypto/pbkdf2"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/xdg-go/scram"

	"ottla/protocol"
)

// withScram makes a token with keys for SCRAM, as the broker would keep it.
func withScram(s *source, name string) (token string, e *protocol.TokenEntry) {
	token, secret := NewToken(s.TokenSalt(name))
	e = entry(name, secret.Hash, nil)
	e.TokenSecret = secret
	return token, e
}

// hashes are those of the mechanisms.
var hashes = map[string]scram.HashGeneratorFcn{ScramSHA256: scram.SHA256, ScramSHA512: scram.SHA512}

// shows has a client show a token, and does between before the last message.
func shows(t *testing.T, r *Registry, mechanism, user, token string, between func()) (*protocol.Principal, *protocol.Error) {
	t.Helper()
	c, err := hashes[mechanism].NewClient(user, token, "")
	require.NoError(t, err)
	conv, x := c.NewConversation(), r.Scram(mechanism)
	said, err := conv.Step("")
	require.NoError(t, err)
	answer, who, failed := x.Step([]byte(said))
	if failed != nil {
		return nil, failed
	}
	require.Nil(t, who, "nothing is shown yet")
	said, err = conv.Step(string(answer))
	require.NoError(t, err)
	between()
	answer, who, failed = x.Step([]byte(said))
	if failed != nil {
		assert.Nil(t, who)
		assert.Empty(t, answer)
		return nil, failed
	}
	_, err = conv.Step(string(answer))
	require.NoError(t, err, "the server knows the secret, too")
	require.True(t, conv.Valid())
	return who, nil
}

func nothing() {}

func TestTokensAreShownByScram(t *testing.T) {
	for mechanism := range hashes {
		t.Run(mechanism, func(t *testing.T) {
			s := &source{}
			r, failed := New(s, Options{AdminToken: "the admin's"})
			require.NoError(t, failed)
			token, a := withScram(s, "a")
			other, b := withScram(s, "b")
			old, hash := newToken()
			soon := time.Now().Add(-time.Second)
			_, expired := withScram(s, "expired")
			expired.ExpiresAt = &soon
			s.set(nil, a, b, entry("old", hash, nil), expired)

			who, err := shows(t, r, mechanism, "a", token, nothing)
			require.Nil(t, err)
			same, _ := r.Token([]byte(token))
			assert.Same(t, same, who, "who is the same as by PLAIN")
			who, err = shows(t, r, mechanism, AdminName, "the admin's", nothing)
			require.Nil(t, err)
			assert.True(t, who.Everything(protocol.RightAdmin))

			for what, wrong := range map[string][2]string{
				"another's secret": {"a", other}, "a secret that never was": {"a", "ottla_no"}, "no secret": {"b", ""}, "the admin's secret of another": {"b", "the admin's"},
				"nobody": {"nobody", token}, "no name": {"", token}, "made before": {"old", old}, "expired": {"expired", token}, "a wrong admin": {AdminName, "guess"},
			} {
				who, err := shows(t, r, mechanism, wrong[0], wrong[1], nothing)
				assert.Nil(t, who, what)
				require.NotNil(t, err, what)
				assert.Equal(t, errScramUnknown, err, what)
			}
			assert.Contains(t, errScramUnknown.Message, "rotated once")
		})
	}
	r, failed := New(&source{}, Options{})
	require.NoError(t, failed)
	for _, mechanism := range []string{"", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "scram-sha-256"} {
		assert.Nil(t, r.Scram(mechanism), mechanism)
	}
	who, err := shows(t, r, ScramSHA256, AdminName, "", nothing)
	assert.Nil(t, who, "where there is no administrator, nobody is he")
	assert.NotNil(t, err)
}

// The answer to the first message is of the same form for every name, and the same salt
// each time: so it says of no name whether it is a token's.
func TestScramTellsNobodyWhichNamesThereAre(t *testing.T) {
	s := &source{}
	r, failed := New(s, Options{AdminToken: "x"})
	require.NoError(t, failed)
	_, a := withScram(s, "a")
	_, hash := newToken()
	s.set(nil, a, entry("old", hash, nil))
	for mechanism := range hashes {
		for _, name := range []string{"a", "old", AdminName, "nobody", "nobody else", ""} {
			ask := func(r *Registry) (salt, iterations string) {
				answer, who, err := r.Scram(mechanism).Step([]byte("n,,n=" + name + ",r=abc"))
				require.Nil(t, err)
				require.Nil(t, who)
				parts := strings.Split(string(answer), ",")
				require.Len(t, parts, 3)
				require.Regexp(t, `^r=abc[A-Z2-7]{26}$`, parts[0])
				return parts[1], parts[2]
			}
			salt, iterations := ask(r)
			again, _ := ask(r)
			assert.Equal(t, salt, again, "%q", name)
			assert.Equal(t, "i=4096", iterations)
			raw, err := base64.StdEncoding.DecodeString(salt[len("s="):])
			require.NoError(t, err)
			assert.Equal(t, s.TokenSalt(name), raw, "%q: what another node answers, or this one before the token was made", name)
		}
	}
}

// With a rotation the secret before can be shown for as long as it is valid.
func TestScramWithRotations(t *testing.T) {
	s := &source{}
	r, failed := New(s, Options{})
	require.NoError(t, failed)
	first, before := withScram(s, "a")
	second, now := withScram(s, "a")
	until := time.Now().Add(time.Hour)
	now.Previous, now.PreviousScram, now.PreviousUntil = before.Hash, before.Scram, &until
	s.set(nil, now)
	who, err := shows(t, r, ScramSHA256, "a", first, nothing)
	require.Nil(t, err)
	assert.Equal(t, until, who.Expires())
	who, err = shows(t, r, ScramSHA256, "a", second, nothing)
	require.Nil(t, err)
	assert.True(t, who.Expires().IsZero())

	salted := *now // as if it had been made with another salt
	other := *before.Scram
	other.Salt = []byte("another salt....")
	salted.PreviousScram = &other
	s.set(nil, &salted)
	_, err = shows(t, r, ScramSHA512, "a", first, nothing)
	assert.NotNil(t, err)
	_, err = shows(t, r, ScramSHA512, "a", second, nothing)
	assert.Nil(t, err)

	past := time.Now().Add(-time.Second)
	over := *now
	over.PreviousUntil = &past
	s.set(nil, &over)
	_, err = shows(t, r, ScramSHA256, "a", first, nothing)
	assert.NotNil(t, err, "its time is over")
}

// What happens to a token between the two messages counts.
func TestScramWhileTokensChange(t *testing.T) {
	s := &source{}
	r, failed := New(s, Options{})
	require.NoError(t, failed)
	token, a := withScram(s, "a")
	s.set(nil, a)
	altered := *a
	altered.Allow = []protocol.Grant{{Do: []string{"write"}}}
	who, err := shows(t, r, ScramSHA256, "a", token, func() { s.set(nil, &altered) })
	require.Nil(t, err)
	assert.True(t, who.Everything(protocol.RightWrite), "it is what the token is now")
	_, err = shows(t, r, ScramSHA256, "a", token, func() { s.set(nil) })
	assert.Equal(t, errScramUnknown, err)
	s.set(nil, a)
	_, rotated := withScram(s, "a")
	_, err = shows(t, r, ScramSHA256, "a", token, func() { s.set(nil, rotated) })
	assert.Equal(t, errScramUnknown, err, "the secret is not valid any more")

	s.set(protocol.Errorf(protocol.CodeStarting, "starting"))
	_, err = shows(t, r, ScramSHA256, "a", token, nothing)
	assert.Equal(t, "starting", code(err), "nobody can say yet")
}

// A last message is worth nothing in another exchange: the server's nonce is another.
func TestScramMessagesCannotBeReplayed(t *testing.T) {
	s := &source{}
	r, failed := New(s, Options{})
	require.NoError(t, failed)
	token, a := withScram(s, "a")
	s.set(nil, a)
	c, failed := scram.SHA256.NewClient("a", token, "")
	require.NoError(t, failed)
	conv, x := c.NewConversation(), r.Scram(ScramSHA256)
	first, failed := conv.Step("")
	require.NoError(t, failed)
	answer, _, err := x.Step([]byte(first))
	require.Nil(t, err)
	last, failed := conv.Step(string(answer))
	require.NoError(t, failed)
	_, who, err := x.Step([]byte(last))
	require.Nil(t, err)
	require.NotNil(t, who)

	again := r.Scram(ScramSHA256)
	answer2, _, err := again.Step([]byte(first))
	require.Nil(t, err)
	require.NotEqual(t, answer, answer2)
	nonce := func(message string) string { return strings.SplitN(message, ",", 3)[1] }
	moved := strings.Replace(last, nonce(last), strings.SplitN(string(answer2), ",", 2)[0], 1)
	for _, replayed := range []string{last, moved} {
		_, who, err = again.Step([]byte(replayed))
		assert.Nil(t, who)
		assert.NotNil(t, err)
	}
	_, who, err = x.Step([]byte(last))
	assert.Nil(t, who, "nor in its own")
	assert.NotNil(t, err)
}

func TestScramMessagesThatAreNone(t *testing.T) {
	s := &source{}
	r, failed := New(s, Options{AdminToken: "x"})
	require.NoError(t, failed)
	for _, bad := range []string{
		"", "n", "n,,", "n,,n=admin", "n,,r=abc,n=admin", "n=admin,r=abc", "y,,n=admin,r=abc", "p=tls-unique,,n=admin,r=abc", "p=tls-exporter,,n=admin,r=abc",
		"n,a=other,n=admin,r=abc", "n,x,n=admin,r=abc", "n,,m=1,n=admin,r=abc", "n,a=ad=min,n=admin,r=abc", "n,,n=ad=min,r=abc", "\x00admin\x00x", "n,,n=admin,r=", "n,,n=admin,r=" + strings.Repeat("a", maxScramMessage),
	} {
		answer, who, err := r.Scram(ScramSHA256).Step([]byte(bad))
		assert.Nil(t, answer, "%.40q", bad)
		assert.Nil(t, who, "%.40q", bad)
		assert.Equal(t, errScramMessage, err, "%.40q", bad)
	}
	_, _, err := r.Scram(ScramSHA256).Step([]byte("n,a=admin,n=admin,r=abc"))
	assert.Nil(t, err, "as himself")
	for _, bad := range []string{"", "c=biws", "c=biws,r=abc", "c=biws,r=abc,p=!", "c=biws,p=AAAA", "p=AAAA", "c=!,r=abc,p=AAAA", "c=biws,r=abc,p=AAAA", "r=abc,c=biws,p=AAAA", ",,,,", strings.Repeat("c", maxScramMessage+1)} {
		x := r.Scram(ScramSHA256)
		_, _, err := x.Step([]byte("n,,n=admin,r=abc"))
		require.Nil(t, err)
		answer, who, err := x.Step([]byte(bad))
		assert.Nil(t, answer, "%.40q", bad)
		assert.Nil(t, who, "%.40q", bad)
		assert.NotNil(t, err, "%.40q", bad)
	}
}

// What is shown of a token with %v, %+v, %#v or as JSON has none of its keys.
func TestKeysOfScramAreNotShown(t *testing.T) {
	_, e := withScram(&source{}, "a")
	e.PreviousScram = e.Scram
	asJSON, err := json.Marshal(e)
	require.NoError(t, err)
	shown := string(asJSON) + fmt.Sprintf("%v %+v %#v %v", e, e, e, e.TokenSecret)
	for _, key := range [][]byte{e.Scram.Salt, e.Scram.SHA256.Stored, e.Scram.SHA256.Server, e.Scram.SHA512.Stored, e.Scram.SHA512.Server} {
		for _, form := range []string{base64.StdEncoding.EncodeToString(key), fmt.Sprintf("%x", key), fmt.Sprintf("%v", key), fmt.Sprintf("%#v", key)} {
			assert.NotContains(t, shown, form)
		}
	}
	assert.False(t, bytes.Equal(e.Scram.SHA256.Stored, e.Scram.SHA256.Server))
}

// The example of RFC 7677, and the form that older versions of librdkafka give it, with the nonce as those have it.
func TestScramByTheBook(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	require.NoError(t, err)
	keys := scramKeys("pencil", salt)
	require.NotNil(t, keys)
	r, err := New(&source{}, Options{})
	require.NoError(t, err)
	begun := func() *Scram {
		x := r.Scram(ScramSHA256)
		x.header, x.bare, x.nonce = "n,,", "n=user,r=rOprNGfwEbeRWgbNEkqO", "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
		x.said = "r=" + x.nonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
		x.keys[1], x.who[1] = keys.SHA256, protocol.NewPrincipal("user", nil, nil)
		return x
	}
	answer, who, failed := begun().Step([]byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	require.Nil(t, failed)
	assert.Equal(t, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", string(answer))
	assert.Equal(t, "user", who.Name())

	x := begun()
	h := scramHashes[ScramSHA256]
	salted, err := pbkdf2.Key(h.new, "pencil", salt, 4096, 32)
	require.NoError(t, err)
	twice := "c=biws,r=rOprNGfwEbeRWgbNEkqO" + x.nonce
	proof := h.mac(h.sum(h.mac(salted, "Client Key")), x.bare+","+x.said+","+twice)
	for i, b := range h.mac(salted, "Client Key") {
		proof[i] ^= b
	}
	_, who, failed = x.Step([]byte(twice + ",p=" + base64.StdEncoding.EncodeToString(proof)))
	require.Nil(t, failed)
	assert.Equal(t, "user", who.Name())

	for _, token := range []string{"pencil\n", "pénc", "\x00", "\x7f"} {
		assert.Nil(t, scramKeys(token, salt), "%q: clients differ in what they make of it", token)
	}
	for field, want := range map[string]string{"n=a=2Cb=3D": "a,b=", "n==3D2C": "=2C", "n=": ""} {
		name, ok := scramName(field, "n=")
		assert.True(t, ok, field)
		assert.Equal(t, want, name)
	}
	for _, field := range []string{"n=a=b", "n==2c", "n==", "a=a", "n==3"} {
		_, ok := scramName(field, "n=")
		assert.False(t, ok, field)
	}
}

// Whatever a client sends, there is no panic, and nobody is let in.
func FuzzScram(f *testing.F) {
	s := &source{}
	r, failed := New(s, Options{})
	require.NoError(f, failed)
	_, a := withScram(s, "a")
	s.set(nil, a)
	f.Add("n,,n=a,r=abc", "c=biws,r=abc,p=AAAA")
	f.Add("y,,n=a,r=abc", "")
	f.Add("n,a=b,n=a=2C,r=,x", "c=,r=,p=")
	f.Fuzz(func(t *testing.T, first, last string) {
		for mechanism := range hashes {
			x := r.Scram(mechanism)
			answer, who, err := x.Step([]byte(first))
			require.Nil(t, who)
			if err != nil {
				require.Nil(t, answer)
				continue
			}
			nonce, _, _ := strings.Cut(string(answer), ",")
			_, who, err = x.Step([]byte(strings.Replace(last, "r=", nonce, 1)))
			require.Nil(t, who)
			require.NotNil(t, err)
		}
	})
}
