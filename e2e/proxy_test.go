package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/certs/certstest"
)

// freePort is a port of this machine that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(freeAddress(t))
	require.NoError(t, err)
	return port
}

// proxied runs the proxy of the page on security before a server that asks for
// tokens, and a client that asks it.
func proxied(t *testing.T, program, block string, command func(dir, config string) *exec.Cmd, settings func(text, port string) string) {
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed here", program)
	}
	s := guarded(t, "OTTLA_HTTP_HOSTS=localhost")
	ca := certstest.New(t)
	cert, key := ca.Issue("server")
	dir, port := t.TempDir(), freePort(t)
	both := filepath.Join(dir, "ottla.pem")
	require.NoError(t, os.WriteFile(both, slices.Concat(read(t, cert), read(t, key)), 0o600))
	text := strings.NewReplacer("/etc/ottla/ottla.pem", both, "/etc/ottla/server.pem", cert, "/etc/ottla/server.key", key, "127.0.0.1:8080", strings.TrimPrefix(s.base, "http://")).
		Replace(blocks(t, "../docs/security.md", block)[0])
	config := filepath.Join(dir, "config")
	require.NoError(t, os.WriteFile(config, []byte(settings(text, port)), 0o600))
	cmd := command(dir, config)
	var out safeBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.tail(4000))
		}
	})
	client := over(ca.Client(""))
	base := "https://localhost:" + port
	ask := func(method, path, body string, headers ...string) (*http.Response, error) {
		req, err := http.NewRequest(method, base+path, strings.NewReader(body))
		require.NoError(t, err)
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		return client.Do(req)
	}
	s.eventually(waitTimeout, program+" answers", func() error {
		resp, err := ask("GET", "/readyz", "")
		if err == nil {
			defer resp.Body.Close()
			if resp.StatusCode != 200 {
				err = fmt.Errorf("%s", resp.Status)
			}
		}
		return err
	})
	status := func(method, path, body string, headers ...string) int {
		resp, err := ask(method, path, body, headers...)
		require.NoError(t, err)
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		return resp.StatusCode
	}
	assert.Equal(t, 401, status("POST", "/events", `{"topic":"a","value":1}`))
	assert.Equal(t, 200, status("POST", "/events", `{"topic":"a","value":1}`, admin...))
	assert.Equal(t, 200, status("POST", "/events", `{"topic":"a","value":"`+strings.Repeat("x", 900_000)+`"}`, admin...))
	large := `{"value":"` + strings.Repeat("x", 900_000) + `"}`
	assert.Equal(t, 200, status("POST", "/events", `{"topic":"a","records":[`+strings.Join([]string{large, large, large, large}, ",")+`]}`, admin...),
		"more than the megabyte that proxies take by themselves")
	assert.Equal(t, 403, status("POST", "/events", `{"topic":"a","value":1}`, append([]string{"Origin", "https://evil.example"}, admin...)...))

	// A record comes through an open stream while the stream goes on.
	resp, err := ask("GET", "/topic/a/stream?from=latest", "", append([]string{"Accept", "text/event-stream"}, admin...)...)
	require.NoError(t, err)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	require.True(t, lines.Scan(), "the first comment comes at once")
	assert.Equal(t, 200, status("POST", "/events", `{"topic":"a","value":"later"}`, admin...))
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"later"`) {
			return
		}
	}
	t.Error("the stream ended without the record")
}

func TestBehindNginx(t *testing.T) {
	t.Parallel()
	proxied(t, "nginx", "nginx", func(dir, config string) *exec.Cmd {
		return exec.Command("nginx", "-p", dir, "-c", config, "-e", "stderr")
	}, func(text, port string) string {
		text = strings.NewReplacer("listen 443 ssl", "listen 127.0.0.1:"+port+" ssl", "ottla.example", "localhost").Replace(text)
		return "daemon off; master_process off; pid nginx.pid; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n" +
			"client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n" + text + "}\n"
	})
}

func TestBehindHAProxy(t *testing.T) {
	t.Parallel()
	proxied(t, "haproxy", "haproxy", func(_, config string) *exec.Cmd {
		return exec.Command("haproxy", "-db", "-f", config)
	}, func(text, port string) string { return strings.ReplaceAll(text, "bind :443", "bind 127.0.0.1:"+port) })
}

func TestBehindCaddy(t *testing.T) {
	t.Parallel()
	proxied(t, "caddy", "caddyfile", func(dir, config string) *exec.Cmd {
		cmd := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", config)
		cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		return cmd
	}, func(text, port string) string {
		return "{\n\tadmin off\n\tauto_https off\n\tskip_install_trust\n}\n" + strings.ReplaceAll(text, "ottla.example {", "https://localhost:"+port+" {\n\tbind 127.0.0.1")
	})
}

// The settings for systemd are those that the server has.
func TestCredentialsOfSystemd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "admin-token"), []byte(adminSecret), 0o400))
	var env []string
	for line := range strings.Lines(blocks(t, "../docs/security.md", "ini")[0]) {
		if setting, found := strings.CutPrefix(strings.TrimSpace(line), "Environment="); found {
			env = append(env, strings.ReplaceAll(setting, "%d", dir))
		}
	}
	require.Len(t, env, 2)
	s := start(t, env...)
	s.get("/topic").wantError(401, "unauthorized")
	s.get("/topic", admin...).want(200)
}
