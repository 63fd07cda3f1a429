package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Validate checks every setting. The error has one line for each invalid one,
// with its key, its value and the rule.
func (c *Config) Validate() error {
	var v validator
	v.address("listen", c.Listen)
	if c.PprofListen != "" {
		v.address("pprof_listen", c.PprofListen)
		v.check(loopback(c.PprofListen), "pprof_listen", c.PprofListen, "must be a loopback address: the profiler shows memory")
	}
	v.check(c.AdvertisedHost == "" || !regexp.MustCompile(`[\s/:]`).MatchString(c.AdvertisedHost) ||
		net.ParseIP(c.AdvertisedHost) != nil, "advertised_host", c.AdvertisedHost, "must be a host name or address without a port")
	v.check(c.DataDir != "", "data_dir", c.DataDir, "must not be empty")
	v.check(c.DefaultCluster == "" || validName(c.DefaultCluster), "default_cluster", c.DefaultCluster,
		"must be empty or 1 to 200 of A-Z a-z 0-9 . _ - and neither . nor ..")
	v.check(c.DefaultCluster != "false", "default_cluster", c.DefaultCluster, "must be empty where no cluster is to be made: this would be the name of one")
	v.duration("request_timeout", c.RequestTimeout, 100*time.Millisecond, 5*time.Minute)
	v.duration("shutdown_timeout", c.ShutdownTimeout, time.Second, 10*time.Minute)
	c.validateAccess(&v)
	c.validateNode(&v)
	c.validateKafka(&v)
	c.validateLog(&v)
	v.duration("http.read_timeout", c.HTTP.ReadTimeout, 100*time.Millisecond, time.Hour)
	v.duration("http.write_timeout", c.HTTP.WriteTimeout, 100*time.Millisecond, time.Hour)
	v.duration("http.stall_timeout", c.HTTP.StallTimeout, time.Second, time.Hour)
	v.duration("http.idle_timeout", c.HTTP.IdleTimeout, 100*time.Millisecond, 24*time.Hour)
	c.validateOrigins(&v)
	c.validateLimits(&v)
	c.validateBroker(&v)
	return errors.Join(v.errs...)
}

// validateAccess checks TLS, and that nobody serves other machines by accident.
func (c *Config) validateAccess(v *validator) {
	v.check((c.TLS.Cert == "") == (c.TLS.Key == ""), "tls.key", c.TLS.Key, "must be set if and only if tls.cert is")
	v.check(c.TLS.ClientCA == "" || c.TLS.Cert != "", "tls.client_ca", c.TLS.ClientCA, "needs tls.cert and tls.key")
	v.oneOf("node.finalize", c.Node.Finalize, FinalizeAuto, FinalizeManual)
	v.duration("node.max_clock_offset", c.Node.MaxClockOffset, 50*time.Millisecond, time.Hour)
	v.oneOf("tls.min_version", c.TLS.MinVersion, "1.2", "1.3")
	v.oneOf("auth.mode", c.Auth.Mode, "off", "token")
	v.check(c.Auth.AdminTokenFile == "" || c.Auth.Mode == "token", "auth.admin_token_file", c.Auth.AdminTokenFile, "needs auth.mode: token")
	c.validateJWT(v)
	v.check(loopback(c.Listen) || c.TLS.ClientCA != "" || c.Auth.Mode == "token" || c.Auth.Insecure, "listen", c.Listen,
		"can be reached from other machines, and whoever reaches it may read, write and delete everything: "+
			"listen on 127.0.0.1, ask clients for tokens (auth.mode: token) or certificates (tls.client_ca), "+
			"or set auth.insecure: true (OTTLA_AUTH_INSECURE=true) if the network keeps others out")
}

