package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Tables are compared to the letter, because scripts parse them.
func TestTablesToTheLetter(t *testing.T) {
	for args, tt := range map[string]struct{ answer, want string }{
		"cluster describe c": {
			`{"id":"x","name":"c","num_brokers":2,"log_directory":"logs","partitions":3,"retention_policies":0.5,"replication_factor":2,` +
				`"fsync":"always","created_at":"2026-11-22T17:16:03.5Z","brokers":[` +
				`{"id":1,"host":"localhost","port":8080,"state":"running","directory":"logs/broker-1"},` +
				`{"id":2,"host":"::1","port":8080,"state":"stopped","directory":"logs/broker-2"}],"topics":[` +
				`{"name":"t","partitions":[{"leader_broker_id":1,"earliest":2,"latest":9},{"leader_broker_id":null}]},{"name":"u","partitions":[]}]}`,
			"NAME        c\n" +
				"CREATED     2026-11-22T17:16:03.5Z\n" +
				"DIRECTORY   logs\n" +
				"PARTITIONS  3\n" +
				"REPLICAS    2\n" +
				"RETENTION   0.5h\n" +
				"FSYNC       always\n" +
				"BROKER 1    running, localhost:8080, logs/broker-1\n" +
				"BROKER 2    stopped, ::1:8080, logs/broker-2\n" +
				"TOPIC t     2 partitions, 7 offsets, 1 without a leader\n" +
				"TOPIC u     0 partitions, 0 offsets\n",
		},
		"topic describe t": {
			`{"name":"t","cluster":"c","created_at":"2026-11-22T17:16:03Z","replication_factor":3,"retention_ms":90000,"retention_bytes":1048576,` +
				`"segment_bytes":64,"cleanup_policy":"compact","max_record_bytes":1024,"partitions":[` +
				`{"partition_number":0,"leader_broker_id":null,"replicas":[1,2,3],"in_sync":[],"earliest":null,"latest":null}]}`,
			"NAME              t\n" +
				"CLUSTER           c\n" +
				"CREATED           2026-11-22T17:16:03Z\n" +
				"REPLICAS          3\n" +
				"RETENTION         1m30s\n" +
				"RETENTION BYTES   1048576\n" +
				"SEGMENT BYTES     64\n" +
				"CLEANUP           compact\n" +
				"MAX RECORD BYTES  1024\n" +
				"PARTITION 0       leader none, replicas 1,2,3, in sync none, offsets unknown\n",
		},
		"group describe g": {
			`{"group":"g","cluster":"c","state":"stable","generation":4,"lag":12,"created_at":"2026-11-22T17:16:03Z","members":[` +
				`{"consumer_id":7,"lease_expires_at":"2026-11-22T17:16:13Z","assignment":[{"topic":"t","partition":0},{"topic":"u","partition":11}]},` +
				`{"consumer_id":8,"lease_expires_at":"2026-11-22T17:16:14Z","assignment":[]}]}`,
			"GROUP       g\n" +
				"CLUSTER     c\n" +
				"CREATED     2026-11-22T17:16:03Z\n" +
				"STATE       stable\n" +
				"GENERATION  4\n" +
				"LAG         12\n" +
				"CONSUMER 7  lease until 2026-11-22T17:16:13Z, partitions t-0 u-11\n" +
				"CONSUMER 8  lease until 2026-11-22T17:16:14Z, partitions -\n",
		},
		"group describe k": {
			`{"group":"k","cluster":"c","state":"stable","generation":1,"lag":0,"created_at":"2026-11-22T17:16:03Z","members":[` +
				`{"consumer_id":0,"member_id":"rdkafka-1","lease_expires_at":"2026-11-22T17:16:13Z","assignment":[{"topic":"t","partition":0}]}]}`,
			"GROUP                   k\n" +
				"CLUSTER                 c\n" +
				"CREATED                 2026-11-22T17:16:03Z\n" +
				"STATE                   stable\n" +
				"GENERATION              1\n" +
				"LAG                     0\n" +
				"KAFKA CLIENT rdkafka-1  lease until 2026-11-22T17:16:13Z, partitions t-0\n",
		},
		"group seek g --topic t --to 5": {
			`{"group":"g","offsets":[{"topic":"t","partition":0,"offset":5},{"topic":"t","partition":10,"offset":4611686018427387903}]}`,
			"TOPIC  PARTITION  FROM  TO\n" +
				"t      0          -     5\n" +
				"t      10         -     4611686018427387903\n",
		},
		"offset commit --consumer-id 7": {
			`{"group":"g","consumer_id":7,"offsets":[{"topic":"t","partition":1,"offset":3}]}`,
			"TOPIC  PARTITION  OFFSET\n" +
				"t      1          3\n",
		},
		"offset list --group g": {
			`{"offsets":[{"topic":"t","partition":0,"committed":4,"position":5,"end":null,"lag":null,"metadata":"a\tb\u001b","owner":null}]}`,
			"TOPIC  PARTITION  COMMITTED  POSITION  END  LAG  CONSUMER  METADATA\n" +
				"t      0          4          5         -    -    -         a?b?\n",
		},
		"cluster list":               {`{"clusters":[]}`, "NAME  BROKERS  RUNNING  PARTITIONS  REPLICAS  RETENTION  FSYNC  DIRECTORY\n"},
		"topic list":                 {`{"topics":[]}`, "CLUSTER  NAME  PARTITIONS  REPLICAS  LEADERLESS  OFFSETS  RETENTION  CLEANUP\n"},
		"group list":                 {`{"groups":[]}`, "CLUSTER  GROUP  STATE  GENERATION  MEMBERS  LAG\n"},
		"group delete g --cluster c": {``, "group g deleted\n"},
		"cluster delete c":           {``, "cluster c deleted\n"},
	} {
		t.Run(args, func(t *testing.T) {
			s := newStandIn(t, func(int, asked) (int, string) { return 200, tt.answer })
			code, stdout, stderr := s.ottla(t, "", strings.Fields(args)...)
			require.Equal(t, exitOK, code, stderr)
			assert.Equal(t, tt.want, stdout)
		})
	}
}

