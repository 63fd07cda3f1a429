package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/certs/certstest"
)

// secured is a server that is started with the settings of the page on security
// for TLS, and a client of it with the given certificate, or none.
func secured(t *testing.T, ca *certstest.Authority, clientCA string) *server {
	t.Helper()
	cert, key := ca.Issue("server")
	settings := strings.NewReplacer("/etc/ottla/server.pem", cert, "/etc/ottla/server.key", key, "/etc/ottla/clients.pem", clientCA).
		Replace(blocks(t, "../docs/security.md", "yaml")[4])
	if clientCA == "" {
		settings = strings.ReplaceAll(settings, "client_ca:", "client_ca: \"\" #")
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(file, []byte(settings), 0o600))
	s := prepare(t)
	s.args = []string{"--config", file}
	s.launch()
	require.True(t, strings.HasPrefix(s.base, "https://"), s.base)
	return s
}

// over asks with settings of TLS.
func over(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}, Timeout: waitTimeout}
}

func (s *server) readyOver(c *http.Client) {
	s.t.Helper()
	s.eventually(startTimeout, "the server is ready", func() error {
		resp, err := c.Get(s.base + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 1 {
			return fmt.Errorf("%s %s", resp.Proto, resp.Status)
		}
		return nil
	})
}

// TestTLS has commands, a poll that waits, and a new certificate, over TLS.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	s := secured(t, ca, "")
	client := over(ca.Client(""))
	s.readyOver(client)

	assert.Equal(t, "1 records committed to clicks\n", strings.Replace(s.must("hello", "produce", "clicks", "--ca", ca.PEM), "record ", "records ", 1))
	assert.Contains(t, s.must("", "consume", "clicks", "--ca", ca.PEM), "hello")
	code, _, stderr := s.ottla("", "topic", "list")
	assert.NotZero(t, code)
	assert.Contains(t, stderr, "certificate", "the system does not know the authority")
	s.must("", "topic", "list", "--insecure")
	s.must("", "topic", "list", "--ca", ca.PEM, "--server", strings.TrimPrefix(s.base, "https://"))

	polled := make(chan string, 1)
	go func() {
		resp, err := client.Get(s.base + "/events?topic=clicks&group=g&timeout_ms=20000&from=latest")
		if err != nil {
			polled <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		polled <- string(body)
	}()
	s.eventually(waitTimeout, "a record reaches the poll", func() error {
		s.must("later", "produce", "clicks", "--ca", ca.PEM)
		select {
		case text := <-polled:
			polled <- text
			return nil
		case <-time.After(100 * time.Millisecond):
			return fmt.Errorf("it still waits")
		}
	})
	assert.Contains(t, <-polled, "later")

	plain, err := net.Dial("tcp", strings.TrimPrefix(s.base, "https://"))
	require.NoError(t, err)
	defer plain.Close()
	_, err = io.WriteString(plain, "GET /topics HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(plain), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
	assert.Contains(t, string(text), `"code":"malformed"`)

	serial := func() string {
		c, err := tls.Dial("tcp", strings.TrimPrefix(s.base, "https://"), ca.Client(""))
		require.NoError(t, err)
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	ca.Issue("server")
	s.eventually(waitTimeout, "the new certificate is in force", func() error {
		if serial() == before {
			return fmt.Errorf("still the old one")
		}
		return nil
	})
	s.readyOver(client)
	s.stop()
}

// TestClientCertificates lets in who has one, and nobody else.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, other := certstest.New(t), certstest.New(t)
	s := secured(t, ca, ca.PEM)
	s.readyOver(over(ca.Client("alice")))
	cert, key := ca.Issue("alice")
	for _, line := range strings.Split(blocks(t, "../docs/security.md", "console")[2], "\n") {
		command := strings.NewReplacer("https://ottla.example:8080", s.base, "alice.pem", cert, "alice.key", key, "ca.pem", ca.PEM).
			Replace(strings.TrimPrefix(line, "$ "))
		out, err := s.shell(command)
		assert.NoError(t, err, "%s: %s", line, out)
	}

	both := filepath.Join(t.TempDir(), "both.pem")
	text := append(read(t, cert), read(t, key)...)
	require.NoError(t, os.WriteFile(both, text, 0o600))
	s.must("hello", "produce", "clicks", "--key", "k", "--ca", ca.PEM, "--cert", both)

	_, err := over(ca.Client("")).Get(s.base + "/topics") //nolint:bodyclose // there is none
	assert.ErrorContains(t, err, "certificate required")
	stranger := other.Client("mallory")
	stranger.RootCAs = ca.Client("").RootCAs
	_, err = over(stranger).Get(s.base + "/topics") //nolint:bodyclose // there is none
	assert.Error(t, err)
	code, _, _ := s.ottla("", "topic", "list", "--ca", ca.PEM)
	assert.NotZero(t, code)
}

// TestReachableFromOtherMachines starts only when told so.
func TestReachableFromOtherMachines(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	code, _, stderr := s.ottla("", "serve", "--check", "--listen", "0.0.0.0:0")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "OTTLA_AUTH_INSECURE=true")
	s.env = []string{"OTTLA_AUTH_INSECURE=true"}
	s.args = []string{"--listen", "0.0.0.0:0"}
	s.launch()
	s.base = strings.Replace(s.base, "[::]", "127.0.0.1", 1)
	s.waitReady()
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return b
}

// A certificate is as good as the token whose name its subject has.
func TestCertificatesAsTokens(t *testing.T) {
	t.Parallel()
	ca := certstest.New(t)
	cert, key := ca.Issue("server")
	s := prepare(t, "OTTLA_TLS_CERT="+cert, "OTTLA_TLS_KEY="+key, "OTTLA_TLS_CLIENT_CA="+ca.PEM, "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+adminSecret)
	s.launch()
	ask := func(name, method, path, body string, headers ...string) *answer {
		t.Helper()
		req, err := http.NewRequest(method, s.base+path, strings.NewReader(body))
		require.NoError(t, err)
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := over(ca.Client(name)).Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return &answer{t, method + " " + path, resp.StatusCode, resp.Header, text}
	}
	s.readyOver(over(ca.Client("alice")))
	ask("alice", "POST", "/events", `{"topic":"a","value":1}`).wantError(401, "unauthorized")
	ask("alice", "POST", "/tokens", `{"name":"alice","allow":[{"do":["write"],"topics":"a"}]}`, admin...).want(201)
	ask("alice", "POST", "/events", `{"topic":"a","value":1}`).want(200)
	ask("alice", "POST", "/events", `{"topic":"b","value":1}`).wantError(403, "forbidden")
	ask("alice", "POST", "/events", `{"topic":"b","value":1}`, admin...).want(200) // a token that is shown counts
	ask("alice", "POST", "/events", `{"topic":"a","value":1}`, bearer("x")...).wantError(401, "unauthorized")
	ask("bob", "POST", "/events", `{"topic":"a","value":1}`).wantError(401, "unauthorized")
	ask("admin", "GET", "/topic", "").wantError(401, "unauthorized") // that name is not a certificate's to have
	pair, private := ca.Issue("alice")
	code, _, stderr := s.ottla("", "topic", "describe", "a", "--ca", ca.PEM, "--cert", pair, "--key", private)
	assert.NotZero(t, code)
	assert.Contains(t, stderr, `"alice" may not read topic "a"`)
	ask("alice", "DELETE", "/tokens/alice", "", admin...).want(204)
	ask("alice", "POST", "/events", `{"topic":"a","value":1}`).wantError(401, "unauthorized")
}