// validateKafka checks where Kafka's clients are served.
func (c *Config) validateKafka(v *validator) {
	k := &c.Kafka
	v.check(validName(k.Cluster), "kafka.cluster", k.Cluster, "must be 1 to 200 of A-Z a-z 0-9 . _ - and neither . nor ..")
	v.oneOf("kafka.compression", k.Compression, "none", "gzip", "lz4", "zstd")
	if k.Listen == "" {
		v.check(k.AdvertisedHost == "", "kafka.advertised_host", k.AdvertisedHost, "needs kafka.listen")
		return
	}
	v.address("kafka.listen", k.Listen)
	v.check(loopback(k.Listen) || c.TLS.ClientCA != "" || c.Auth.Mode == "token" || c.Auth.Insecure, "kafka.listen", k.Listen,
		"can be reached from other machines, and whoever reaches it may read, write and delete everything: "+
			"listen on 127.0.0.1, ask clients for tokens (auth.mode: token) or certificates (tls.client_ca), "+
			"or set auth.insecure: true (OTTLA_AUTH_INSECURE=true) if the network keeps others out")
}

// validateNode checks what concerns several nodes.
func (c *Config) validateNode(v *validator) {
	n := &c.Node
	if n.Link == "" {
		v.check(len(n.Seeds) == 0, "node.seeds", strings.Join(n.Seeds, ","), "needs node.link")
		v.check(n.AdvertiseLink == "", "node.advertise_link", n.AdvertiseLink, "needs node.link")
		return
	}
	v.address("node.link", n.Link)
	if n.AdvertiseLink != "" {
		v.address("node.advertise_link", n.AdvertiseLink)
	}
	for _, s := range n.Seeds {
		v.address("node.seeds", s)
	}
	v.check(n.Name == "" || validName(n.Name), "node.name", n.Name, "must be 1 to 200 of A-Z a-z 0-9 . _ - and neither . nor ..")
	files := []string{n.LinkCert, n.LinkKey, n.LinkCA}
	v.check(!slices.Contains(files, "") || strings.Join(files, "") == "", "node.link_cert", strings.Join(files, ","), "link_cert, link_key and link_ca must be set, or none of them")
	v.check(n.LinkCert != "" || loopback(n.Link) || n.LinkInsecure, "node.link", n.Link,
		"can be reached from other machines, and whoever reaches it may read, write and delete everything: "+
			"set node.link_cert, link_key and link_ca (ottla node cert makes the files), or node.insecure: true if the network keeps others out")
}

// validateJWT checks what JSON web tokens need: without an audience a token that was
// made for another service would be valid.
func (c *Config) validateJWT(v *validator) {
	j := &c.Auth.JWT
	if j.Issuer == "" {
		v.check(j.Audience == "" && j.KeysFile == "" && j.KeysURL == "", "auth.jwt.issuer", j.Issuer, "must be set with auth.jwt.audience, jwks_file and jwks_url")
		return
	}
	v.check(c.Auth.Mode == "token", "auth.jwt.issuer", j.Issuer, "needs auth.mode: token")
	v.check(j.Audience != "", "auth.jwt.audience", j.Audience, "must be set: tokens for other services are not for this one")
	v.check((j.KeysFile == "") != (j.KeysURL == ""), "auth.jwt.jwks_file", j.KeysFile, "must be set, or auth.jwt.jwks_url, but not both")
	v.check(j.KeysURL == "" || regexp.MustCompile(`^https?://[^/]`).MatchString(j.KeysURL), "auth.jwt.jwks_url", j.KeysURL, "must begin with https:// or http://")
	v.check(j.Claim != "", "auth.jwt.claim", j.Claim, "must not be empty")
}

// maxJSONDepth is protocol.MaxJSONDepth, which bounds how deep JSON is ever read.
const maxJSONDepth = 512

// LogPackages are the packages whose level log.levels can set.
var LogPackages = []string{"actors", "cli", "http", "kafka", "webhook"}

