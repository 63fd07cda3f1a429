package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"ottla/config"
	"ottla/link/linktest"
)

// fake is a front end and node that record the order of calls.
type fake struct {
	calls    chan string
	closed   chan struct{} // ends Serve
	hang     chan struct{} // when set, the node's Shutdown waits for it
	serveErr error
	stopErr  error
	failed   chan error
	cfg      *config.Config
	host     string
	port     int
}

func newFake() *fake { return &fake{calls: make(chan string, 10), closed: make(chan struct{})} }

func (f *fake) Serve(ln net.Listener) error {
	f.calls <- "serve"
	if f.serveErr != nil {
		return f.serveErr
	}
	<-f.closed
	return ln.Close()
}

func (f *fake) Shutdown(context.Context) error {
	f.calls <- "shutdown front end"
	if f.serveErr == nil {
		close(f.closed)
	}
	return nil
}

type fakeNode struct{ *fake }

func (f fakeNode) Failed() <-chan error { return f.failed }

func (f fakeNode) Shutdown(context.Context) error {
	f.calls <- "shutdown node"
	if f.hang != nil {
		<-f.hang
	}
	return f.stopErr
}

func (f *fake) open(_ context.Context, cfg *config.Config, _ *logs, _, host string, port int) (frontEnd, brokerNode, error) {
	f.cfg, f.host, f.port = cfg, host, port
	return f, fakeNode{f}, nil
}

// testProcess runs in an empty directory without an environment.
func testProcess(t *testing.T, f *fake) (p *process, stdout, stderr *bytes.Buffer, signals chan os.Signal) {
	t.Chdir(t.TempDir())
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	signals = make(chan os.Signal, 2)
	p = &process{
		stdout: stdout, stderr: stderr, signals: signals,
		lookupEnv: func(string) (string, bool) { return "", false },
	}
	if f != nil {
		p.open = f.open
	}
	return p, stdout, stderr, signals
}

func TestServeUntilSignal(t *testing.T) {
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"--listen", "127.0.0.1:0"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			f := newFake()
			p, stdout, _, signals := testProcess(t, f)
			go func() {
				assert.Equal(t, "serve", <-f.calls)
				signals <- syscall.SIGTERM
			}()
			assert.Equal(t, exitOK, run(p, args))
			assert.Equal(t, "shutdown front end", <-f.calls)
			assert.Equal(t, "shutdown node", <-f.calls)
			assert.Regexp(t, `^ottla \S+ listening on http://127\.0\.0\.1:[1-9]\d*, data in \./data\n$`, stdout.String())
			assert.Equal(t, "127.0.0.1", f.host)
			assert.NotZero(t, f.port)
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	f := newFake()
	f.hang = make(chan struct{})
	defer close(f.hang)
	p, _, stderr, signals := testProcess(t, f)
	signals <- syscall.SIGINT
	go func() {
		for call := range f.calls {
			if call == "shutdown node" {
				signals <- syscall.SIGINT
				return
			}
		}
	}()
	assert.Equal(t, exitFailed, run(p, []string{"serve", "--listen", "127.0.0.1:0"}))
	assert.Contains(t, stderr.String(), errSecondSignal.Error())
}

func TestFailuresExitOne(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	tests := []struct {
		name string
		edit func(f *fake, p *process)
		args []string
		want string
	}{
		{"port in use", func(*fake, *process) {}, []string{"--listen", taken.Addr().String()}, "address already in use; choose another address with --listen or OTTLA_LISTEN"},
		{"profiler's port in use", func(_ *fake, p *process) {
			p.lookupEnv = func(name string) (string, bool) { return taken.Addr().String(), name == "OTTLA_PPROF_LISTEN" }
		}, nil, "open profiler"},
		{"broker does not open", func(_ *fake, p *process) {
			p.open = func(context.Context, *config.Config, *logs, string, string, int) (frontEnd, brokerNode, error) {
				return nil, nil, errors.New("disk on fire")
			}
		}, nil, "start broker: disk on fire"},
		{"server fails", func(f *fake, _ *process) { f.serveErr = errors.New("no descriptors") }, nil, "serve: no descriptors"},
		{"node fails", func(f *fake, _ *process) {
			f.failed = make(chan error, 1)
			f.failed <- errors.New("the disk actor panicked")
		}, nil, "broker failed: the disk actor panicked"},
		{"node fails to stop", func(f *fake, p *process) {
			f.stopErr = errors.New("sync failed")
			signals := make(chan os.Signal, 1)
			signals <- syscall.SIGTERM
			p.signals = signals
		}, nil, "shut down: sync failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			p, _, stderr, _ := testProcess(t, f)
			tt.edit(f, p)
			assert.Equal(t, exitFailed, run(p, append([]string{"serve", "--listen", "127.0.0.1:0"}, tt.args...)))
			assert.Contains(t, stderr.String(), tt.want)
		})
	}
}