// An answer with fields of the wrong types is an error, not a table of zeros.
func TestTablesOfWrongAnswers(t *testing.T) {
	for args, answer := range map[string]string{
		"cluster list":                  `{"clusters":7}`,
		"cluster describe c":            `[]`,
		"cluster stop-broker c 1":       `{"id":"x"}`,
		"topic list":                    `{"topics":[{"name":1}]}`,
		"topic describe t":              `{"partitions":{}}`,
		"group list":                    `{"groups":[[]]}`,
		"group describe g":              `{"created_at":"yesterday"}`,
		"offset list --group g":         `{"offsets":[{"partition":"0"}]}`,
		"offset commit --consumer-id 1": `"x"`,
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return 200, answer })
		code, stdout, stderr := s.ottla(t, "", strings.Fields(args)...)
		assert.Equal(t, exitFailed, code, args)
		assert.Empty(t, stdout, args)
		assert.Contains(t, stderr, "ottla: the answer is not what an Ottla server gives: ", args)
	}
}

// --output json prints the server's answer, including fields that this version does
// not know, and numbers digit for digit.
func TestJSONOutputIsTheServersAnswer(t *testing.T) {
	const answer = `{"name":"t","partitions":[],"new_in_later_versions":{"x":[1.50,12345678901234567890]},"html":"<&>"}`
	s := newStandIn(t, func(int, asked) (int, string) { return 200, answer })
	code, stdout, stderr := s.ottla(t, "", "topic", "describe", "t", "--output", "json")
	require.Equal(t, exitOK, code, stderr)
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, []byte(stdout)))
	assert.Equal(t, answer, compact.String())
	assert.True(t, strings.HasPrefix(stdout, "{\n  \"name\": \"t\""), "for people to read: %s", stdout)

	s = newStandIn(t, func(int, asked) (int, string) { return 204, "" })
	code, stdout, _ = s.ottla(t, "", "topic", "delete", "t", "--output", "json")
	assert.Equal(t, exitOK, code)
	assert.Empty(t, stdout, "nothing was answered")
}

func TestWordsOfTables(t *testing.T) {
	for n, want := range map[float64]string{-1: "for ever", 168: "168h", 0.5: "0.5h", 1.0 / 3600: "0.0002777777777777778h", 876000: "876000h"} {
		assert.Equal(t, want, hours(n))
	}
	assert.Equal(t, []string{"none", "1", "3,1,2"}, []string{join(nil), join([]int{1}), join([]int{3, 1, 2})})
	seven := int64(7)
	assert.Equal(t, []string{"", "7"}, []string{optional[int64](nil), optional(&seven)})
	assert.Equal(t, []string{"", "2026-11-22T17:16:03.123Z"}, []string{when(time.Time{}), when(time.UnixMilli(1795367763123).UTC())})
	assert.Equal(t, []string{"-", "a b", "a?b", "?[2J", "é😀"},
		[]string{printable(""), printable("a b"), printable("a\nb"), printable("\x1b[2J"), printable("é😀")})
}