func (c *Config) validateLog(v *validator) {
	levels := []string{"debug", "info", "warn", "error"}
	v.oneOf("log.level", c.Log.Level, levels...)
	v.oneOf("log.format", c.Log.Format, "auto", "text", "json")
	for _, name := range slices.Sorted(maps.Keys(c.Log.Levels)) {
		v.oneOf("log.levels", name, LogPackages...)
		v.oneOf("log.levels."+name, c.Log.Levels[name], levels...)
	}
}

func (c *Config) validateOrigins(v *validator) {
	target := regexp.MustCompile(`^(\*\.)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)
	for _, a := range c.Webhooks.Allow {
		_, err := netip.ParsePrefix(a)
		v.check(err == nil || net.ParseIP(a) != nil || target.MatchString(a), "webhooks.allow", a, `must be an address, a network such as 10.0.0.0/8, a host name, or "*." and a domain`)
	}
	host := regexp.MustCompile(`^(\*|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)$`)
	for _, h := range c.HTTP.Hosts {
		v.check(host.MatchString(h) || net.ParseIP(h) != nil, "http.hosts", h, `must be a host name or address without a port, or "*"`)
	}
	origin := regexp.MustCompile(`^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?$`)
	for _, o := range c.CORS.Origins {
		v.check(o == "*" || origin.MatchString(o), "cors.origins", o, `must be an origin such as https://app.example:8443, or "*"`)
	}
}

func (c *Config) validateLimits(v *validator) {
	l := &c.Limits
	v.bytes("limits.body_bytes", l.BodyBytes, 1*KiB, 1*GiB)
	v.bytes("limits.record_bytes", l.RecordBytes, 1, l.BodyBytes)
	v.bytes("limits.header_bytes", l.HeaderBytes, 4*KiB, 1*MiB)
	v.number("limits.batch_records", l.BatchRecords, 1, 1_000_000)
	v.number("limits.json_depth", l.JSONDepth, 1, maxJSONDepth)
	v.number("limits.number_digits", l.NumberDigits, 1, 1<<30)
	v.number("limits.headers", l.Headers, 1, 1_000_000)
	v.bytes("limits.header_name", l.HeaderName, 1, l.RecordBytes)
	v.number("limits.max_records", l.MaxRecords, 1, 1_000_000)
	v.bytes("limits.max_bytes", l.MaxBytes, 1*KiB, 1*GiB)
	v.duration("limits.poll_timeout", l.PollTimeout, time.Millisecond, 10*time.Minute)
	v.duration("limits.session_timeout", l.SessionTimeout, time.Second, 24*time.Hour)
	v.bytes("limits.inflight_bytes", l.InflightBytes, l.BodyBytes, 1024*GiB)
	v.bytes("limits.response_bytes", l.ResponseBytes, max(l.MaxBytes, 1*MiB), 1024*GiB)
	v.check(l.ClientBytes == 0 || 1*MiB <= l.ClientBytes && l.ClientBytes <= 1024*GiB, "limits.client_response_bytes", l.ClientBytes,
		fmt.Sprintf("must be 0 or from %s to %s", 1*MiB, 1024*GiB))
	v.number("limits.parked_polls", l.ParkedPolls, 1, 10_000_000)
	v.number("limits.connections", l.Connections, 1, 10_000_000)
	v.number("limits.tokens", l.Tokens, 1, 100_000)
	v.number("limits.sources", l.Sources, 1, 10_000)
	v.number("limits.subscriptions", l.Subscriptions, 1, 10_000)
	v.number("limits.partitions", l.Partitions, 0, 10_000_000)
	v.number("limits.auto_creates_per_minute", l.AutoCreates, 1, 1_000_000)
	v.number("limits.groups", l.Groups, 1, 10_000_000)
	v.number("limits.idempotency_keys", l.Keys, 1000, 100_000_000)

	q := &c.Quotas.Anonymous
	v.bytes("quotas.anonymous.produce_bytes_per_s", q.ProduceBytes, 0, 1024*GiB)
	v.bytes("quotas.anonymous.fetch_bytes_per_s", q.FetchBytes, 0, 1024*GiB)
	v.number("quotas.anonymous.requests_per_s", q.RequestRate, 0, 1<<30)
	v.number("quotas.anonymous.connections", q.Connections, 0, 10_000_000)

	v.duration("polls.timeout", c.Polls.Timeout, time.Millisecond, l.PollTimeout.D())
	v.number("polls.max_records", c.Polls.MaxRecords, 1, l.MaxRecords)
	v.bytes("polls.max_bytes", c.Polls.MaxBytes, 1, l.MaxBytes)
	v.duration("polls.session_timeout", c.Polls.SessionTimeout, time.Second, l.SessionTimeout.D())
}

