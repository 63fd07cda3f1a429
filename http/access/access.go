package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"ottla/protocol"
)

// AdminName is the name of the principal of the first token, which configuration
// gives. No other token may have it.
const AdminName = "admin"

// tokenPrefix begins every token, so that tools that look for secrets in files
// recognize it.
const tokenPrefix = "ottla_"

// NewToken makes a token of 32 random bytes, and what the broker keeps of it: its hash and,
// with a salt, the keys for SCRAM, which take some milliseconds.
func NewToken(salt []byte) (token string, secret protocol.TokenSecret) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("BUG: no randomness: " + err.Error())
	}
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	secret.Hash = sha256.Sum256([]byte(token))
	if salt != nil {
		secret.Scram = scramKeys(token, salt)
	}
	return token, secret
}

// Source keeps the tokens.
type Source interface {
	// Tokens are all tokens. Errors: they cannot be read yet, or not any more.
	Tokens() ([]*protocol.TokenEntry, *protocol.Error)
	// OnTokens sets the function that is called when others may be read than before.
	OnTokens(f func())
	// TokenSalt is the salt with which the keys for SCRAM are made of whatever goes by that
	// name, a token or not; nil: there are no such keys yet.
	TokenSalt(name string) []byte
	// TokensElsewhere reports whether other processes make tokens, too; RenewTokens waits
	// until all are known here that existed when it was called. Errors: there is nobody to
	// ask.
	TokensElsewhere() bool
	RenewTokens() *protocol.Error
	// Nudge has reads that wait look whether their principal has ended.
	Nudge()
}

// Registry finds principals. Its methods may be called from any goroutine.
type Registry struct {
	source Source
	admin  *protocol.Principal
	clock  func() time.Time
	fleet  func() time.Time // nil: clock is the system's

	adminHash  protocol.TokenHash
	adminScram adminKeys

	jwts  *verifier // nil: no JSON web token is valid
	known atomic.Pointer[table]
	ready atomic.Bool // known has all tokens that there are; the source tells of others

	mu sync.Mutex // held while known is replaced

	renewals renewals
}

// table is the tokens at one time. It is never changed.
type table struct {
	byHash map[protocol.TokenHash]*protocol.Principal
	byName map[string]*member
}

// member is a token with its principal.
type member struct {
	entry    *protocol.TokenEntry
	who      *protocol.Principal
	previous *protocol.Principal // known by the secret before, as long as that is valid; nil: there is none
	timers   []*time.Timer       // of when the token, and the secret before, expire
}

// Options say who may ask besides those whose tokens the Source keeps.
type Options struct {
	AdminToken string       // may do everything; empty: there is none
	JWT        *JWT         // nil: no JSON web token is valid
	Logger     *slog.Logger // must be set with JWT

	Now func() time.Time // by which tokens expire; nil: time.Now
}

// New returns a registry of the tokens of source. Error: the keys of JSON web tokens
// cannot be read.
func New(source Source, o Options) (*Registry, error) {
	fleet := o.Now
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &Registry{source: source, clock: o.Now, fleet: fleet}
	if o.JWT != nil {
		var err error
		if r.jwts, err = newVerifier(*o.JWT, o.Logger, o.Now); err != nil {
			return nil, err
		}
		r.jwts.fleet = fleet
	}
	adminToken := o.AdminToken
	none := &table{byHash: map[protocol.TokenHash]*protocol.Principal{}, byName: map[string]*member{}}
	if adminToken != "" {
		r.adminHash = sha256.Sum256([]byte(adminToken))
		r.adminScram.token = adminToken
		r.admin = protocol.NewPrincipal(AdminName, []protocol.Grant{{Do: []string{"read", "write", "admin"}}}, nil)
		none.byHash[r.adminHash], none.byName[AdminName] = r.admin, &member{who: r.admin}
	}
	r.known.Store(none)
	source.OnTokens(func() { _ = r.refresh() })
	_ = r.refresh() // what it fails with comes again when a token is asked for
	return r, nil
}

// Token finds the principal of a token. Errors: unauthorized; those of the source,
// while it cannot say that there is no such token.
func (r *Registry) Token(token []byte) (*protocol.Principal, *protocol.Error) {
	hash := protocol.TokenHash(sha256.Sum256(token))
	who := r.known.Load().byHash[hash]
	if who == nil {
		jwt := r.jwts != nil && isJWT(string(token))
		if err := r.complete(!jwt); err != nil {
			return nil, err
		}
		if who = r.known.Load().byHash[hash]; who == nil && jwt {
			return r.jwts.verify(string(token), r.known.Load())
		}
	}
	if who == nil || who.Over(r.clock()) {
		return nil, errUnknown
	}
	return who, nil
}

// errUnknown does not tell a token that never was from one that is no more.
var errUnknown = protocol.Errorf(protocol.CodeUnauthorized, "the token is not valid: it is unknown or has expired")

