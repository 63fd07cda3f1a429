package http

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"ottla/protocol"
)

// signatureTolerance is how far the timestamp of a signature may be from now.
const signatureTolerance = 5 * time.Minute

// Headers of signatures.
const (
	standardID        = "webhook-id"
	standardTimestamp = "webhook-timestamp"
	standardSignature = "webhook-signature"
	githubSignature   = "x-hub-signature-256"
	stripeSignature   = "stripe-signature"
)

// verifySignature returns why what was sent is not signed as its source says; nil if it
// is. Header returns a header of the request. Signatures are compared in a time that
// does not depend on them.
func verifySignature(src *protocol.Source, header func(name string) (string, bool), body []byte, now time.Time) *protocol.Error {
	key, ok := src.Secret.Key(src.Verify.Scheme)
	if !ok {
		return unsigned("the source has no usable secret")
	}
	v := verifier{key: key, header: header, body: body, now: now, name: src.Verify.Header}
	switch src.Verify.Scheme {
	case protocol.SchemeStandard:
		return v.standard()
	case protocol.SchemeGitHub:
		return v.github()
	case protocol.SchemeStripe:
		return v.stripe()
	case protocol.SchemeHMAC:
		return v.plain()
	}
	return unsigned("this server does not know the scheme %.40q", src.Verify.Scheme)
}

func unsigned(format string, args ...any) *protocol.Error {
	return protocol.Errorf(protocol.CodeInvalidSignature, format, args...)
}

// verifier verifies one request.
type verifier struct {
	key    []byte
	header func(name string) (string, bool)
	body   []byte
	now    time.Time
	name   string // of the header that the source names; empty: none
}

// mac is the HMAC-SHA256 of prefix and the body.
func (v *verifier) mac(prefix string) []byte {
	h := hmac.New(sha256.New, v.key)
	_, _ = h.Write([]byte(prefix))
	_, _ = h.Write(v.body)
	return h.Sum(nil)
}

// signature is the header with the signature.
func (v *verifier) signature(name string) (string, *protocol.Error) {
	if v.name != "" {
		name = v.name
	}
	text, given := v.header(name)
	if !given {
		return "", unsigned("the header %s is missing", name)
	}
	return text, nil
}

// fresh checks a timestamp in seconds since 1970.
func (v *verifier) fresh(text, where string) *protocol.Error {
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return unsigned("%s has no timestamp in seconds", where)
	}
	if now := v.now.Unix(); at < now-int64(signatureTolerance/time.Second) || at > now+int64(signatureTolerance/time.Second) {
		return unsigned("the timestamp in %s is not within %d minutes of now", where, signatureTolerance/time.Minute)
	}
	return nil
}

// standard is the scheme of Standard Webhooks.
func (v *verifier) standard() *protocol.Error {
	id, given := v.header(standardID)
	if !given || id == "" {
		return unsigned("the header %s is missing", standardID)
	}
	at, given := v.header(standardTimestamp)
	if !given {
		return unsigned("the header %s is missing", standardTimestamp)
	}
	if err := v.fresh(at, standardTimestamp); err != nil {
		return err
	}
	text, err := v.signature(standardSignature)
	if err != nil {
		return err
	}
	want := v.mac(id + "." + at + ".")
	for one := range strings.FieldsSeq(text) {
		version, signature, _ := strings.Cut(strings.TrimSuffix(one, ","), ",")
		if got, err := base64.StdEncoding.DecodeString(signature); version == "v1" && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return unsigned("no signature in %s is the one of this request", standardSignature)
}

// github is the scheme of GitHub: sha256= and hexadecimal digits.
func (v *verifier) github() *protocol.Error {
	text, err := v.signature(githubSignature)
	if err != nil {
		return err
	}
	digits, found := strings.CutPrefix(text, "sha256=")
	if got, err := hex.DecodeString(digits); !found || err != nil || !hmac.Equal(got, v.mac("")) {
		return unsigned("the signature is not the one of this request")
	}
	return nil
}

// stripe is the scheme of Stripe: t=seconds,v1=hexadecimal digits, of which there may be
// several.
func (v *verifier) stripe() *protocol.Error {
	text, err := v.signature(stripeSignature)
	if err != nil {
		return err
	}
	at := ""
	var signatures []string
	for part := range strings.SplitSeq(text, ",") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "t":
			at = value
		case "v1":
			signatures = append(signatures, value)
		}
	}
	if err := v.fresh(at, "the signature"); err != nil {
		return err
	}
	want := v.mac(at + ".")
	for _, one := range signatures {
		if got, err := hex.DecodeString(one); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return unsigned("no signature v1 is the one of this request")
}

// plain is the HMAC of the body alone, in hexadecimal digits or base64, with or without
// sha256= before it.
func (v *verifier) plain() *protocol.Error {
	text, err := v.signature("")
	if err != nil {
		return err
	}
	text = strings.TrimPrefix(strings.TrimSpace(text), "sha256=")
	want := v.mac("")
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString,
		base64.URLEncoding.DecodeString, base64.RawURLEncoding.DecodeString,
	} {
		if got, err := decode(text); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return unsigned("the signature is not the one of this request")
}
