package access

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"strings"
	"sync"

	"ottla/protocol"
)

// The mechanisms of SCRAM (RFC 5802, RFC 7677) that are served, none with channel binding.
const (
	ScramSHA256 = "SCRAM-SHA-256"
	ScramSHA512 = "SCRAM-SHA-512"
)

// scramIterations is how often a client hashes its secret. More make guessing dear, and
// nobody guesses 32 random bytes.
const scramIterations = protocol.MinScramIterations

// maxScramMessage bounds a message of a client, in bytes. Those with the longest names and
// proofs have a few hundred.
const maxScramMessage = 4 << 10

// scramHash is the hash of a mechanism, and where its keys are.
type scramHash struct {
	new  func() hash.Hash
	pair func(*protocol.ScramKeys) *protocol.ScramPair
}

var scramHashes = map[string]scramHash{
	ScramSHA256: {sha256.New, func(k *protocol.ScramKeys) *protocol.ScramPair { return &k.SHA256 }},
	ScramSHA512: {sha512.New, func(k *protocol.ScramKeys) *protocol.ScramPair { return &k.SHA512 }},
}

func (h scramHash) mac(key []byte, of string) []byte {
	m := hmac.New(h.new, key)
	m.Write([]byte(of))
	return m.Sum(nil)
}

func (h scramHash) sum(b []byte) []byte {
	s := h.new()
	s.Write(b)
	return s.Sum(nil)
}

// scramKeys are the keys of a secret. Nil: it has other characters than printable ones of
// ASCII, which clients may normalize in one way or another; NewToken makes none of those.
func scramKeys(token string, salt []byte) *protocol.ScramKeys {
	if strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil
	}
	k := &protocol.ScramKeys{Salt: salt, Iterations: scramIterations}
	for _, h := range scramHashes {
		salted, err := pbkdf2.Key(h.new, token, salt, k.Iterations, h.new().Size())
		if err != nil {
			return nil // of hashes that whoever has built or started the program does not allow
		}
		*h.pair(k) = protocol.ScramPair{Stored: h.sum(h.mac(salted, "Client Key")), Server: h.mac(salted, "Server Key")}
	}
	return k
}

// adminKeys are the keys of the administrator's token. They are made when a salt is there.
type adminKeys struct {
	token string // empty: there is no administrator

	mu   sync.Mutex
	keys *protocol.ScramKeys
}

func (a *adminKeys) with(salt []byte) *protocol.ScramKeys {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token != "" && (a.keys == nil || !bytes.Equal(a.keys.Salt, salt)) {
		a.keys = scramKeys(a.token, salt)
	}
	return a.keys
}

// Scram is a client's exchange of messages in which it shows that it has a token's secret,
// and learns that the server knows it, without any of them sending it. It is not safe for
// concurrent use.
//
// Whether there is such a token shows in nothing: keys that nobody has the secret of stand
// in for those that are not there, and all that is computed is computed of them, too.
//
// It is no library's because older versions of librdkafka have to be let in; see last.
type Scram struct {
	r    *Registry
	hash scramHash

	header string // of the client's first message: what it says of channel binding
	bare   string // the rest of it
	said   string // the answer to it; empty: there was none yet
	nonce  string
	over   bool // nothing more is answered

	// A client may have either secret of a token. Both have one salt.
	keys [2]protocol.ScramPair
	who  [2]*protocol.Principal // nil: the keys stand in for some
}

// Scram begins an exchange; nil if the mechanism is none of SCRAM that is served.
func (r *Registry) Scram(mechanism string) *Scram {
	h, served := scramHashes[mechanism]
	if !served {
		return nil
	}
	return &Scram{r: r, hash: h}
}

// The errors of an exchange. None says which names there are.
var (
	errScramMessage = protocol.Errorf(protocol.CodeUnauthorized, "this is no message of SCRAM as RFC 5802 has it, without channel binding (n) and as nobody but the user")
	errScramUnknown = protocol.Errorf(protocol.CodeUnauthorized, "Authentication failed: the user must be the name of a token, and the password the token, which has not expired. "+
		"One that was made before tokens could be shown by SCRAM has to be rotated once (POST /tokens/{name}/rotate), or PLAIN be used")
	errScramNotYet = protocol.Errorf(protocol.CodeStarting, "tokens cannot be shown by SCRAM yet: the broker is starting, or not all nodes know SCRAM; PLAIN can be used")
)

// Step takes the client's next message and returns the answer to it, which errors have
// none of. Who is nil until the client has shown who it is; after that, and after an
// error, nothing more must be asked. Errors: unauthorized; those of the source, while it
// cannot say which tokens there are.
func (x *Scram) Step(message []byte) (answer []byte, who *protocol.Principal, err *protocol.Error) {
	switch {
	case x.over, len(message) > maxScramMessage:
		err = errScramMessage
	case x.said == "":
		answer, err = x.first(string(message))
	default:
		answer, who, err = x.last(string(message))
	}
	x.over = err != nil || who != nil
	return answer, who, err
}

