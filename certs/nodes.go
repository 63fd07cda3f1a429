package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// NodeFiles names the files of a node of a fleet, in PEM.
type NodeFiles struct {
	Cert string // the node's certificate, followed by those between it and the root
	Key  string // of that certificate, not encrypted
	CA   string // the fleet's authorities: one of them has signed the other nodes' certificates
}

// Nodes returns how to get the settings for both ends of a connection between
// nodes, as the files are now, as with Server. Either end must have a certificate of
// the fleet's authorities, for server or client use as it says. For which node it
// is, is for the caller to compare: a node knows the other one's name only when that
// one has said it. Errors: a file cannot be read, is not PEM, the key is not that of
// the certificate, or the authorities have not signed it.
func Nodes(f NodeFiles, log *slog.Logger) (func() *tls.Config, error) {
	return nodesAt(f, log, time.Now)
}

func nodesAt(f NodeFiles, log *slog.Logger, now func() time.Time) (func() *tls.Config, error) {
	w, err := watch([]string{f.Cert, f.Key, f.CA}, f.load, log, now)
	if err != nil {
		return nil, err
	}
	return w.current, nil
}

func (f NodeFiles) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	roots, err := readPool(f.CA)
	if err != nil {
		return nil, fmt.Errorf("authority of the fleet: %w", err)
	}
	chain := []*x509.Certificate{pair.Leaf}
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", f.Cert, err)
		}
		chain = append(chain, c)
	}
	if err := signedBy(roots, chain); err != nil {
		return nil, fmt.Errorf("certificate %s is not one of the fleet's authority %s: %w", f.Cert, f.CA, err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAnyClientCert,
		MinVersion:   tls.VersionTLS13,
		// The name is compared later; signedBy does the rest, for both ends.
		InsecureSkipVerify: true, // #nosec G402 -- see above
		VerifyConnection: func(s tls.ConnectionState) error {
			if err := signedBy(roots, s.PeerCertificates); err != nil {
				return fmt.Errorf("the other node's certificate is not one of the fleet's authority: %w", err)
			}
			return nil
		},
		SessionTicketsDisabled: true,
	}, nil
}

// signedBy holds a certificate, with those behind it, against the authorities.
func signedBy(roots *x509.CertPool, chain []*x509.Certificate) error {
	if len(chain) == 0 {
		return errors.New("the other side has no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return err
}

func readPool(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %w", file, errors.New("no certificate in PEM"))
	}
	return pool, nil
}