func TestShutdownTimeout(t *testing.T) {
	f := newFake()
	f.hang = make(chan struct{})
	defer close(f.hang)
	p, _, stderr, signals := testProcess(t, f)
	p.lookupEnv = func(name string) (string, bool) { return "1s", name == "OTTLA_SHUTDOWN_TIMEOUT" }
	signals <- syscall.SIGTERM
	assert.Equal(t, exitFailed, run(p, []string{"--listen", "127.0.0.1:0"}))
	assert.Contains(t, stderr.String(), "not complete within 1s")
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"unknown command", []string{"sreve"}, exitUsage, "", `unknown command "sreve"`},
		{"unknown flag", []string{"serve", "--nope"}, exitUsage, "", "unknown flag: --nope"},
		{"argument", []string{"serve", "x"}, exitUsage, "", `ottla serve takes no argument, got "x"`},
		{"flag without its value", []string{"--listen"}, exitUsage, "", "flag needs an argument: --listen"},
		{"version", []string{"version"}, exitOK, "ottla devel", ""},
		{"version flag", []string{"--version"}, exitOK, "ottla devel", ""},
		{"help", []string{"--help"}, exitOK, "Commands that talk to a server", ""},
		{"bad address", []string{"serve", "--listen", "nowhere"}, exitFailed, "", `listen: "nowhere" must be HOST:PORT`},
		{"missing file", []string{"serve", "--config", "none.yaml"}, exitFailed, "", "none.yaml"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, stdout, stderr, _ := testProcess(t, nil)
			assert.Equal(t, tt.code, run(p, tt.args))
			assert.Contains(t, stdout.String(), tt.stdout)
			assert.Contains(t, stderr.String(), tt.stderr)
		})
	}
}

func TestCheckPrintsWhatIsInForce(t *testing.T) {
	p, stdout, _, _ := testProcess(t, nil)
	p.lookupEnv = func(name string) (string, bool) {
		v, ok := map[string]string{"OTTLA_LISTEN": "127.0.0.1:1", "OTTLA_DATA_DIR": "from-env"}[name]
		return v, ok
	}
	require.NoError(t, os.WriteFile("config.yaml", []byte("listen: 127.0.0.1:2\nlimits: {max_records: 7}\npolls: {max_records: 5}\n"), 0o600))
	require.Equal(t, exitOK, run(p, []string{"serve", "--check", "--data-dir", "from-flag"}))
	got, err := config.Parse(stdout.Bytes())
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:1", got.Listen, "environment over file")
	assert.Equal(t, "from-flag", got.DataDir, "flag over environment")
	assert.Equal(t, 7, got.Limits.MaxRecords, "file over default")
	assert.Equal(t, config.Default().Limits.MaxBytes, got.Limits.MaxBytes)

	other := filepath.Join(t.TempDir(), "other.yaml")
	require.NoError(t, os.WriteFile(other, []byte("limits: {max_records: 0}\n"), 0o600))
	p, _, stderr, _ := testProcess(t, nil)
	require.Equal(t, exitFailed, run(p, []string{"serve", "--check", "--config", other}))
	assert.Contains(t, stderr.String(), `limits.max_records: "0" must be from 1 to 1000000`)
}

// Each flag of a fleet is above the environment, and what has no flag stays.
func TestFlagsOfAFleet(t *testing.T) {
	p, stdout, stderr, _ := testProcess(t, nil)
	p.lookupEnv = func(name string) (string, bool) {
		v, ok := map[string]string{
			"OTTLA_NODE_LINK": "127.0.0.1:1", "OTTLA_NODE_SEEDS": "127.0.0.1:1,127.0.0.1:2", "OTTLA_NODE_NAME": "env", "OTTLA_NODE_RACK": "r0",
			"OTTLA_KAFKA_LISTEN": "127.0.0.1:8",
		}[name]
		return v, ok
	}
	args := []string{
		"serve", "--check", "--link", "127.0.0.1:3", "--advertise-link", "h.example:4", "--seeds", "127.0.0.1:3,127.0.0.1:5", "--node-name", "flag",
		"--link-cert", "c.pem", "--link-key", "c.key", "--link-ca", "ca.pem", "--kafka", "127.0.0.1:9",
	}
	require.Equal(t, exitOK, run(p, args), stderr.String())
	got, err := config.Parse(stdout.Bytes())
	require.NoError(t, err)
	n := got.Node
	assert.Equal(t, []string{"127.0.0.1:3", "h.example:4", "flag", "r0"}, []string{n.Link, n.AdvertiseLink, n.Name, n.Rack})
	assert.Equal(t, []string{"c.pem", "c.key", "ca.pem"}, []string{n.LinkCert, n.LinkKey, n.LinkCA})
	assert.Equal(t, config.List{"127.0.0.1:3", "127.0.0.1:5"}, n.Seeds)
	assert.Equal(t, "127.0.0.1:9", got.Kafka.Listen)
	assert.False(t, n.LinkInsecure)

	stdout.Reset()
	require.Equal(t, exitOK, run(p, []string{"serve", "--check", "--link", "0.0.0.0:3", "--advertise-link", "h.example:4", "--link-insecure"}), stderr.String())
	got, err = config.Parse(stdout.Bytes())
	require.NoError(t, err)
	assert.True(t, got.Node.LinkInsecure)
	assert.Equal(t, exitFailed, run(p, []string{"serve", "--check", "--link", "nowhere"}))
	assert.Contains(t, stderr.String(), "node.link")
}

func TestAdvertisedHost(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	tests := []struct{ name, listen, advertised, want string }{
		{"host of listen", "127.0.0.1:0", "", "127.0.0.1"},
		{"all interfaces", ":0", "", "localhost"},
		{"set", ":0", "broker.example", "broker.example"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Listen, cfg.AdvertisedHost = tt.listen, tt.advertised
			host, port, err := advertised(cfg, ln)
			require.NoError(t, err)
			assert.Equal(t, tt.want, host)
			assert.Equal(t, ln.Addr().(*net.TCPAddr).Port, port)
		})
	}
}

func TestProfilerHasItsOwnAddress(t *testing.T) {
	addr := linktest.FreeAddress(t)
	stop, err := startPprof(addr, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	resp, err := http.Get("http://" + addr + "/debug/pprof/cmdline")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.NotEmpty(t, body)
	stop()
	_, err = http.Get("http://" + addr + "/debug/pprof/")
	assert.Error(t, err)
}
