package protocol

import (
	"bytes"
	"strings"
	"time"
)

// Right is a kind of thing that a token may do.
type Right uint8

// The rights. None of them contains another.
const (
	RightRead  Right = 1 << iota // read records; commit offsets of groups
	RightWrite                   // write records
	RightAdmin                   // create, change and delete
)

// rightNames are the rights as the API names them.
var rightNames = []struct {
	name  string
	right Right
}{{"read", RightRead}, {"write", RightWrite}, {"admin", RightAdmin}}

// String is the right's name, or the names of several.
func (r Right) String() string {
	var names []string
	for _, n := range rightNames {
		if r&n.right != 0 {
			names = append(names, n.name)
		}
	}
	return strings.Join(names, ", ")
}

// ParseRight is the right of a name.
func ParseRight(name string) (Right, bool) {
	for _, n := range rightNames {
		if n.name == name {
			return n.right, true
		}
	}
	return 0, false
}

// Grant lets a token do something. A pattern is a name, or a prefix followed by
// "*". What a pattern that is left out means: see NewPrincipal.
type Grant struct {
	Do      []string `json:"do"` // names of rights
	Cluster string   `json:"cluster,omitempty"`
	Topics  string   `json:"topics,omitempty"`
	Groups  string   `json:"groups,omitempty"`
}

// Valid reports whether the grant has rights, and patterns that are patterns.
func (g *Grant) Valid() bool {
	for _, name := range g.Do {
		if _, known := ParseRight(name); !known {
			return false
		}
	}
	for _, pattern := range []string{g.Cluster, g.Topics, g.Groups} {
		if pattern != "" && !ValidPattern(pattern) {
			return false
		}
	}
	return len(g.Do) > 0
}

// TokenSpec describes a token to create, or new settings of an existing one. Nil
// means "not sent".
type TokenSpec struct {
	Name      string
	Allow     []Grant
	ExpiresAt *time.Time // the zero time: never
	Quota     *TokenQuota
}

// TokenInfo describes a token, without what it is made of.
type TokenInfo struct {
	Name      string      `json:"name"`
	Allow     []Grant     `json:"allow"`
	ExpiresAt *time.Time  `json:"expires_at,omitempty"` // nil: never
	Quota     *TokenQuota `json:"quota,omitempty"`      // nil: no bounds
	CreatedAt time.Time   `json:"created_at"`
	// PreviousUntil is until when the secret is valid, or was, that the token had before it
	// was rotated; nil: it was not, or nothing else is valid any more.
	PreviousUntil *time.Time `json:"previous_until,omitempty"`
}

// Bounds of for how long a secret is valid after a rotation, in milliseconds.
const (
	DefaultOverlapMs = 24 * 60 * 60 * 1000
	MaxOverlapMs     = 30 * DefaultOverlapMs
)

// TokenHash is the SHA-256 of a token. That hash is fast, which is no weakness
// here: a token is 32 random bytes, which nobody finds by trying, however fast.
// Slow hashes are for what people make up.
type TokenHash [32]byte

// TokenSecret is what the broker keeps of a secret.
type TokenSecret struct {
	Hash  TokenHash
	Scram *ScramKeys // nil: none were made, and the secret cannot be shown by SCRAM
}

// Bounds of what a client has to compute for SCRAM, and of the salt, in bytes.
const (
	MinScramIterations = 4096
	MaxScramIterations = 1 << 20
	MaxScramSalt       = 64
)

// ScramKeys are by what a server knows, in SCRAM (RFC 5802), who has a secret, and shows
// that it knows the secret, too. The secret cannot be found from them. But whoever has them
// can pose as the server, and as the client, too, once he has seen it show the secret.
type ScramKeys struct {
	Salt           []byte
	Iterations     int
	SHA256, SHA512 ScramPair
}

// ScramPair are the keys of one mechanism, each as long as its hash.
type ScramPair struct{ Stored, Server []byte }

// String is none of the keys.
func (*ScramKeys) String() string { return Secret("").String() }

// GoString is none of them either.
func (k *ScramKeys) GoString() string { return k.String() }

// MarshalText makes JSON of the placeholder.
func (k *ScramKeys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// SameSalt reports whether the keys of two secrets were made with the same salt, so that
// either can be shown where nobody has said yet which one it is.
func (k *ScramKeys) SameSalt(other *ScramKeys) bool {
	return k != nil && other != nil && bytes.Equal(k.Salt, other.Salt) && k.Iterations == other.Iterations
}

// TokenEntry is a token as the broker keeps it. It is immutable: a token that was
// changed is another entry.
type TokenEntry struct {
	TokenInfo
	TokenSecret
	Previous      TokenHash  // valid until PreviousUntil
	PreviousScram *ScramKeys // of that secret, made with the salt of TokenSecret's; nil: none
}

// ValidPattern reports whether s is a pattern of names.
func ValidPattern(s string) bool {
	prefix, open := strings.CutSuffix(s, "*")
	if open {
		return prefix == "" || ValidName(prefix) || prefix == "." || prefix == ".."
	}
	return ValidName(s)
}

// matches reports whether name is one of the pattern's.
func matches(pattern, name string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}