// An error about wrong usage says what would be right.
func TestUsageErrors(t *testing.T) {
	for args, want := range map[string]string{
		"topic":                                          "ottla topic needs a command",
		"topic frob":                                     `unknown command "frob"`,
		"topic create":                                   "ottla topic create needs a NAME",
		"topic create a b":                               `ottla topic create takes a NAME: "b" is one too many`,
		"topic list x":                                   `ottla topic list takes no argument: "x" is one too many`,
		"topic alter t":                                  "ottla topic alter needs a setting to change",
		"topic list --output yaml":                       `--output "yaml" must be table or json`,
		"topic list --server ftp://x":                    `server "ftp://x" is not a URL such as http://127.0.0.1:8080`,
		"topic create t --partitions many":               `invalid argument "many" for "--partitions" flag`,
		"cluster stop-broker c":                          "ottla cluster stop-broker needs a broker's ID",
		"cluster start-broker c 1 2":                     `ottla cluster start-broker takes a NAME and a broker's ID: "2" is one too many`,
		"group seek g --topic t":                         "ottla group seek needs --to, and --topic or --all-topics",
		"group seek g --to 1 --topic t --all-topics":     "ottla group seek needs --to, and --topic or --all-topics",
		"group seek g --to 1 --all-topics --partition 1": "--partition is of one topic",
		"group seek g --topic t --to soon":               `"soon" must be earliest, latest, an offset, a time (2026-11-22`,
		"offset list":                                    "ottla offset list needs --group",
		"offset commit":                                  "ottla offset commit needs --consumer-id",
		"offset commit --consumer-id 1 --offset 3":       "ottla offset commit needs --topic, --partition and --offset together",
		"offset commit --consumer-id 1 --topic t --partition 3":  "ottla offset commit needs --topic, --partition and --offset together",
		"offset commit --consumer-id 1 --partition 3 --offset 3": "ottla offset commit needs --topic, --partition and --offset together",

		"produce":                         "ottla produce needs a TOPIC",
		"produce a b c":                   `ottla produce takes a TOPIC and a FILE: "c" is one too many`,
		"produce t --key a --key-field b": "--key and --key-field exclude each other",
		"produce t --key \xff":            "--key must be UTF-8",
		"consume":                         "ottla consume needs a TOPIC",
		"consume t --tail 3 --group g":    "--partition, --offset and --tail read without a group",
		"consume t --format %q":           "--format knows %t",
		"produce t --records --key k":     "--records excludes --key",
		"topic create t --retention-ms x": `invalid argument "x" for "--retention-ms" flag: "x" must be a duration such as 90s, 12h, 1d or 2w`,
		"consume t --from soon":           `--from "soon" must be earliest, latest, milliseconds since 1970, a time (2026-11-22`,
		"consume t --max-records -1":      "--max-records -1 must not be negative",
		"consume t --wait 1h":             "--wait 1h0m0s must be from 1ms to 30s",
		"consume t --wait 0s":             "--wait 0s must be from 1ms to 30s",
		"log":                             "ottla log needs a command",

		"mirror --all":                                    "--from must name a broker of the Kafka cluster",
		"mirror --from k --all":                           `--from "k" must be HOST:PORT`,
		"mirror --from k:1":                               "either --topics or --all must say what is copied",
		"mirror --from k:1 --all --topics t":              "either --topics or --all must say what is copied",
		"mirror --from k:1 --all --groups g --all-groups": "--groups and --all-groups exclude each other",
		"mirror --from k:1 --all --from-user u":           "--from-user and --from-password-file need each other",

		"mirror --from k:1 --all --from-user u --from-password-file /dev/null --from-sasl x": `"x" is no mechanism of SASL that is known; these are: plain, scram-sha-256, scram-sha-512`,

		"log verify":             "ottla log verify needs a DIR",
		"log repair . --dry-run": "--dry-run goes with --force-membership and without --yes",

		"log repair . --force-membership --dry-run --yes": "--dry-run goes with --force-membership and without --yes",
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return 500, "" })
		code, stdout, stderr := s.ottla(t, "", strings.Fields(args)...)
		assert.Equal(t, exitUsage, code, args)
		assert.Empty(t, stdout, args)
		assert.Contains(t, stderr, "ottla: "+want, args)
		assert.Regexp(t, `\nRun 'ottla[a-z -]* --help' for usage\.\n$`, stderr, args)
		assert.Empty(t, s.asked, args)
	}
}