func (c *Config) validateBroker(v *validator) {
	v.bytes("storage.segment_bytes", c.Storage.SegmentBytes, 64*KiB, 16*GiB)
	v.bytes("storage.batch_bytes", c.Storage.BatchBytes, 1*KiB, 64*MiB)
	v.duration("storage.retention_check_interval", c.Storage.RetentionCheckInterval, 100*time.Millisecond, 24*time.Hour)
	v.duration("storage.sync_interval", c.Storage.SyncInterval, time.Millisecond, time.Hour)
	if c.Storage.ScrubInterval != 0 { // 0s switches it off
		v.duration("storage.scrub_interval", c.Storage.ScrubInterval, time.Minute, 365*24*time.Hour)
	}
	v.bytes("storage.scrub_bytes_per_second", c.Storage.ScrubBytesPerSecond, 64*KiB, 16*GiB)
	if c.Storage.CatchUpBytesPerSecond != 0 { // 0 is any number
		v.bytes("storage.catch_up_bytes_per_second", c.Storage.CatchUpBytesPerSecond, 64*KiB, 16*GiB)
	}
	v.duration("storage.clock_jump", c.Storage.ClockJump, time.Minute, 365*24*time.Hour)
	v.duration("raft.tick_interval", c.Raft.TickInterval, time.Millisecond, 10*time.Second)
	v.number("raft.heartbeat_ticks", c.Raft.HeartbeatTicks, 1, 100)
	v.number("raft.election_ticks", c.Raft.ElectionTicks, 3*c.Raft.HeartbeatTicks, 1000)
	v.number("internal_topics.offsets_partitions", c.Internal.OffsetsPartitions, 0, 1024)
	v.duration("internal_topics.offsets_retention", c.Internal.OffsetsRetention, time.Minute, 10*365*24*time.Hour)
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,200}$`)

func validName(s string) bool { return namePattern.MatchString(s) && s != "." && s != ".." }

// validator collects one error for each broken rule.
type validator struct{ errs []error }

func (v *validator) check(ok bool, key string, value any, rule string) {
	if !ok {
		v.errs = append(v.errs, fmt.Errorf("%s: %q %s", key, fmt.Sprint(value), rule))
	}
}

func (v *validator) number(key string, n, low, high int) {
	v.check(low <= n && n <= high, key, n, fmt.Sprintf("must be from %d to %d", low, high))
}

func (v *validator) bytes(key string, b, low, high Bytes) {
	v.check(low <= b && b <= high, key, b, fmt.Sprintf("must be from %s to %s", low, high))
}

func (v *validator) duration(key string, d Duration, low, high time.Duration) {
	v.check(low <= d.D() && d.D() <= high, key, d, fmt.Sprintf("must be from %s to %s", Duration(low), Duration(high)))
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	v.check(slices.Contains(allowed, value), key, value, fmt.Sprintf("must be one of %q", allowed))
}

// loopback reports whether only this machine can reach an address. A text that is
// no address is left to another rule.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil || host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func (v *validator) address(key, value string) {
	_, port, err := net.SplitHostPort(value)
	n, numErr := strconv.Atoi(port)
	v.check(err == nil && numErr == nil && n >= 0 && n <= 65535, key, value,
		"must be HOST:PORT with a port from 0 to 65535")
}
