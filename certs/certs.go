package certs

import (
	"crypto/tls"
	"fmt"
	"log/slog"
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
	w, err := watch([]string{f.Cert, f.Key, f.ClientCA}, f.load, log, now)
	if err != nil {
		return nil, err
	}
	outer := w.config.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return w.current(), nil }
	return outer, nil
}

func (f Files) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", f.Cert, f.Key, err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   max(f.MinVersion, tls.VersionTLS12), // #nosec G402 -- it does not see max
		NextProtos:   []string{"http/1.1"},
	}
	if f.ClientCA == "" {
		return config, nil
	}
	if config.ClientCAs, err = readPool(f.ClientCA); err != nil {
		return nil, fmt.Errorf("certificates of clients: %w", err)
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.SessionTicketsDisabled = true
	return config, nil
}
