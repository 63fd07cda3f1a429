package link

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// secret is a node's certificate with the authority that has signed it.
type secret struct {
	config *tls.Config
	roots  *x509.CertPool
}

func loadSecret(f TLS) (*secret, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("authority of the fleet: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authority of the fleet: %s: no certificate in PEM", f.CA)
	}
	s := &secret{roots: roots}
	s.config = &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAnyClientCert,
		MinVersion:   tls.VersionTLS13,
		// Who is there is known by name only after the hello: certified compares.
		InsecureSkipVerify:     true,
		VerifyConnection:       s.verify,
		SessionTicketsDisabled: true,
	}
	return s, nil
}

// verify holds the other side's certificate against the fleet's authority.
func (s *secret) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the other side has no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
		Roots: s.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err
}

// secure does the TLS handshake, if there is to be one.
func (l *Links) secure(ctx context.Context, nc net.Conn, server bool) (net.Conn, *tls.ConnectionState, error) {
	if l.tls == nil {
		return nc, nil, nil
	}
	watched := &progress{Conn: nc, stall: l.cfg.Timings.WriteStall}
	var t *tls.Conn
	if server {
		t = tls.Server(watched, l.tls.config)
	} else {
		t = tls.Client(watched, l.tls.config)
	}
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	watched.on = true
	state := t.ConnectionState()
	return t, &state, nil
}

// progress is a connection whose writes fail when nothing goes on for some time.
// TLS stands on it, and cannot go on after a write that has failed.
type progress struct {
	net.Conn
	stall time.Duration
	on    bool // the deadlines of the handshakes are over
}

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	if !p.on {
		return p.Conn.Write(b)
	}
	written := 0
	for {
		if err := p.SetWriteDeadline(time.Now().Add(p.stall)); err != nil {
			return written, err
		}
		n, err := p.Conn.Write(b[written:])
		written += n
		var netErr net.Error
		if err == nil || n == 0 || !errors.As(err, &netErr) || !netErr.Timeout() {
			return written, err
		}
	}
}
