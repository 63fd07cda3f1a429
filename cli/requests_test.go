package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// words splits a command line at spaces, but not within single quotes.
func words(line string) (list []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			list = append(list, part)
			continue
		}
		list = append(list, strings.Fields(part)...)
	}
	return list
}

// Each command asks for what its flags say, and nothing else: fields that were not given
// are the server's to choose.
func TestRequestsOfCommands(t *testing.T) {
	for line, want := range map[string]string{
		"queue create q --topic a --topic b": `PUT /groups/q {"mode":"queue","topics":["a","b"]}`,
		"queue create q --topic a --cluster c --ack-wait 90s --max-deliveries 3 --backoff 1s,250ms,2m --dead-letter-topic d --order key --max-in-flight 7"://
		`PUT /groups/q {"ack_wait_ms":90000,"backoff_ms":[1000,250,120000],"cluster":"c","dead_letter_topic":"d","max_deliveries":3,"max_in_flight":7,"mode":"queue","order":"key","topics":["a"]}`,
		"queue alter q --max-deliveries 9":               `PATCH /groups/q {"max_deliveries":9}`,
		"queue alter q --cluster c --backoff 0":          `PATCH /groups/q?cluster=c {"backoff_ms":[0]}`,
		"queue alter a/b?c --topic t":                    `PATCH /groups/a%2Fb%3Fc {"topics":["t"]}`,
		"queue describe q --cluster c":                   `GET /groups/q?cluster=c`,
		"queue delete q":                                 `DELETE /groups/q`,
		"node describe 3":                                `GET /nodes/3`,
		"node drain 3":                                   `POST /nodes/3/drain`,
		"node resume 3":                                  `POST /nodes/3/resume`,
		"node replace 3 --with 4":                        `POST /nodes/3/replace {"with":4}`,
		"node decommission 3":                            `POST /nodes/3/decommission`,
		"node decommission 3 --cancel":                   `DELETE /nodes/3/decommission`,
		"node rebalance":                                 `POST /nodes/rebalance`,
		"subscription pause s":                           `PATCH /subscriptions/s {"paused":true}`,
		"subscription resume s":                          `PATCH /subscriptions/s {"paused":false}`,
		"subscription describe s":                        `GET /subscriptions/s`,
		"subscription delete s":                          `DELETE /subscriptions/s`,
		"subscription create s --topic t --url http://x": `PUT /subscriptions/s {"topics":["t"],"url":"http://x"}`,
		"subscription create s --topic t --topic u --url http://x --cluster c --group g --from latest --batch 5 --timeout 500ms --max-deliveries 2 " +
			"--dead-letter-topic d --order none --paused --secret geheim --header 'A: b' --header 'C:d:e'": //
		`PUT /subscriptions/s {"batch":5,"cluster":"c","dead_letter_topic":"d","from":"latest","group":"g","headers":{"A":"b","C":"d:e"},"max_deliveries":2,` +
			`"order":"none","paused":true,"secret":"geheim","timeout_ms":500,"topics":["t","u"],"url":"http://x"}`,
		"source create s --topic t --scheme github --secret geheim": `PUT /sources/s {"topic":"t","verify":{"scheme":"github","secret":"geheim"}}`,
		"source create s --topic t --scheme hmac-sha256 --header X-Sig --secret k --cluster c --key-header K --id-header I --keep A,B"://
		`PUT /sources/s {"cluster":"c","id_header":"I","keep":["A","B"],"key_header":"K","topic":"t","verify":{"header":"X-Sig","scheme":"hmac-sha256","secret":"k"}}`,
		"source create s --topic t --scheme github --secret k --key-json /a/b": `PUT /sources/s {"key_json":"/a/b","topic":"t","verify":{"scheme":"github","secret":"k"}}`,
		"source describe s":                                 `GET /sources/s`,
		"source delete s":                                   `DELETE /sources/s`,
		"token describe t":                                  `GET /tokens/t`,
		"token delete t":                                    `DELETE /tokens/t`,
		"token alter t --allow read":                        `PATCH /tokens/t {"allow":[{"do":["read"]}]}`,
		"token alter t --expires never":                     `PATCH /tokens/t {"expires_at":null}`,
		"token alter t --expires 2099-01-31T13:00:00+01:00": `PATCH /tokens/t {"expires_at":"2099-01-31T12:00:00Z"}`,
		"token alter t --quota none":                        `PATCH /tokens/t {"quota":null}`,
		"token alter t --quota requests_per_s=9":            `PATCH /tokens/t {"quota":{"requests_per_s":9}}`,
		"token create t --allow 'read,write topics=a.* groups=g cluster=c' --allow admin --quota produce_bytes_per_s=2MiB"://
		`POST /tokens {"allow":[{"do":["read","write"],"cluster":"c","topics":"a.*","groups":"g"},{"do":["admin"]}],"name":"t","quota":{"produce_bytes_per_s":2097152}}`,
		"token rotate t":                  `POST /tokens/t/rotate {"overlap_ms":86400000}`,
		"token rotate t --overlap 0":      `POST /tokens/t/rotate {"overlap_ms":0}`,
		"token rotate t --overlap 7d":     `POST /tokens/t/rotate {"overlap_ms":604800000}`,
		"group delete g":                  `DELETE /groups/g`,
		"topic delete t --cluster c -y":   `DELETE /topic/t?cluster=c`,
		"cluster delete c -y":             `DELETE /cluster/c`,
		"cluster start-broker c 2":        `POST /cluster/c/brokers/2/start`,
		"cluster stop-broker c 2":         `POST /cluster/c/brokers/2/stop`,
		"cluster alter c --brokers 5":     `PATCH /cluster/c {"num_brokers":5}`,
		"offset list --group g":           `GET /offset?group=g&limit=1000`,
		"offset list --group g --topic t": `GET /offset?group=g&limit=1000&topic=t`,
	} {
		t.Run(line, func(t *testing.T) {
			s := newStandIn(t, func(int, asked) (int, string) { return 200, `{"token":"x"}` })
			code, _, stderr := s.ottla(t, "", words(line)...)
			require.Equal(t, exitOK, code, stderr)
			require.Len(t, s.asked, 1)
			got := s.asked[0].line
			if s.asked[0].body != "" {
				got += " " + s.asked[0].body
			}
			assert.Equal(t, want, got)
		})
	}
}

