package certs

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/certs/certstest"
)

// shake does a handshake and returns the name in the server's certificate, and
// what the client reads.
func shake(t *testing.T, server, client *tls.Config) (name, protocol string, err error) {
	t.Helper()
	ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(c, "hello")
		_ = c.Close()
	}()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Minute}, "tcp", ln.Addr().String(), client)
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	state := c.ConnectionState()
	_, err = io.ReadAll(c) // a certificate of the client is refused only now
	return state.PeerCertificates[0].Subject.CommonName, state.NegotiatedProtocol, err
}

// server is Server with a clock that goes on by checkEvery each time it is asked.
func server(t *testing.T, f Files, log io.Writer) *tls.Config {
	t.Helper()
	now := time.Now()
	config, err := serverAt(f, slog.New(slog.NewTextHandler(log, nil)), func() time.Time {
		now = now.Add(checkEvery)
		return now
	})
	require.NoError(t, err)
	return config
}

func TestServer(t *testing.T) {
	ca := certstest.New(t)
	cert, key := ca.Issue("server")
	config, err := Server(Files{Cert: cert, Key: key}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	client := ca.Client("")
	client.NextProtos = []string{"h2", "http/1.1"}
	name, protocol, err := shake(t, config, client)
	require.NoError(t, err)
	assert.Equal(t, []string{"server", "http/1.1"}, []string{name, protocol})

	client = ca.Client("")
	client.MaxVersion = tls.VersionTLS11
	client.MinVersion = tls.VersionTLS10
	_, _, err = shake(t, config, client)
	assert.ErrorContains(t, err, "protocol version", "TLS 1.1 is refused")
	config, err = Server(Files{Cert: cert, Key: key, MinVersion: tls.VersionTLS13}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	client.MaxVersion = tls.VersionTLS12
	_, _, err = shake(t, config, client)
	assert.ErrorContains(t, err, "protocol version")
}

func TestClientCertificates(t *testing.T) {
	ca, other := certstest.New(t), certstest.New(t)
	cert, key := ca.Issue("server")
	config, err := Server(Files{Cert: cert, Key: key, ClientCA: ca.PEM}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, _, err = shake(t, config, ca.Client("alice"))
	require.NoError(t, err)
	_, _, err = shake(t, config, ca.Client(""))
	assert.ErrorContains(t, err, "certificate required")
	stranger := other.Client("mallory")
	stranger.RootCAs = ca.Client("").RootCAs
	_, _, err = shake(t, config, stranger)
	assert.Error(t, err)
}

// A removed authority is not served by a ticket that it once made possible.
func TestNoTicketOutlivesAnAuthority(t *testing.T) {
	ca, next := certstest.New(t), certstest.New(t)
	cert, key := ca.Issue("server")
	roots := t.TempDir() + "/clients.pem"
	copyFile(t, ca.PEM, roots)
	config := server(t, Files{Cert: cert, Key: key, ClientCA: roots}, io.Discard)
	client := ca.Client("alice")
	client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 2 {
		_, _, err := shake(t, config, client)
		require.NoError(t, err)
	}
	copyFile(t, next.PEM, roots)
	touch(t, roots)
	_, _, err := shake(t, config, client)
	assert.Error(t, err)
}

func TestFilesAreReadAgain(t *testing.T) {
	ca := certstest.New(t)
	cert, key := ca.Issue("server")
	newCert, newKey := ca.Issue("successor")
	var log bytes.Buffer
	config := server(t, Files{Cert: cert, Key: key}, &log)
	seen := func() string {
		t.Helper()
		name, _, err := shake(t, config, ca.Client(""))
		require.NoError(t, err)
		return name
	}
	require.Equal(t, "server", seen())

	copyFile(t, newCert, cert) // the key is still the old one
	touch(t, cert)
	require.Equal(t, "server", seen())
	require.Equal(t, "server", seen())
	assert.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())

	copyFile(t, newKey, key)
	touch(t, key)
	require.Equal(t, "successor", seen())
	require.NoError(t, os.Remove(cert))
	require.Equal(t, "successor", seen())
	assert.Equal(t, 2, strings.Count(log.String(), "level=ERROR"), log.String())
}

func TestUnusableFiles(t *testing.T) {
	ca := certstest.New(t)
	cert, key := ca.Issue("server")
	_, otherKey := ca.Issue("other")
	empty := t.TempDir() + "/empty"
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	for _, f := range []Files{
		{Cert: cert, Key: otherKey},
		{Cert: cert + "x", Key: key},
		{Cert: key, Key: key},
		{Cert: cert, Key: empty},
		{Cert: cert, Key: key, ClientCA: empty},
		{Cert: cert, Key: key, ClientCA: cert + "x"},
	} {
		_, err := Server(f, slog.New(slog.DiscardHandler))
		assert.Error(t, err, "%+v", f)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o600))
}

// touch makes sure that a file's time differs from before, however coarse the
// file system's clock is.
func touch(t *testing.T, file string) {
	t.Helper()
	fi, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(file, time.Time{}, fi.ModTime().Add(time.Second)))
}
