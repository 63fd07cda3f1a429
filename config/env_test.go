package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}
}

func TestEnvironmentOverridesEveryKey(t *testing.T) {
	env := map[string]string{}
	for i, l := range leaves(&Config{}) {
		switch l.value.Interface().(type) {
		case string:
			env[l.env()] = fmt.Sprintf("text-%d", i)
		case bool:
			env[l.env()] = "true"
		case int:
			env[l.env()] = fmt.Sprint(1000 + i)
		case Duration:
			env[l.env()] = fmt.Sprintf("%dms", 1000+i)
		case Levels:
			env[l.env()] = "http=warn, actors=debug"
		case List:
			env[l.env()] = "a, b"
		case Bytes:
			env[l.env()] = fmt.Sprintf("%dKiB", 1000+i)
		}
	}
	c := Default()
	c.AutoCreateTopics = false
	require.NoError(t, c.ApplyEnv(lookupIn(env)))
	for i, l := range leaves(c) {
		var want any
		switch l.value.Interface().(type) {
		case string:
			want = fmt.Sprintf("text-%d", i)
		case bool:
			want = true
		case int:
			want = 1000 + i
		case Duration:
			want = Duration(time.Duration(1000+i) * time.Millisecond)
		case Levels:
			want = Levels{"http": "warn", "actors": "debug"}
		case List:
			want = List{"a", "b"}
		case Bytes:
			want = Bytes(1000+i) * KiB
		}
		assert.Equal(t, want, l.value.Interface(), l.path)
	}
}

func TestEnvironmentNames(t *testing.T) {
	c := Default()
	require.NoError(t, c.ApplyEnv(lookupIn(map[string]string{
		"OTTLA_LISTEN":            "127.0.0.1:9",
		"OTTLA_LIMITS_BODY_BYTES": "1MiB",
		"OTTLA_PORT":              "tcp://10.0.0.1:80", // set by container platforms
	})))
	assert.Equal(t, "127.0.0.1:9", c.Listen)
	assert.Equal(t, MiB, c.Limits.BodyBytes)
}

func TestEnvironmentErrorsNameTheVariable(t *testing.T) {
	err := Default().ApplyEnv(lookupIn(map[string]string{
		"OTTLA_AUTO_CREATE_TOPICS": "yes",
		"OTTLA_REQUEST_TIMEOUT":    "10",
		"OTTLA_LOG_LEVELS":         "debug",
	}))
	require.Error(t, err)
	assert.Equal(t, []string{
		`environment variable OTTLA_AUTO_CREATE_TOPICS: "yes" is neither true nor false`,
		`environment variable OTTLA_REQUEST_TIMEOUT: "10" is not a duration such as 10s, 1m30s or 100ms`,
		`environment variable OTTLA_LOG_LEVELS: "debug" is not a list such as actors=debug,http=warn`,
	}, strings.Split(err.Error(), "\n"))
}

func TestUnits(t *testing.T) {
	sizes := []struct {
		text string
		want Bytes
	}{{"0", 0}, {"1", 1}, {"1000", 1000}, {"32KiB", 32 * KiB}, {"16MiB", 16 * MiB}, {"2GiB", 2 * GiB}, {"1536KiB", 1536 * KiB}}
	for _, tt := range sizes {
		got, err := ParseBytes(tt.text)
		require.NoError(t, err, tt.text)
		assert.Equal(t, tt.want, got)
		assert.Equal(t, tt.text, got.String())
	}
	for _, bad := range []string{"", "MiB", "1MB", "1.5MiB", "9223372036854775807KiB", "99999999999999999999", "1 MiB"} {
		_, err := ParseBytes(bad)
		assert.Error(t, err, bad)
	}
	durations := map[string]time.Duration{
		"10s": 10 * time.Second, "2m": 2 * time.Minute, "1h": time.Hour, "1m30s": 90 * time.Second, "100ms": 100 * time.Millisecond,
		"1h0m5s": time.Hour + 5*time.Second, "10m": 10 * time.Minute, "0s": 0,
	}
	for text, want := range durations {
		got, err := ParseDuration(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got.D())
		assert.Equal(t, text, got.String())
	}
	for _, bad := range []string{"", "10", "0", "soon", "10 s"} {
		_, err := ParseDuration(bad)
		assert.Error(t, err, bad)
	}
}
