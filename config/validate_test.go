package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValidateNamesKeyValueAndRule(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Config)
		want string
	}{
		{
			"listen without a port", func(c *Config) { c.Listen = "localhost" },
			`listen: "localhost" must be HOST:PORT with a port from 0 to 65535`,
		},
		{
			"listen with a port out of range", func(c *Config) { c.Listen = "127.0.0.1:65536" },
			`listen: "127.0.0.1:65536" must be HOST:PORT with a port from 0 to 65535`,
		},
		{
			"certificate without a key", func(c *Config) { c.TLS.Cert = "server.pem" },
			`tls.key: "" must be set if and only if tls.cert is`,
		},
		{
			"clients' certificates without the server's", func(c *Config) { c.TLS.ClientCA = "clients.pem" },
			`tls.client_ca: "clients.pem" needs tls.cert and tls.key`,
		},
		{
			"how a level is raised", func(c *Config) { c.Node.Finalize = "never" },
			`node.finalize: "never" must be one of ["auto" "manual"]`,
		},
		{
			"version of TLS", func(c *Config) { c.TLS.MinVersion = "1.1" },
			`tls.min_version: "1.1" must be one of ["1.2" "1.3"]`,
		},
		{"mode of access", func(c *Config) { c.Auth.Mode = "on" }, `auth.mode: "on" must be one of ["off" "token"]`},
		{
			"a token that nobody is asked for", func(c *Config) { c.Auth.AdminTokenFile = "admin" },
			`auth.admin_token_file: "admin" needs auth.mode: token`,
		},
		{"number of tokens", func(c *Config) { c.Limits.Tokens = 0 }, `limits.tokens: "0" must be from 1 to 100000`},
		{
			"pprof address", func(c *Config) { c.PprofListen = "on" },
			`pprof_listen: "on" must be HOST:PORT with a port from 0 to 65535`,
		},
		{
			"advertised host with a port", func(c *Config) { c.AdvertisedHost = "a:1" },
			`advertised_host: "a:1" must be a host name or address without a port`,
		},
		{"data directory empty", func(c *Config) { c.DataDir = "" }, `data_dir: "" must not be empty`},
		{
			"cluster name", func(c *Config) { c.DefaultCluster = ".." },
			`default_cluster: ".." must be empty or 1 to 200 of A-Z a-z 0-9 . _ - and neither . nor ..`,
		},
		{"request timeout", func(c *Config) { c.RequestTimeout = 0 }, `request_timeout: "0s" must be from 100ms to 5m`},
		{
			"log level", func(c *Config) { c.Log.Level = "loud" },
			`log.level: "loud" must be one of ["debug" "info" "warn" "error"]`,
		},
		{
			"level of a package", func(c *Config) { c.Log.Levels = Levels{"http": "loud"} },
			`log.levels.http: "loud" must be one of ["debug" "info" "warn" "error"]`,
		},
		{
			"level of no package", func(c *Config) { c.Log.Levels = Levels{"console": "warn"} },
			`log.levels: "console" must be one of ["actors" "cli" "http" "kafka" "webhook"]`,
		},
		{
			"no target of webhooks", func(c *Config) { c.Webhooks.Allow = List{"10.0.0.0/8", "*.lan", "::1", "http://x"} },
			`webhooks.allow: "http://x" must be an address, a network such as 10.0.0.0/8, a host name, or "*." and a domain`,
		},
		{
			"log format", func(c *Config) { c.Log.Format = "xml" },
			`log.format: "xml" must be one of ["auto" "text" "json"]`,
		},
		{
			"profiler for everybody", func(c *Config) { c.PprofListen = "0.0.0.0:6060" },
			`pprof_listen: "0.0.0.0:6060" must be a loopback address: the profiler shows memory`,
		},
		{
			"profiler on every address", func(c *Config) { c.PprofListen = ":6060" },
			`pprof_listen: ":6060" must be a loopback address: the profiler shows memory`,
		},
		{
			"profiler on a name", func(c *Config) { c.PprofListen = "example.org:6060" },
			`pprof_listen: "example.org:6060" must be a loopback address: the profiler shows memory`,
		},
		{
			"record larger than a body", func(c *Config) { c.Limits.RecordBytes = 17 * MiB },
			`limits.record_bytes: "17MiB" must be from 1 to 16MiB`,
		},
		{
			"responses of a client, too few", func(c *Config) { c.Limits.ClientBytes = 1 * KiB },
			`limits.client_response_bytes: "1KiB" must be 0 or from 1MiB to 1024GiB`,
		},
		{
			"in-flight bytes below one body", func(c *Config) { c.Limits.InflightBytes = 1 },
			`limits.inflight_bytes: "1" must be from 16MiB to 1024GiB`,
		},
		{
			"default above its limit", func(c *Config) { c.Polls.MaxRecords = 10_001 },
			`polls.max_records: "10001" must be from 1 to 10000`,
		},
		{
			"poll default above its limit", func(c *Config) { c.Polls.Timeout = c.Limits.PollTimeout + 1 },
			`polls.timeout: "30.000000001s" must be from 1ms to 30s`,
		},
		{
			"election within a heartbeat", func(c *Config) { c.Raft.HeartbeatTicks = 5 },
			`raft.election_ticks: "10" must be from 15 to 1000`,
		},
		{
			"fewer than no offsets partitions", func(c *Config) { c.Internal.OffsetsPartitions = -1 },
			`internal_topics.offsets_partitions: "-1" must be from 0 to 1024`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Default()
			tt.edit(c)
			assert.EqualError(t, c.Validate(), tt.want)
		})
	}
}

func TestValidateAcceptsTheEdges(t *testing.T) {
	c := Default()
	c.Listen = "[::1]:0"
	c.PprofListen = "127.0.0.1:6060"
	c.AdvertisedHost = "::1"
	c.DefaultCluster = ""
	c.Limits.RecordBytes = c.Limits.BodyBytes
	c.Polls.Timeout = Duration(time.Millisecond)
	require.NoError(t, c.Validate())
	c.PprofListen = "[::1]:0"
	require.NoError(t, c.Validate())
}

// A setting without a rule would accept zero.
func TestEveryNumberHasARule(t *testing.T) {
	for i, l := range leaves(&Config{}) {
		c := Default()
		field := leaves(c)[i].value
		switch field.Interface().(type) {
		case int, Duration, Bytes:
			field.SetInt(-1)
			assert.ErrorContains(t, c.Validate(), l.path+":")
		}
	}
}

func TestQuotasAreNotNegative(t *testing.T) {
	c := Default()
	c.Quotas.Anonymous = Quota{-1, -1, -1, -1}
	err := c.Validate()
	for _, key := range []string{"produce_bytes_per_s", "fetch_bytes_per_s", "requests_per_s", "connections"} {
		assert.ErrorContains(t, err, "quotas.anonymous."+key+`: "-1`)
	}
}

// Who wants no cluster to be made may think that this is how to say it.
func TestFalseIsNoClusterName(t *testing.T) {
	c := Default()
	c.DefaultCluster = "false"
	require.ErrorContains(t, c.Validate(), `default_cluster: "false" must be empty where no cluster is to be made: this would be the name of one`)
	c.DefaultCluster = ""
	require.NoError(t, c.Validate())
}
