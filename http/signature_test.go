package http

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/protocol"
)

// hmacOf is what a sender computes.
func hmacOf(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// signedRequest is one row of the tests of signatures.
type signedRequest struct {
	scheme  protocol.Scheme
	header  string // of the source
	secret  string
	now     int64 // seconds since 1970
	body    string
	headers map[string]string // in lower case
	valid   bool
}

func (r *signedRequest) verify() *protocol.Error {
	src := &protocol.Source{SourceSpec: protocol.SourceSpec{
		Verify: protocol.SourceVerify{Scheme: r.scheme, Header: r.header}, Secret: protocol.Secret(r.secret),
	}}
	return verifySignature(src, func(name string) (string, bool) {
		text, given := r.headers[name]
		return text, given
	}, []byte(r.body), time.Unix(r.now, 0))
}

// The examples that the senders publish are valid, and nothing else is.
func TestPublishedSignatures(t *testing.T) {
	standard := func(change func(r *signedRequest)) signedRequest {
		r := signedRequest{
			scheme: protocol.SchemeStandard, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", now: 1614265330, body: `{"test": 2432232314}`,
			headers: map[string]string{
				"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
				"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
			},
		}
		change(&r)
		return r
	}
	github := func(change func(r *signedRequest)) signedRequest {
		r := signedRequest{
			scheme: protocol.SchemeGitHub, secret: "It's a Secret to Everybody", body: "Hello, World!",
			headers: map[string]string{"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
		}
		change(&r)
		return r
	}
	const first = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	for name, r := range map[string]signedRequest{
		"standard":                    standard(func(r *signedRequest) { r.valid = true }),
		"standard, without whsec":     standard(func(r *signedRequest) { r.secret, r.valid = r.secret[len("whsec_"):], true }),
		"standard, at the latest":     standard(func(r *signedRequest) { r.now, r.valid = r.now+300, true }),
		"standard, a fast clock":      standard(func(r *signedRequest) { r.now, r.valid = r.now-300, true }),
		"standard, too late":          standard(func(r *signedRequest) { r.now += 301 }),
		"standard, too early":         standard(func(r *signedRequest) { r.now -= 301 }),
		"standard, one of several":    standard(func(r *signedRequest) { r.headers["webhook-signature"], r.valid = "v1,AAAA v1a,BBBB "+first, true }),
		"standard, two headers":       standard(func(r *signedRequest) { r.headers["webhook-signature"], r.valid = first+", v1,AAAA", true }),
		"standard, another version":   standard(func(r *signedRequest) { r.headers["webhook-signature"] = "v1a" + first[2:] }),
		"standard, no version":        standard(func(r *signedRequest) { r.headers["webhook-signature"] = first[3:] }),
		"standard, part of it":        standard(func(r *signedRequest) { r.headers["webhook-signature"] = "v1,g0hM" }),
		"standard, empty":             standard(func(r *signedRequest) { r.headers["webhook-signature"] = "v1," }),
		"standard, another id":        standard(func(r *signedRequest) { r.headers["webhook-id"] = "msg_2" }),
		"standard, no id":             standard(func(r *signedRequest) { delete(r.headers, "webhook-id") }),
		"standard, no timestamp":      standard(func(r *signedRequest) { delete(r.headers, "webhook-timestamp") }),
		"standard, another timestamp": standard(func(r *signedRequest) { r.headers["webhook-timestamp"] = "1614265331" }),
		"standard, a word as time":    standard(func(r *signedRequest) { r.headers["webhook-timestamp"] = "now" }),
		"standard, no signature":      standard(func(r *signedRequest) { delete(r.headers, "webhook-signature") }),
		"standard, another body":      standard(func(r *signedRequest) { r.body += " " }),
		"standard, another secret":    standard(func(r *signedRequest) { r.secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx" }),
		"standard, no secret":         standard(func(r *signedRequest) { r.secret = "" }),
		"github":                      github(func(r *signedRequest) { r.valid = true }),
		"github, capitals": github(func(r *signedRequest) {
			r.headers["x-hub-signature-256"] = "sha256=" + strings.ToUpper(r.headers["x-hub-signature-256"][7:])
			r.valid = true
		}),
		"github, a proxy's header": github(func(r *signedRequest) {
			r.header, r.valid = "x-signature", true
			r.headers["x-signature"] = r.headers["x-hub-signature-256"]
			delete(r.headers, "x-hub-signature-256")
		}),
		"github, another body": github(func(r *signedRequest) { r.body = "Hello, World?" }),
		"github, no prefix":    github(func(r *signedRequest) { r.headers["x-hub-signature-256"] = r.headers["x-hub-signature-256"][7:] }),
		"github, no signature": github(func(r *signedRequest) { r.headers = nil }),
		"github, SHA-1":        github(func(r *signedRequest) { r.headers["x-hub-signature-256"] = "sha1=757107ea0eb2509f" }),
		"an unknown scheme":    github(func(r *signedRequest) { r.scheme = "none" }),
	} {
		err := r.verify()
		assert.Equal(t, r.valid, err == nil, "%s: %v", name, err)
		if err != nil {
			assert.Equal(t, protocol.CodeInvalidSignature, err.Code, name)
		}
	}
}

func TestStripeSignatures(t *testing.T) {
	const secret, body, now = "whsec_5f2b", `{"id":"evt_1"}`, int64(1795367763)
	at := strconv.FormatInt(now, 10)
	good := hex.EncodeToString(hmacOf(secret, at+"."+body))
	for text, valid := range map[string]bool{
		"t=" + at + ",v1=" + good:                  true,
		"t=" + at + ",v1=00,v1=" + good + ",v0=6f": true,
		"v1=" + good + ", t=" + at:                 true,
		"t=" + at + ",v0=" + good:                  false,
		"t=" + at:                                  false,
		"v1=" + good:                               false,
		"t=" + strconv.FormatInt(now-301, 10) + ",v1=" + good: false,
		"t=" + at + ",v1=": false,
		"":                 false,
		"t=" + strconv.FormatInt(now-301, 10) + ",v1=" + hex.EncodeToString(hmacOf(secret, strconv.FormatInt(now-301, 10)+"."+body)): false,
	} {
		r := signedRequest{scheme: protocol.SchemeStripe, secret: secret, now: now, body: body, headers: map[string]string{"stripe-signature": text}}
		err := r.verify()
		assert.Equal(t, valid, err == nil, "%s: %v", text, err)
	}
}

func TestPlainSignatures(t *testing.T) {
	const secret, body = "s", "a\xff"
	mac := hmacOf(secret, body)
	for text, valid := range map[string]bool{
		hex.EncodeToString(mac):                   true,
		"sha256=" + hex.EncodeToString(mac):       true,
		base64.StdEncoding.EncodeToString(mac):    true,
		base64.RawURLEncoding.EncodeToString(mac): true,
		hex.EncodeToString(mac)[:62]:              false,
		hex.EncodeToString(hmacOf("t", body)):     false,
		"":                                        false,
	} {
		r := signedRequest{scheme: protocol.SchemeHMAC, header: "x-signature", secret: secret, body: body, headers: map[string]string{"x-signature": text}}
		err := r.verify()
		require.Equal(t, valid, err == nil, "%s: %v", text, err)
	}
}
