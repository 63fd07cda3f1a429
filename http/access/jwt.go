package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"ottla/protocol"
)

// JWT says whose JSON web tokens are believed, and what they allow.
type JWT struct {
	Issuer   string // of the claim iss
	Audience string // in the claim aud
	// KeysFile and KeysURL are where the keys of the issuer are, as a JWKS; one of
	// them. A file is read again when it changes, a URL every hour and, not more often
	// than once a minute, when a token names a key that is not known.
	KeysFile, KeysURL string
	// Claim has what a token allows: grants as those of POST /tokens, or names of
	// tokens that POST /tokens has made, of which the first that exists counts. A dot
	// leads into an object.
	Claim string
}

// Bounds of what is read of a token.
const (
	maxClaimGrants = 100
	maxSubject     = 200
	clockSkew      = 30 * time.Second
	keysTimeout    = 5 * time.Second
	// refreshPatience is how long a token whose key is not known waits for its turn to
	// have the keys read again. The limiter refuses at once where it would be longer; a
	// busy machine needs some of it for a turn that is free.
	refreshPatience = 100 * time.Millisecond
)

// The algorithms of signatures that only the issuer can make. HMAC is not among
// them: who can verify one can also make it.
var jwtAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// verifier verifies JSON web tokens.
type verifier struct {
	JWT
	parser *jwt.Parser
	log    *slog.Logger
	now    func() time.Time
	fleet  func() time.Time // nil: now is the system's

	mu   sync.Mutex // held while keys are looked at
	keys keyfunc.Keyfunc
	read os.FileInfo // of the keys' file, as read last
}

func newVerifier(o JWT, log *slog.Logger, now func() time.Time) (*verifier, error) {
	v := &verifier{JWT: o, log: log, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods(jwtAlgorithms), jwt.WithIssuer(o.Issuer), jwt.WithAudience(o.Audience),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(clockSkew), jwt.WithJSONNumber(), jwt.WithTimeFunc(now),
	)}
	if o.KeysURL == "" {
		_, err := v.current()
		return v, err
	}
	var err error
	v.keys, err = keyfunc.NewDefaultOverrideCtx(context.Background(), []string{o.KeysURL}, keyfunc.Override{
		HTTPTimeout: keysTimeout, RefreshInterval: time.Hour,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(time.Minute), 1), RateLimitWaitMax: refreshPatience,
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				log.Error("the keys of auth.jwt.jwks_url cannot be read", "error", err)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("auth.jwt.jwks_url: %w", err)
	}
	return v, nil
}

// current are the keys, read again if their file has changed. A file that cannot be
// read leaves the old ones in force.
func (v *verifier) current() (keyfunc.Keyfunc, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.KeysURL != "" {
		return v.keys, nil
	}
	info, err := os.Stat(v.KeysFile)
	if err == nil && v.read != nil && info.ModTime().Equal(v.read.ModTime()) && info.Size() == v.read.Size() {
		return v.keys, nil
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(v.KeysFile)
	}
	var keys keyfunc.Keyfunc
	if err == nil {
		keys, err = keyfunc.NewJWKSetJSON(json.RawMessage(text))
	}
	switch {
	case err == nil:
		v.keys, v.read = keys, info
	case v.keys == nil:
		return nil, fmt.Errorf("auth.jwt.jwks_file: %w", err)
	default:
		v.read = info
		v.log.Error("auth.jwt.jwks_file cannot be read: the old keys stay in force", "error", err)
	}
	return v.keys, nil
}

// isJWT reports whether a token is a JSON web token: three parts between dots.
func isJWT(token string) bool {
	return strings.Count(token, ".") == 2 && strings.HasPrefix(token, "ey")
}

// verify returns who the token says its bearer is.
func (v *verifier) verify(token string, entries *table) (*protocol.Principal, *protocol.Error) {
	keys, err := v.current()
	if err != nil {
		return nil, unverified(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), keysTimeout)
	defer cancel()
	claims := jwt.MapClaims{}
	if _, err := v.parser.ParseWithClaims(token, claims, keys.KeyfuncCtx(ctx)); err != nil {
		return nil, unverified(err)
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return nil, unverified(jwt.ErrTokenRequiredClaimMissing)
	}
	subject, _ := claims.GetSubject()
	if len(subject) > maxSubject {
		return nil, protocol.Errorf(protocol.CodeUnauthorized, "the subject of the JSON web token has more than %d bytes", maxSubject)
	}
	return v.principal("jwt:"+subject, expires.Add(clockSkew), claims, entries)
}

// unverified is the error for a token that is not believed. It says why, without
// what was in the token.
func unverified(err error) *protocol.Error {
	why := "its signature or form is not valid"
	for _, known := range []struct {
		err error
		why string
	}{
		{jwt.ErrTokenExpired, "it has expired"},
		{jwt.ErrTokenNotValidYet, "it is not valid yet"},
		{jwt.ErrTokenUsedBeforeIssued, "it is not valid yet"},
		{jwt.ErrTokenInvalidIssuer, "its issuer is not auth.jwt.issuer"},
		{jwt.ErrTokenInvalidAudience, "its audience is not auth.jwt.audience"},
		{jwt.ErrTokenRequiredClaimMissing, "it lacks exp, iss or aud"},
		{keyfunc.ErrKeyfunc, "its key is none of the issuer's, or they cannot be read"},
	} {
		if errors.Is(err, known.err) {
			why = known.why
			break
		}
	}
	return protocol.Errorf(protocol.CodeUnauthorized, "the JSON web token is not valid: %s", why)
}

// principal makes a principal of what the claim allows.
func (v *verifier) principal(name string, expires time.Time, claims jwt.MapClaims, entries *table) (*protocol.Principal, *protocol.Error) {
	var said any = map[string]any(claims)
	for _, part := range strings.Split(v.Claim, ".") {
		object, _ := said.(map[string]any)
		said = object[part]
	}
	list, ok := said.([]any)
	if !ok {
		list = []any{said}
	}
	if len(list) > maxClaimGrants {
		return nil, protocol.Errorf(protocol.CodeUnauthorized, "the claim %s has more than %d elements", v.Claim, maxClaimGrants)
	}
	var grants []protocol.Grant
	for _, item := range list {
		if entry, ok := item.(string); ok {
			if m := entries.byName[entry]; m != nil && m.entry != nil && !m.who.Over(v.now()) {
				return m.who.As(name, expires).By(protocol.TokenHash{}), nil
			}
			continue
		}
		text, err := json.Marshal(item)
		var g protocol.Grant
		if err == nil {
			err = json.Unmarshal(text, &g)
		}
		if item == nil || err != nil || !g.Valid() {
			return nil, protocol.Errorf(protocol.CodeUnauthorized, "the claim %s of the JSON web token has neither grants nor names of tokens", v.Claim)
		}
		grants = append(grants, g)
	}
	if len(grants) == 0 {
		return nil, protocol.Errorf(protocol.CodeUnauthorized, "the claim %s of the JSON web token names no token that there is", v.Claim)
	}
	return protocol.NewPrincipal(name, grants, &expires).Timed(v.fleet), nil
}
