package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"ottla/actors"
	"ottla/actors/clock"
	"ottla/certs"
	"ottla/config"
	"ottla/http"
	"ottla/http/access"
	"ottla/protocol"
	"ottla/webhook"
)

// Main runs the command that args name, without the program's name, and
// returns the exit code.
func Main(args []string) int {
	// Without this a reader of our output that ends, such as head, would kill the
	// process before it has left its group; the write fails instead.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	received, signals := make(chan os.Signal, 2), make(chan os.Signal, 2)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it: such a process outlives its terminal
		signal.Notify(received, syscall.SIGHUP)
	}
	p := &process{
		stdin:     os.Stdin,
		stdout:    standardOutput(),
		stderr:    os.Stderr,
		terminal:  term.IsTerminal(int(os.Stderr.Fd())),
		asks:      term.IsTerminal(int(os.Stdin.Fd())),
		lookupEnv: os.LookupEnv,
		signals:   signals,
		heeded:    &atomic.Int32{},
		open:      openBroker,
		streams:   keepHeapFloor, // else it is collected some hundred times a second
	}
	go p.passSignals(received, signals)
	return run(p, args)
}

// passSignals gives a command the signals that it reads; without that they end the
// process with the status that shells give for them.
func (p *process) passSignals(received <-chan os.Signal, signals chan<- os.Signal) {
	for sig := range received {
		if number, ok := sig.(syscall.Signal); ok && p.heeded.Load() == 0 {
			os.Exit(128 + int(number))
		}
		select {
		case signals <- sig:
		default: // it has not read those before
		}
	}
}

// standardOutput is exact, unless it is a terminal: there, what is not printable in
// records, names and metadata is escaped.
func standardOutput() io.Writer {
	if term.IsTerminal(int(os.Stdout.Fd())) {
		return &visibleWriter{w: os.Stdout}
	}
	return os.Stdout
}

// openBroker starts the broker and makes the HTTP server in front of it.
func openBroker(ctx context.Context, cfg *config.Config, l *logs, adminToken, host string, port int) (frontEnd, brokerNode, error) {
	audit, err := auditLog(cfg.Audit.File)
	if err != nil {
		return nil, nil, err
	}
	bounds := actorOptions(cfg, l.logger("actors"), host, port)
	bounds.MaxReplicas = boundedReplicas(bounds.MaxReplicas, l.logger("cli"))
	bounds.Clock = clock.System()
	node, err := actors.Start(ctx, bounds)
	if err != nil {
		return nil, nil, fmt.Errorf("data directory %s: %w", cfg.DataDir, err)
	}
	options := httpOptions(cfg, l)
	if cfg.Node.Link != "" { // alone, all clocks are the system's
		options.Millis = node.Millis
	}
	if cfg.Auth.Mode == "token" {
		options.As = func(a protocol.Access) http.Backend { return node.For(a) }
		options.Access, err = access.New(node, accessOptions(cfg, l, adminToken, node.Millis))
		if err != nil {
			return nil, nil, errors.Join(err, node.Shutdown(ctx))
		}
	}
	options.Audit = audit
	keepHeapFloor()
	options.MaxConnections = boundedConnections(options.MaxConnections, l.logger("cli"))
	targets, err := webhook.ParseTargets(cfg.Webhooks.Allow)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("webhooks.allow: %w", err), node.Shutdown(ctx))
	}
	deliveries := webhook.New(node, webhook.Options{
		Targets: targets, Agent: "ottla/" + buildVersion(), Render: http.AppendRecord, Logger: l.logger("webhook"),
	})
	options.CheckTarget = targets.Check
	options.Deliveries = deliveries.Counts
	broker := &deliveringNode{node, deliveries}
	srv := http.New(node, options)
	if cfg.Kafka.Listen == "" {
		return srv, broker, nil
	}
	both, err := withKafka(cfg, l, srv, node, options)
	if err != nil {
		return nil, nil, errors.Join(err, broker.Shutdown(ctx))
	}
	return both, broker, nil
}

// deliveringNode is a node whose deliveries end before it does.
type deliveringNode struct {
	*actors.Node
	deliveries *webhook.Deliverer
}

// Shutdown implements brokerNode.
func (n *deliveringNode) Shutdown(ctx context.Context) error {
	n.deliveries.Close()
	return n.Node.Shutdown(ctx)
}

func accessOptions(cfg *config.Config, l *logs, adminToken string, millis func() int64) access.Options {
	o := access.Options{AdminToken: adminToken, Logger: l.logger("http"), Now: func() time.Time { return time.UnixMilli(millis()) }}
	if j := cfg.Auth.JWT; j.Issuer != "" {
		o.JWT = &access.JWT{Issuer: j.Issuer, Audience: j.Audience, KeysFile: j.KeysFile, KeysURL: j.KeysURL, Claim: j.Claim}
	}
	return o
}

// auditLog opens the file of the audit, which only its owner can read; nil if there is
// none. It stays open until the process ends.
func auditLog(file string) (*slog.Logger, error) {
	switch file {
	case "":
		return nil, nil
	case "-":
		return slog.New(slog.NewJSONHandler(os.Stderr, nil)), nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit.file: %w", err)
	}
	return slog.New(slog.NewJSONHandler(f, nil)), nil
}

