package protocol

import (
	"encoding/base64"
	"strings"
	"time"
)

// Scheme is how the sender of a webhook signs what it sends.
type Scheme string

// The schemes.
const (
	SchemeStandard Scheme = "standard-webhooks" // webhook-id, webhook-timestamp, webhook-signature
	SchemeGitHub   Scheme = "github"            // X-Hub-Signature-256
	SchemeStripe   Scheme = "stripe"            // Stripe-Signature
	SchemeHMAC     Scheme = "hmac-sha256"       // of the body, in a header that has to be named
)

// Schemes are all schemes.
var Schemes = []Scheme{SchemeStandard, SchemeGitHub, SchemeStripe, SchemeHMAC}

// Secret is what a sender of webhooks and this server share. It prints as a
// placeholder, so that no log has it by accident; string(s) is the secret.
type Secret string

// String is not the secret.
func (Secret) String() string { return "left out" }

// GoString is not the secret either.
func (Secret) GoString() string { return "left out" }

// MarshalText makes JSON of the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MaxSecretBytes is the length of the longest secret.
const MaxSecretBytes = 512

// Key is the key of the HMAC. A secret of SchemeStandard is base64, with or without
// the prefix "whsec_"; the others are the key as they stand. ok is false if it is
// empty, longer than MaxSecretBytes, or no base64 where it must be.
func (s Secret) Key(scheme Scheme) (key []byte, ok bool) {
	if scheme != SchemeStandard {
		return []byte(s), len(s) > 0 && len(s) <= MaxSecretBytes
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(s), "whsec_"))
	return key, err == nil && len(key) > 0 && len(s) <= MaxSecretBytes
}

// SourceVerify says how what a source receives is verified.
type SourceVerify struct {
	Scheme Scheme `json:"scheme"`
	Header string `json:"header,omitempty"` // with the signature; empty: the one of the scheme
}

// SourceSpec describes a source of webhooks: where what it receives goes, and how
// it is verified. Names of headers are in lower case.
type SourceSpec struct {
	Name      string       `json:"name"`
	Topic     string       `json:"topic"`
	Cluster   string       `json:"cluster"`              // empty in a request: the one that has the topic, else the default cluster
	KeyHeader string       `json:"key_header,omitempty"` // whose value is the key of the record
	KeyJSON   string       `json:"key_json,omitempty"`   // JSON pointer (RFC 6901) to the key in the body
	IDHeader  string       `json:"id_header,omitempty"`  // whose value is the same when the sender tries again
	Keep      []string     `json:"keep"`                 // headers that become headers of the record
	Verify    SourceVerify `json:"verify"`
	Secret    Secret       `json:"-"`
}

// Source is a source as the broker keeps it. It is immutable: one that was changed is
// another.
type Source struct {
	SourceSpec
	CreatedAt time.Time `json:"created_at"`
}