// What is wrong in a command line is said before a server is asked, and the exit code is 2.
func TestCommandsThatAreNotSent(t *testing.T) {
	long := strings.Repeat("x", 4097)
	for line, want := range map[string]string{
		"queue create q":                                 "ottla queue create needs --topic",
		"queue create":                                   "ottla queue create needs a NAME",
		"queue create q r --topic t":                     `ottla queue create takes a NAME: "r" is one too many`,
		"queue create q --topic t --backoff 1s,soon":     "--backoff: ",
		"queue create q --topic t --ack-wait -1s":        "ack-wait",
		"queue create q --topic t --max-deliveries many": "max-deliveries",
		"queue alter q":                                  "ottla queue alter needs a setting to change",
		"queue alter q --cluster c":                      "ottla queue alter needs a setting to change",
		"queue":                                          "ottla queue needs a command",
		"queue fold q":                                   "fold",
		"node describe":                                  "ottla node describe needs an ID",
		"node replace 3":                                 "--with ID is missing: the node that takes its place",
		"node replace 3 --with x":                        "with",
		"node cert":                                      "a NAME is missing",
		"node cert a --days 0":                           "--days 0 must be from 1 to 3650",
		"node cert a --days 3651":                        "--days 3651 must be from 1 to 3650",
		"subscription create s --topic t":                "ottla subscription create needs --topic and --url",
		"subscription create s --url http://x":           "ottla subscription create needs --topic and --url",
		"subscription create s --topic t --url u --header 'A b'":                      "ottla: a --header is not such as 'Authorization: Bearer x'",
		"subscription create s --topic t --url u --secret a --generate-secret":        "exclude each other",
		"subscription create s --topic t --url u --header X-Team=geheim:x":            "ottla: a --header is not such as",
		"source create s --topic t --scheme github --secret x --header X-Team=geheim": "ottla: --header needs the name of the header with the signature",
		"source create s --scheme github --secret x":                                  "ottla source create needs --topic and --scheme",
		"source create s --topic t --secret x":                                        "ottla source create needs --topic and --scheme",
		"source create s --topic t --scheme github":                                   "ottla source create needs --secret-file, --secret or --generate-secret",
		"source create s --topic t --scheme github --secret x --secret-file f":        "exclude each other",
		"source create s --topic t --scheme github --secret-file f --generate-secret": "exclude each other",
		"source create s --topic t --scheme github --secret-file /no/such/file":       "secret: open /no/such/file",
		"source create s --topic t --scheme github --secret-file -":                   "secret: - is empty",
		"token create t":                                     "ottla token create needs --allow",
		"token create t --allow ''":                          `--allow "" begins with what is allowed: read, write, admin`,
		"token create t --allow own":                         `--allow "own": "own" is none of read, write and admin`,
		"token create t --allow 'read topics='":              `"topics=" is none of topics=PATTERN`,
		"token create t --allow 'read topics=a topics=b'":    `"topics=b" is none of topics=PATTERN`,
		"token create t --allow 'read users=a'":              `"users=a" is none of topics=PATTERN`,
		"token create t --allow read --expires yesterday":    `--expires "yesterday" must be never, a duration`,
		"token create t --allow read --expires 0s":           `--expires "0s" must be never, a duration`,
		"token create t --allow read --expires -5m":          `--expires "-5m" must be never, a duration`,
		"token create t --allow read --quota requests_per_s": `--quota "requests_per_s" is not such as`,
		"token create t --allow read --quota =5":             `--quota "=5" is not such as`,
		"token create t --allow read --quota a=b":            `--quota "a=b" is not such as`,
		"token alter t":                                      "ottla token alter needs --allow, --quota or --expires",
		"token rotate t --overlap tomorrow":                  "overlap",
		"token list --token a --token-file b":                "--token and --token-file exclude each other",
		"token list --token 'a b'":                           "a token is up to 4096 printable ASCII characters without spaces",
		"token list --token " + long:                         "a token is up to 4096 printable ASCII characters without spaces",
		"token list --token-file /no/such/file":              "token: open /no/such/file",
		"token list --token-file -":                          "is empty",
		"topic list --output yaml":                           `--output "yaml" must be table or json`,
		"group seek g --to earliest":                         "ottla group seek needs --to, and --topic or --all-topics",
		"group seek g --topic t":                             "ottla group seek needs --to, and --topic or --all-topics",
		"group seek g --topic t --all-topics --to 5":         "ottla group seek needs --to, and --topic or --all-topics",
		"group seek g --all-topics --partition 0 --to 5":     "--partition is of one topic: it excludes --all-topics",
		"consume t --format %k --keys":                       "--format excludes --keys and --values",
		"consume t --format %q":                              `not "%q"`,
		`consume t --format abc%`:                            `--format ends in the middle of "%"`,
	} {
		t.Run(line[:min(len(line), 80)], func(t *testing.T) {
			s := newStandIn(t, func(int, asked) (int, string) { return 200, `{}` })
			code, stdout, stderr := s.ottla(t, "", emptied(words(line), strings.Contains(line, "''"))...)
			assert.Equal(t, exitUsage, code, stderr)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, want)
			assert.Empty(t, s.asked)
			assert.NotContains(t, stderr, long)
			assert.NotContains(t, stderr, "geheim")
		})
	}
}