func actorOptions(cfg *config.Config, log *slog.Logger, host string, port int) actors.Options {
	return actors.Options{
		DataDir:                cfg.DataDir,
		Host:                   host,
		Port:                   port,
		Kafka:                  kafkaAddress(&cfg.Kafka),
		Logger:                 log,
		RequestTimeout:         cfg.RequestTimeout.D(),
		AutoCreateTopics:       cfg.AutoCreateTopics,
		DefaultCluster:         cfg.DefaultCluster,
		SegmentBytes:           int64(cfg.Storage.SegmentBytes),
		RetentionCheckInterval: cfg.Storage.RetentionCheckInterval.D(),
		OffsetsPartitions:      cfg.Internal.OffsetsPartitions,
		OffsetsRetention:       cfg.Internal.OffsetsRetention.D(),
		SessionTimeout:         cfg.Polls.SessionTimeout.D(),
		MaxRecordBytes:         int(cfg.Limits.RecordBytes),
		MaxTokens:              cfg.Limits.Tokens,
		MaxSources:             cfg.Limits.Sources,
		MaxSubscriptions:       cfg.Limits.Subscriptions,
		MaxGroups:              cfg.Limits.Groups,
		MaxIdempotencyKeys:     cfg.Limits.Keys,
		MaxReplicas:            cfg.Limits.Partitions,
		OpenLogs:               openLogs(),
		AutoCreatesPerMinute:   cfg.Limits.AutoCreates,
		TickInterval:           cfg.Raft.TickInterval.D(),
		ElectionTicks:          cfg.Raft.ElectionTicks,
		HeartbeatTicks:         cfg.Raft.HeartbeatTicks,
		MaxBatchBytes:          int(cfg.Storage.BatchBytes),
		SyncInterval:           cfg.Storage.SyncInterval.D(),
		ScrubInterval:          cfg.Storage.ScrubInterval.D(),
		ScrubBytesPerSecond:    int64(cfg.Storage.ScrubBytesPerSecond),
		CatchUpBytesPerSecond:  int64(cfg.Storage.CatchUpBytesPerSecond),
		ClockJump:              cfg.Storage.ClockJump.D(),
		Version:                buildVersion(),
		Link:                   linkOptions(&cfg.Node),
	}
}

// linkOptions are those of a node of a fleet.
func linkOptions(n *config.Node) actors.LinkOptions {
	if n.Link == "" {
		return actors.LinkOptions{}
	}
	o := actors.LinkOptions{
		Listen: n.Link, Advertise: cmp.Or(n.AdvertiseLink, n.Link), Seeds: n.Seeds, Name: n.Name, Rack: n.Rack, Insecure: n.LinkInsecure, Hold: n.Finalize != config.FinalizeAuto, MaxClockOffset: n.MaxClockOffset.D(),
	}
	if files := (certs.NodeFiles{Cert: n.LinkCert, Key: n.LinkKey, CA: n.LinkCA}); files != (certs.NodeFiles{}) {
		o.TLS = &files
	}
	if o.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			name = o.Advertise
		}
		o.Name = name
	}
	return o
}

// anonymousQuota is that of each address from which requests without a token come.
func anonymousQuota(q *config.Quota) *access.Addresses {
	return access.NewAddresses(protocol.TokenQuota{
		ProduceBytes: int64(q.ProduceBytes), FetchBytes: int64(q.FetchBytes), Requests: int64(q.RequestRate), Connections: int64(q.Connections),
	})
}

func httpOptions(cfg *config.Config, l *logs) http.Options {
	return http.Options{
		Version:               buildVersion(),
		Logger:                l.logger("http"),
		Requests:              l.requests,
		Addresses:             anonymousQuota(&cfg.Quotas.Anonymous),
		AutoCreateOnRead:      cfg.AutoCreateOnRead,
		Hosts:                 serverHosts(cfg),
		CORSOrigins:           cfg.CORS.Origins,
		MaxBodyBytes:          int(cfg.Limits.BodyBytes),
		MaxRecordBytes:        int(cfg.Limits.RecordBytes),
		MaxHeaderBytes:        int(cfg.Limits.HeaderBytes),
		MaxBatchRecords:       cfg.Limits.BatchRecords,
		MaxJSONDepth:          cfg.Limits.JSONDepth,
		MaxNumberDigits:       cfg.Limits.NumberDigits,
		MaxRecordHeaders:      cfg.Limits.Headers,
		MaxHeaderName:         int(cfg.Limits.HeaderName),
		MaxRecords:            cfg.Limits.MaxRecords,
		MaxBytes:              int(cfg.Limits.MaxBytes),
		MaxInflightBytes:      int64(cfg.Limits.InflightBytes),
		MaxResponseBytes:      int64(cfg.Limits.ResponseBytes),
		MaxClientBytes:        int64(cfg.Limits.ClientBytes),
		MaxParkedPolls:        cfg.Limits.ParkedPolls,
		MaxConnections:        cfg.Limits.Connections,
		MaxTimeout:            cfg.Limits.PollTimeout.D(),
		MaxSessionTimeout:     cfg.Limits.SessionTimeout.D(),
		RequestTimeout:        cfg.RequestTimeout.D(),
		ReadTimeout:           cfg.HTTP.ReadTimeout.D(),
		WriteTimeout:          cfg.HTTP.WriteTimeout.D(),
		StallTimeout:          cfg.HTTP.StallTimeout.D(),
		IdleTimeout:           cfg.HTTP.IdleTimeout.D(),
		DefaultPollTimeout:    cfg.Polls.Timeout.D(),
		DefaultSessionTimeout: cfg.Polls.SessionTimeout.D(),
		DefaultMaxRecords:     cfg.Polls.MaxRecords,
		DefaultMaxBytes:       int(cfg.Polls.MaxBytes),
	}
}

// serverHosts are the names and addresses by which the server may be asked; nil
// stands for any.
func serverHosts(cfg *config.Config) []string {
	if slices.Contains(cfg.HTTP.Hosts, "*") {
		return nil
	}
	hosts := append([]string{}, cfg.HTTP.Hosts...)
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	if cfg.AdvertisedHost != "" {
		hosts = append(hosts, cfg.AdvertisedHost)
	}
	return hosts
}
