package cli

import (
	"io"
	"log/slog"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"

	"ottla/config"
)

// A zero option means its default, so a setting that is not passed on would be
// ignored silently.
func TestEveryOptionIsHandedOver(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	notConfigured := map[string]bool{"Heartbeat": true, "As": true, "Access": true, "Audit": true, "CheckTarget": true, "Deliveries": true, "Millis": true, "Clock": true}
	cfg := config.Default()
	cfg.CORS.Origins = config.List{"https://a.example"}  // none by default
	cfg.AutoCreateOnRead = true                          // nor that
	cfg.Limits.Partitions, cfg.Limits.ClientBytes = 5, 1 // nor these
	cfg.Internal.OffsetsPartitions = 3                   // nor that
	cfg.Node.Link = "127.0.0.1:1"                        // nor that
	cfg.Quotas.Anonymous.RequestRate = 1                 // nor any of these
	cfg.Kafka.Listen = "127.0.0.1:2"
	l := newLogs(io.Discard, false, config.Log{Requests: true})
	defer l.close()
	assert.Zero(t, config.Default().Limits.ClientBytes, "half of what all may have, however much that is")
	for _, options := range []any{
		actorOptions(cfg, log, "host", 1),
		httpOptions(cfg, l),
	} {
		v := reflect.ValueOf(options)
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			if !v.Type().Field(i).IsExported() {
				continue // a test's
			}
			assert.Equal(t, notConfigured[name], v.Field(i).IsZero(), "%s.%s", v.Type(), name)
		}
	}
}

// Each setting must change some option, except those that cli itself uses.
func TestEverySettingIsUsed(t *testing.T) {
	log, l := slog.New(slog.DiscardHandler), &logs{handler: slog.DiscardHandler}
	options := func(c *config.Config) []any {
		return []any{actorOptions(c, log, "host", 1), httpOptions(c, l)}
	}
	own := map[string]bool{
		"ShutdownTimeout": true, "PprofListen": true, "Level": true, "Format": true,
		"Levels": true, "Requests": true, "Mode": true, "AdminTokenFile": true, "Issuer": true, "Audience": true, "KeysFile": true, "KeysURL": true, "Claim": true, "File": true, "Insecure": true, "Cert": true, "Key": true, "ClientCA": true, "MinVersion": true, "Allow": true,
	}
	start := func() *config.Config {
		c := config.Default()
		c.Node.Link = "127.0.0.1:1" // without it the others of a node mean nothing
		return c
	}
	base := options(start())
	var walk func(path []int, t reflect.Type)
	walk = func(path []int, typ reflect.Type) {
		for i := range typ.NumField() {
			if typ.Field(i).Type == reflect.TypeFor[config.Kafka]() {
				continue // cli makes that listener itself
			}
			at := append(append([]int{}, path...), i)
			if typ.Field(i).Type.Kind() == reflect.Struct {
				walk(at, typ.Field(i).Type)
				continue
			}
			c := start()
			field := reflect.ValueOf(c).Elem().FieldByIndex(at)
			switch field.Kind() {
			case reflect.String:
				field.SetString("changed")
			case reflect.Map:
				field.Set(reflect.ValueOf(config.Levels{"http": "debug"}))
			case reflect.Slice:
				field.Set(reflect.ValueOf(config.List{"changed"}))
			case reflect.Bool:
				field.SetBool(!field.Bool())
			default:
				field.SetInt(field.Int() + 1)
			}
			name := typ.Field(i).Name
			assert.Equal(t, own[name], reflect.DeepEqual(base, options(c)), name)
		}
	}
	walk(nil, reflect.TypeFor[config.Config]())
}
