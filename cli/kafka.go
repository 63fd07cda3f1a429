package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"ottla/actors"
	"ottla/certs"
	"ottla/config"
	"ottla/http"
	"ottla/kafka"
	"ottla/protocol"
)

// kafkaIdle is how long a Kafka client may send nothing: as long as with Kafka's own
// broker, whose clients rely on it.
const kafkaIdle = 10 * time.Minute

// bothFaces is the HTTP server with the ports for Kafka clients beside it.
type bothFaces struct {
	*http.Server
	kafka *kafka.Server
}

// Serve serves both.
func (b *bothFaces) Serve(ln net.Listener) error {
	go b.kafka.Serve()
	return b.Server.Serve(ln)
}

// Shutdown stops both.
func (b *bothFaces) Shutdown(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- b.kafka.Shutdown(ctx) }()
	return errors.Join(b.Server.Shutdown(ctx), <-ended)
}

// kafkaAddress is where other nodes of a fleet send Kafka clients, "" if that cannot be
// told from the configuration.
func kafkaAddress(k *config.Kafka) string {
	host, port, err := net.SplitHostPort(k.Listen)
	if err != nil || port == "0" {
		return ""
	}
	if k.AdvertisedHost != "" {
		host = k.AdvertisedHost
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return ""
	}
	return net.JoinHostPort(host, port)
}

// withKafka opens the first port for Kafka clients.
func withKafka(cfg *config.Config, l *logs, srv *http.Server, node *actors.Node, shared http.Options) (*bothFaces, error) {
	o := kafka.Options{
		Logger: l.logger("kafka"), Listen: cfg.Kafka.Listen, Host: cfg.Kafka.AdvertisedHost, Cluster: cfg.Kafka.Cluster,
		Compression: cfg.Kafka.Compression, Fleet: cfg.Node.Link != "", Access: shared.Access, Addresses: shared.Addresses, Audit: shared.Audit, Millis: shared.Millis,
		MaxRequestBytes: int(cfg.Limits.BodyBytes), MaxRecordBytes: int(cfg.Limits.RecordBytes), MaxBytes: int(cfg.Limits.MaxBytes),
		MaxRecordHeaders: cfg.Limits.Headers, MaxHeaderName: int(cfg.Limits.HeaderName),
		MaxJSONDepth: cfg.Limits.JSONDepth, MaxNumberDigits: cfg.Limits.NumberDigits, MaxConnections: shared.MaxConnections,
		RequestTimeout: cfg.RequestTimeout.D(), MaxWait: cfg.Limits.PollTimeout.D(),
		ReadTimeout: cfg.HTTP.ReadTimeout.D(), WriteTimeout: cfg.HTTP.WriteTimeout.D(), IdleTimeout: kafkaIdle,
	}
	o.Requests, o.Answers = srv.Budgets()
	o.Gate = srv.Gate()
	if shared.Access != nil {
		o.As = func(a protocol.Access) kafka.Backend { return node.For(a) }
	}
	if cfg.TLS.Cert != "" {
		var err error
		if o.TLS, err = kafkaTLS(cfg, l); err != nil {
			return nil, fmt.Errorf("set up TLS: %w", err)
		}
	}
	k, err := kafka.New(node, o)
	if err != nil {
		return nil, err
	}
	srv.Collect(k.Collectors()...)
	return &bothFaces{Server: srv, kafka: k}, nil
}

func kafkaTLS(cfg *config.Config, l *logs) (*tls.Config, error) {
	return certs.Server(certs.Files{
		Cert: cfg.TLS.Cert, Key: cfg.TLS.Key, ClientCA: cfg.TLS.ClientCA, MinVersion: tlsVersions[cfg.TLS.MinVersion],
	}, l.logger("kafka"))
}
