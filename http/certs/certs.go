// Package certs makes the TLS settings of a listener from files, and reads the
// files again when they change.
//
// Invariants:
//
//   - Files that cannot be used end the start. Later they are logged, once for each
//     change, and what was read before stays in force: a certificate that is being
//     replaced never ends the service.
//   - Looking for changes costs a handshake nothing but, once in checkEvery, the
//     stat of each file. Open connections keep what they were made with.
//   - Where clients must have certificates, no session is resumed: a ticket would
//     outlive the removal of the authority that vouched for its client.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// checkEvery is how often the files are looked at, at most.
const checkEvery = time.Second

// Files names the files of a listener, in PEM.
type Files struct {
	Cert     string // the server's certificate, followed by those between it and the root
	Key      string // of that certificate, not encrypted
	ClientCA string // roots of clients' certificates; empty: clients need none

	MinVersion uint16 // such as tls.VersionTLS12, which 0 stands for
}

// Server returns the settings of a listener for HTTP/1.1. They follow the files:
// a change is in force for new connections within checkEvery. Errors: a file
// cannot be read, is not PEM, or the key is not that of the certificate.
func Server(f Files, log *slog.Logger) (*tls.Config, error) {
	return serverAt(f, log, time.Now)
}

// serverAt is Server with a clock.
func serverAt(f Files, log *slog.Logger, now func() time.Time) (*tls.Config, error) {
	w := &watched{files: f, log: log, now: now, seen: f.stamps(), checked: now()}
	var err error
	if w.config, err = f.load(); err != nil {
		return nil, err
	}
	outer := w.config.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return w.current(), nil }
	return outer, nil
}

// watched is what was read last from some files.
type watched struct {
	files Files
	log   *slog.Logger
	now   func() time.Time

	mu      sync.Mutex
	config  *tls.Config
	seen    []stamp // when the files were read, or found unusable
	checked time.Time
}

// current is what the files say, or said when they could last be used.
func (w *watched) current() *tls.Config {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if now.Sub(w.checked) < checkEvery {
		return w.config
	}
	w.checked = now
	stamps := w.files.stamps()
	if slices.Equal(stamps, w.seen) {
		return w.config
	}
	w.seen = stamps
	config, err := w.files.load()
	if err != nil {
		w.log.Error("the changed TLS files cannot be used, the old certificate stays in force", "error", err)
		return w.config
	}
	w.config = config
	w.log.Info("the TLS files were read again", "cert", w.files.Cert)
	return w.config
}

// stamp tells whether a file is the same as before. Its zero value stands for a
// file that cannot be looked at.
type stamp struct{ modified, size int64 }

func (f Files) stamps() []stamp {
	stamps := make([]stamp, 3)
	for i, name := range []string{f.Cert, f.Key, f.ClientCA} {
		if fi, err := os.Stat(name); name != "" && err == nil {
			stamps[i] = stamp{fi.ModTime().UnixNano(), fi.Size()}
		}
	}
	return stamps
}

func (f Files) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   max(f.MinVersion, tls.VersionTLS12),
		NextProtos:   []string{"http/1.1"},
	}
	if f.ClientCA == "" {
		return config, nil
	}
	roots, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("certificates of clients: %w", err)
	}
	config.ClientCAs = x509.NewCertPool()
	if !config.ClientCAs.AppendCertsFromPEM(roots) {
		return nil, fmt.Errorf("certificates of clients: %s: %w", f.ClientCA, errors.New("no certificate in PEM"))
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.SessionTicketsDisabled = true
	return config, nil
}
