package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLists(t *testing.T) {
	assert.Nil(t, ParseList(""))
	assert.Equal(t, List{"a", "b"}, ParseList(" a, b ,"))
	for text, want := range map[string]List{
		"http: {hosts: [a.example, b]}":    {"a.example", "b"},
		"http:\n  hosts:\n    - a.example": {"a.example"},
		"http: {hosts: []}":                nil,
		`http: {hosts: "a.example,b"}`:     {"a.example", "b"},
	} {
		c, err := Parse([]byte(text))
		require.NoError(t, err, text)
		assert.Equal(t, want, c.HTTP.Hosts, text)
		again, err := c.YAML()
		require.NoError(t, err)
		back, err := Parse(again)
		require.NoError(t, err)
		assert.Equal(t, c.HTTP.Hosts, back.HTTP.Hosts, "it says the same when it is written")
	}
	for _, bad := range []string{"http: {hosts: [[a]]}", "http: {hosts: [null]}", "http: {hosts: {a: b}}", `http: {hosts: [""]}`} {
		_, err := Parse([]byte(bad))
		assert.ErrorContains(t, err, "http.hosts", bad)
	}
}

func TestHostsAndOriginsAreValid(t *testing.T) {
	valid := Default()
	valid.HTTP.Hosts = List{"*", "a", "a.example", "10.0.0.1", "fe80::1"}
	valid.CORS.Origins = List{"*", "https://a.example", "http://127.0.0.1:3000", "http://[::1]:80"}
	require.NoError(t, valid.Validate())
	for _, host := range []string{"a:8080", "http://a", "-a", "a/b", "a b"} {
		c := Default()
		c.HTTP.Hosts = List{host}
		assert.ErrorContains(t, c.Validate(), "http.hosts", host)
	}
	for _, origin := range []string{"a.example", "ftp://a", "https://a/", "https://a/path", "null", "https://*.example"} {
		c := Default()
		c.CORS.Origins = List{origin}
		assert.ErrorContains(t, c.Validate(), "cors.origins", origin)
	}
}