// first answers the message with the user's name: n,[a=USER],n=USER,r=NONCE[,...].
func (x *Scram) first(message string) ([]byte, *protocol.Error) {
	fields := strings.SplitN(message, ",", 5)
	if len(fields) < 4 || fields[0] != "n" {
		return nil, errScramMessage
	}
	user, named := scramName(fields[2], "n=")
	nonce, given := strings.CutPrefix(fields[3], "r=")
	if !named || !given || nonce == "" {
		return nil, errScramMessage
	}
	if as, named := scramName(fields[1], "a="); fields[1] != "" && (!named || as != user) {
		return nil, errScramMessage
	}
	x.header = fields[0] + "," + fields[1] + ","
	x.bare = message[len(x.header):]
	x.nonce = nonce + rand.Text()
	salt, iterations, err := x.find(user)
	if err != nil {
		return nil, err
	}
	x.said = fmt.Sprintf("r=%s,s=%s,i=%d", x.nonce, base64.StdEncoding.EncodeToString(salt), iterations)
	return []byte(x.said), nil
}

// scramName is the name in a field, where =2C stands for a comma and =3D for an equals sign.
func scramName(field, prefix string) (name string, ok bool) {
	field, ok = strings.CutPrefix(field, prefix)
	plain := strings.NewReplacer("=2C", "", "=3D", "").Replace(field)
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(field), ok && !strings.Contains(plain, "=")
}

// find notes the keys of both secrets of whoever goes by that name, and returns what the
// client needs to make its own.
func (x *Scram) find(user string) (salt []byte, iterations int, err *protocol.Error) {
	if err := x.r.complete(false); err != nil {
		return nil, 0, err
	}
	if x.r.source.TokensElsewhere() { // whoever asks, and whether or not the name is known
		_ = x.r.renewals.await(x.r.renew) // if that fails, what is known has to do
	}
	if salt = x.r.source.TokenSalt(user); salt == nil {
		return nil, 0, errScramNotYet
	}
	for i := range x.keys {
		x.keys[i] = protocol.ScramPair{Stored: make([]byte, x.hash.new().Size()), Server: make([]byte, x.hash.new().Size())}
		_, _ = rand.Read(x.keys[i].Stored) // never fails
	}
	iterations = scramIterations
	admin := x.r.adminScram.with(x.r.source.TokenSalt(AdminName)) // whoever asks, so that nobody can tell by the time
	m := x.r.known.Load().byName[user]
	if m == nil {
		return salt, iterations, nil
	}
	keys, before := admin, (*protocol.ScramKeys)(nil)
	if m.entry != nil {
		keys, before = m.entry.Scram, m.entry.PreviousScram
	}
	if keys != nil {
		x.keys[0], x.who[0] = *x.hash.pair(keys), m.who
		salt, iterations = keys.Salt, keys.Iterations
	}
	if before.SameSalt(keys) && m.previous != nil {
		x.keys[1], x.who[1] = *x.hash.pair(before), m.previous
	}
	return salt, iterations, nil
}

// last answers the message with the proof: c=BASE64 OF THE HEADER,r=NONCE[,...],p=PROOF.
//
// Older versions of librdkafka (2.0, not 2.15) put their own nonce before the nonce a
// second time. That takes nothing from what the nonce is for, and Kafka takes it, too.
func (x *Scram) last(message string) (answer []byte, who *protocol.Principal, err *protocol.Error) {
	at := strings.LastIndex(message, ",p=")
	if at < 0 {
		return nil, nil, errScramMessage
	}
	proof, bad := base64.StdEncoding.DecodeString(message[at+len(",p="):])
	fields := strings.SplitN(message[:at], ",", 3)
	if bad != nil || len(fields) < 2 || fields[0] != "c="+base64.StdEncoding.EncodeToString([]byte(x.header)) ||
		!strings.HasPrefix(fields[1], "r=") || !strings.HasSuffix(fields[1], x.nonce) {
		return nil, nil, errScramMessage
	}
	signed := x.bare + "," + x.said + "," + message[:at]
	for i, keys := range x.keys {
		signature := x.hash.mac(keys.Server, signed)
		if x.proves(keys.Stored, signed, proof) && x.who[i] != nil {
			answer, who = []byte("v="+base64.StdEncoding.EncodeToString(signature)), x.who[i]
		}
	}
	if who != nil && who.Over(x.r.clock()) { // changed meanwhile, or ended
		who = x.r.Successor(who)
	}
	if who == nil {
		return nil, nil, errScramUnknown
	}
	return answer, who, nil
}

// proves reports whether proof is the client's key, which the secret and nothing else
// gives, hidden by the signature that the stored key gives.
func (x *Scram) proves(stored []byte, signed string, proof []byte) bool {
	signature := x.hash.mac(stored, signed)
	if len(proof) != len(signature) {
		return false
	}
	for i := range signature {
		signature[i] ^= proof[i]
	}
	return hmac.Equal(x.hash.sum(signature), stored)
}