// Successor finds the principal that has taken the place of who; nil if there is
// none.
func (r *Registry) Successor(who *protocol.Principal) *protocol.Principal {
	now := r.clock()
	m := r.known.Load().byName[who.Entry()]
	if m == nil || m.who.Over(now) || who.Expired(now) {
		return nil
	}
	switch who.Secret() {
	case protocol.TokenHash{}: // a certificate, a JSON web token, the administrator
		if who.Expires().IsZero() {
			return m.who
		}
		return m.who.As(who.Name(), who.Expires()).By(protocol.TokenHash{})
	case m.who.Secret():
		return m.who
	}
	if m.previous == nil || m.previous.Secret() != who.Secret() || m.previous.Over(now) {
		return nil
	}
	return m.previous
}

// Certificate finds the principal of a client's certificate, which has been verified:
// its subject's common name is that of a token, whose rights it has. Errors: as
// Token.
func (r *Registry) Certificate(cert *x509.Certificate) (*protocol.Principal, *protocol.Error) {
	m := r.known.Load().byName[cert.Subject.CommonName]
	if m == nil {
		if err := r.complete(true); err != nil {
			return nil, err
		}
		m = r.known.Load().byName[cert.Subject.CommonName]
	}
	now := r.clock()
	if m == nil || m.entry == nil || m.who.Over(now) || now.After(cert.NotAfter) {
		return nil, protocol.Errorf(protocol.CodeUnauthorized, "the subject of the certificate, %.220q, is not the name of a token", cert.Subject.CommonName)
	}
	return m.who.As(m.who.Name(), cert.NotAfter).By(protocol.TokenHash{}), nil
}

// complete returns an error while it cannot be said that there are no other tokens. With
// others, tokens that were just made at another node are among those that are known then.
// It costs next to nothing otherwise: whoever tries tokens must not keep the server busy.
func (r *Registry) complete(others bool) *protocol.Error {
	if !r.ready.Load() {
		if err := r.refresh(); err != nil {
			return err
		}
	}
	if !others || !r.source.TokensElsewhere() {
		return nil
	}
	return r.renewals.await(r.renew)
}

// renew learns of the tokens that other nodes have made until now.
func (r *Registry) renew() *protocol.Error {
	if err := r.source.RenewTokens(); err != nil {
		return err
	}
	return r.refresh()
}

// refresh reads the tokens anew. Principals of tokens that are as they were go on;
// the others end.
func (r *Registry) refresh() *protocol.Error {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries, err := r.source.Tokens()
	if err != nil {
		r.ready.Store(false)
		return err
	}
	before := r.known.Load()
	now := &table{byHash: make(map[protocol.TokenHash]*protocol.Principal, len(entries)+1), byName: make(map[string]*member, len(entries)+1)}
	if r.admin != nil {
		now.byHash[r.adminHash], now.byName[AdminName] = r.admin, before.byName[AdminName]
	}
	changed := false
	for _, e := range entries {
		m := before.byName[e.Name]
		if m == nil || m.entry != e && !reflect.DeepEqual(m.entry, e) {
			if m != nil && m.entry == nil {
				continue // the administrator's name was given to a token before there was an administrator
			}
			m, changed = r.newMember(e, m), true
		}
		now.byHash[e.Hash], now.byName[e.Name] = m.who, m
		if m.previous != nil {
			now.byHash[e.Previous] = m.previous
		}
	}
	r.known.Store(now)
	r.ready.Store(true)
	for name, m := range before.byName {
		if now.byName[name] != m {
			m.end()
			changed = true
		}
	}
	if changed {
		r.source.Nudge()
	}
	return nil
}

// newMember makes a member, which takes over what the one before it has used, if there
// was one.
func (r *Registry) newMember(e *protocol.TokenEntry, before *member) *member {
	m := &member{entry: e, who: protocol.NewPrincipal(e.Name, e.Allow, e.ExpiresAt).Timed(r.fleet).By(e.Hash)}
	var usage *protocol.Usage
	if before != nil {
		usage = before.who.Usage()
	}
	switch {
	case e.Quota != nil && usage == nil:
		usage = protocol.NewUsage(*e.Quota)
	case e.Quota != nil:
		usage.SetQuota(*e.Quota)
	case usage != nil:
		usage.SetQuota(protocol.TokenQuota{})
	}
	m.who.WithUsage(usage)
	if e.ExpiresAt != nil {
		m.timers = append(m.timers, r.at(*e.ExpiresAt, m.who.End))
	}
	if e.PreviousUntil != nil && r.clock().Before(*e.PreviousUntil) {
		m.previous = m.who.As(e.Name, *e.PreviousUntil).By(e.Previous)
		m.timers = append(m.timers, r.at(*e.PreviousUntil, func() {}))
	}
	return m
}

// at calls do once it is that late, and has the tokens looked at again. The clock may be
// corrected meanwhile: of a node that has just started no other clock was heard yet.
func (r *Registry) at(when time.Time, do func()) *time.Timer {
	var t *time.Timer
	started := make(chan struct{})
	t = time.AfterFunc(when.Sub(r.clock()), func() {
		<-started
		if left := when.Sub(r.clock()); left > 0 {
			t.Reset(left)
			return
		}
		do()
		r.source.Nudge()
	})
	close(started)
	return t
}

func (m *member) end() {
	for _, timer := range m.timers {
		timer.Stop()
	}
	m.who.End()
}