// emptied is the list with an empty word at its end, which words cannot say.
func emptied(list []string, so bool) []string {
	if so && list[len(list)-1] != "" {
		return append(list, "")
	}
	return list
}

// Secrets come from a file, from standard input or from the command; one that was made is
// printed alone, so that it can go into a file, and what was sent is what is printed.
func TestSecretsOfWebhooks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("from a file\r\n"), 0o600))
	create := "source create s --topic t --scheme github "
	for flags, want := range map[string]string{
		"--secret-file " + file: `"secret":"from a file"`, "--secret-file -": `"secret":" from standard input"`, "--secret x": `"secret":"x"`,
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return 200, `{"name":"s","topic":"t","verify":{"scheme":"github"}}` })
		code, stdout, stderr := s.ottla(t, " from standard input\n", words(create+flags)...)
		require.Equal(t, exitOK, code, stderr)
		assert.Contains(t, s.asked[0].body, want)
		assert.NotContains(t, stdout+stderr, "from", "it is printed to nobody")
	}
	seen := map[string]bool{}
	for range 2 {
		s := newStandIn(t, func(int, asked) (int, string) { return 200, `{}` })
		code, stdout, stderr := s.ottla(t, "", words(create+"--generate-secret")...)
		require.Equal(t, exitOK, code, stderr)
		require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=\n$`, stdout)
		assert.Contains(t, s.asked[0].body, `"secret":"`+strings.TrimSpace(stdout)+`"`)
		assert.False(t, seen[stdout], "it is made anew")
		seen[stdout] = true
	}
	s := newStandIn(t, func(int, asked) (int, string) {
		return 409, errorAnswer("too_many_sources", "there are too many", "none", false)
	})
	code, stdout, _ := s.ottla(t, "", words(create+"--generate-secret")...)
	assert.Equal(t, exitFailed, code)
	assert.Empty(t, stdout, "what was not made is not given out")
}

// A token that was made is printed alone; all of the answer as JSON.
func TestTokensArePrintedAlone(t *testing.T) {
	answer := `{"name":"t","allow":[{"do":["read"]}],"created_at":"2026-11-22T17:16:03Z","token":"ottla_abc"}`
	for line, want := range map[string]string{
		"token create t --allow read":    "ottla_abc\n",
		"token rotate t":                 "ottla_abc\n",
		"token rotate t --output json":   "{\n  \"name\": \"t\",\n  \"allow\": [\n    {\n      \"do\": [\n        \"read\"\n      ]\n    }\n  ],\n  \"created_at\": \"2026-11-22T17:16:03Z\",\n  \"token\": \"ottla_abc\"\n}\n",
		"token describe t --output json": "",
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return 201, answer })
		code, stdout, stderr := s.ottla(t, "", words(line)...)
		require.Equal(t, exitOK, code, stderr)
		if want != "" {
			assert.Equal(t, want, stdout, line)
		}
	}
	for _, wrong := range []string{`{}`, `{"token":""}`, `{"token":7}`, `[]`} {
		s := newStandIn(t, func(int, asked) (int, string) { return 201, wrong })
		code, stdout, stderr := s.ottla(t, "", "token", "rotate", "t")
		assert.Equal(t, exitFailed, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, "is not what an Ottla server gives", wrong)
	}
	before := time.Now().Add(12 * time.Hour).Truncate(time.Second)
	s := newStandIn(t, func(int, asked) (int, string) { return 200, answer })
	code, _, stderr := s.ottla(t, "", words("token alter t --expires 12h")...)
	require.Equal(t, exitOK, code, stderr)
	text := strings.TrimSuffix(strings.TrimPrefix(s.asked[0].body, `{"expires_at":"`), `"}`)
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err, s.asked[0].body)
	assert.WithinRange(t, at, before, time.Now().Add(12*time.Hour))
}
