package cli

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	queueAnswer = `{"group":"q","cluster":"c","state":"stable","generation":3,"lag":9,"created_at":"2026-11-22T17:16:03Z","mode":"queue","topics":["a","b"],` +
		`"ack_wait_ms":30000,"max_deliveries":5,"backoff_ms":[1000,90000],"dead_letter_topic":null,"order":"key","max_in_flight":7,"members":[],` +
		`"partitions":[{"topic":"a","partition":0,"position":4,"end":9,"ready":3,"in_flight":1,"delayed":1,"dead":2,"oldest_ready_ms":61500,"removed":6},` +
		`{"topic":"b","partition":11,"position":0,"end":0,"ready":0,"in_flight":0,"delayed":0,"dead":0,"oldest_ready_ms":null}]}`
	nodeAnswer = `{"id":2,"name":"n2","uuid":"u-2","http":"h:8080","link":"h:9090","rack":"r1","version":"v1","state":"draining","brokers":[{"cluster":"c","id":1},{"cluster":"d","id":3}],` +
		`"leaders":4,"replicas":12,"created_at":"2026-11-22T17:16:03Z"}`
	subscriptionText = `{"name":"s","topics":["t","u"],"cluster":"c","url":"https://x/in","group":"subscription-s","batch":10,"order":"none","timeout_ms":2500,"max_deliveries":4,` +
		`"signed":true,"dead_letter_topic":"d","headers":{"A":"left out"},"state":"failing","lag":6,"last_status":503,"last_error":"busy","last_attempt_at":"2026-11-22T17:16:03.25Z","failing_since":"2026-11-22T17:00:00Z"}`
	pausedText = `{"name":"p","topics":["t"],"cluster":"c","url":"https://y/","group":"g","batch":1,"order":"partition","timeout_ms":10000,"max_deliveries":20,` +
		`"signed":false,"dead_letter_topic":null,"headers":{},"state":"paused","paused_because":"410","lag":null,"last_status":null}`
)

// moreTables are commands with an answer of the server, and the table of it.
var moreTables = map[string]struct{ answer, want string }{
	"queue list": {
		`{"groups":[{"group":"g","cluster":"c","state":"empty","members":[]},` + queueAnswer + `]}`,
		"CLUSTER  QUEUE  TOPICS  READY  IN FLIGHT  DELAYED  DEAD\n" +
			"c        q      a b     3      1          1        2\n",
	},
	"queue describe q": {
		queueAnswer,
		"QUEUE           q\n" +
			"CLUSTER         c\n" +
			"CREATED         2026-11-22T17:16:03Z\n" +
			"TOPICS          a b\n" +
			"WORKERS         0\n" +
			"ACK WAIT        30s\n" +
			"MAX DELIVERIES  5\n" +
			"BACKOFF         1s 1m30s\n" +
			"DEAD LETTERS    each topic's own, followed by .dead\n" +
			"ORDER           key\n" +
			"MAX IN FLIGHT   7\n" +
			"a-0             position 4 of 9, 3 ready, 1 in flight, 1 delayed, 2 dead, ready for 1m1.5s, 6 removed by retention\n" +
			"b-11            position 0 of 0, 0 ready, 0 in flight, 0 delayed, 0 dead\n",
	},
	"queue delete q": {``, "queue q deleted\n"},
	"queue describe g": {
		`{"group":"g","cluster":"c","state":"empty","generation":1,"lag":0,"created_at":"2026-11-22T17:16:03Z","members":[]}`,
		"GROUP       g\n" +
			"CLUSTER     c\n" +
			"CREATED     2026-11-22T17:16:03Z\n" +
			"STATE       empty\n" +
			"GENERATION  1\n" +
			"LAG         0\n" +
			"-           it is no queue: 'ottla queue create' makes it one\n",
	},
	"node list": {
		`{"nodes":[` + nodeAnswer + `]}`,
		"ID  NAME  STATE     HTTP    LINK    RACK  BROKERS  LEADERS  REPLICAS  VERSION\n" +
			"2   n2    draining  h:8080  h:9090  r1    2        4        12        v1\n",
	},
	"node describe 2": {
		nodeAnswer,
		"ID        2\n" +
			"NAME      n2\n" +
			"STATE     draining\n" +
			"UUID      u-2\n" +
			"HTTP      h:8080\n" +
			"LINK      h:9090\n" +
			"RACK      r1\n" +
			"VERSION   v1\n" +
			"CREATED   2026-11-22T17:16:03Z\n" +
			"LEADERS   4\n" +
			"REPLICAS  12\n" +
			"BROKER    1 of c\n" +
			"BROKER    3 of d\n",
	},
	"node tasks": {
		`{"tasks":[{"id":"t1","kind":"replace","state":"running","node":3,"with":4,"moved":1,"left":2,"waiting_for":"a majority","started_at":"2026-11-22T17:16:03Z"},` +
			`{"id":"t2","kind":"resize","state":"done","cluster":"c","brokers":5,"moved":0,"left":0,"started_at":"2026-11-22T17:16:04Z"},` +
			`{"id":"t3","kind":"rebalance","state":"done","moved":7,"left":0,"started_at":"2026-11-22T17:16:05Z"}]}`,
		"ID  KIND       STATE    OF  WITH  MOVED  LEFT  WAITS FOR   STARTED\n" +
			"t1  replace    running  3   4     1      2     a majority  2026-11-22T17:16:03Z\n" +
			"t2  resize     done     c   -     0      0     -           2026-11-22T17:16:04Z\n" +
			"t3  rebalance  done     -   -     7      0     -           2026-11-22T17:16:05Z\n",
	},
	"node replace 3 --with 4":     {`{"id":"t1","kind":"replace","state":"running","node":3,"with":4,"left":2}`, "task t1: node 4 takes the place of node 3; 2 replicas left\n"},
	"node decommission 3":         {`{"id":"t2","kind":"decommission","state":"running","node":3,"left":1}`, "task t2: the brokers of node 3 move to others; 1 replica left\n"},
	"node rebalance":              {`{"id":"t3","kind":"rebalance","state":"done","left":0}`, "task t3: brokers move; done\n"},
	"cluster alter c --brokers 1": {`{"id":"t4","kind":"resize","state":"running","cluster":"c","brokers":1,"left":3}`, "task t4: cluster c gets 1 broker; 3 replicas left\n"},
	"subscription list": {
		`{"subscriptions":[` + pausedText + `,` + subscriptionText + `]}`,
		"NAME  TOPICS  STATE    LAG  STATUS  FAILING SINCE         URL\n" +
			"p     t       paused   -    -       -                     https://y/\n" +
			"s     t u     failing  6    503     2026-11-22T17:00:00Z  https://x/in\n",
	},
	"subscription describe s": {
		subscriptionText,
		"NAME            s\n" +
			"STATE           failing\n" +
			"LAG             6\n" +
			"LAST STATUS     503\n" +
			"LAST ERROR      busy\n" +
			"LAST ATTEMPT    2026-11-22T17:16:03.25Z\n" +
			"FAILING SINCE   2026-11-22T17:00:00Z\n" +
			"URL             https://x/in\n" +
			"TOPICS          t u\n" +
			"CLUSTER         c\n" +
			"GROUP           subscription-s\n" +
			"BATCH           10\n" +
			"ORDER           none\n" +
			"TIMEOUT         2.5s\n" +
			"SIGNED          true\n" +
			"MAX DELIVERIES  4\n" +
			"DEAD LETTERS    d\n",
	},
	"subscription pause p": {
		pausedText,
		"NAME            p\n" +
			"STATE           paused: 410\n" +
			"LAG             -\n" +
			"LAST STATUS     -\n" +
			"LAST ERROR      -\n" +
			"LAST ATTEMPT    -\n" +
			"FAILING SINCE   -\n" +
			"URL             https://y/\n" +
			"TOPICS          t\n" +
			"CLUSTER         c\n" +
			"GROUP           g\n" +
			"BATCH           1\n" +
			"ORDER           partition\n" +
			"TIMEOUT         10s\n" +
			"SIGNED          false\n" +
			"MAX DELIVERIES  20\n" +
			"DEAD LETTERS    the record's, followed by .dead\n",
	},
	"subscription delete s": {``, "subscription s deleted\n"},
	"source list": {
		`{"sources":[{"name":"a","cluster":"c","topic":"t","verify":{"scheme":"github"},"id_header":"I","key_header":"K"},{"name":"b","cluster":"c","topic":"u","verify":{"scheme":"stripe"},"key_json":"/x"}]}`,
		"NAME  CLUSTER  TOPIC  SCHEME  KEY  ID\n" +
			"a     c        t      github  K    I\n" +
			"b     c        u      stripe  /x   -\n",
	},
	"source describe a": {
		`{"name":"a","cluster":"c","topic":"t","verify":{"scheme":"hmac-sha256","header":"H"}}`,
		"NAME  CLUSTER  TOPIC  SCHEME       KEY  ID\n" +
			"a     c        t      hmac-sha256  -    -\n",
	},
	"source delete a": {``, "source a deleted\n"},
	"token list": {
		`{"tokens":[{"name":"all","allow":[{"do":["read","write","admin"]}],"created_at":"2026-11-22T17:16:03Z"},` +
			`{"name":"two","allow":[{"do":["read"],"topics":"a*"},{"do":["write"],"groups":"g","cluster":"c"}],"expires_at":"2027-01-02T03:04:05Z",` +
			`"quota":{"produce_bytes_per_s":1,"fetch_bytes_per_s":2,"requests_per_s":3,"connections":4,"partitions":5}}]}`,
		"NAME  MAY               TOPICS      GROUPS      CLUSTERS  EXPIRES               QUOTA\n" +
			"all   read,write,admin  everything  everything  *         never                 -\n" +
			"two   read              a*          -           *         2027-01-02T03:04:05Z  produce_bytes_per_s=1 fetch_bytes_per_s=2 requests_per_s=3 connections=4 partitions=5\n" +
			"two   write             -           g           c         2027-01-02T03:04:05Z  produce_bytes_per_s=1 fetch_bytes_per_s=2 requests_per_s=3 connections=4 partitions=5\n",
	},
	"token delete t": {``, "token t deleted\n"},
}

// The tables of what only some have: queues, nodes, tasks, webhooks and tokens.
func TestMoreTablesToTheLetter(t *testing.T) {
	for line, tt := range moreTables {
		t.Run(line, func(t *testing.T) {
			s := newStandIn(t, func(int, asked) (int, string) { return 200, tt.answer })
			code, stdout, stderr := s.ottla(t, "", words(line)...)
			require.Equal(t, exitOK, code, stderr)
			assert.Equal(t, tt.want, stdout)
		})
	}
}

// What a command deletes is not said where the output is JSON, and what cannot be read is
// an error in any table.
func TestWhatTablesLeaveOut(t *testing.T) {
	for _, line := range []string{"queue delete q", "source delete s", "token delete t", "subscription delete s", "group delete g"} {
		s := newStandIn(t, func(int, asked) (int, string) { return 200, `` })
		code, stdout, stderr := s.ottla(t, "", append(words(line), "--output", "json")...)
		assert.Equal(t, exitOK, code, stderr)
		assert.Empty(t, stdout, line)
	}
	for line, answer := range map[string]string{
		"queue list": `{"groups":{}}`, "queue describe q": `{"members":7}`, "node list": `{"nodes":"x"}`, "node describe 1": `{"id":"1"}`, "node tasks": `{"tasks":[1]}`,
		"node rebalance": `{"id":1}`, "subscription list": `{"subscriptions":[{"batch":"1"}]}`, "subscription describe s": `[]`, "source list": `{"sources":[{"name":1}]}`,
		"source describe s": `7`, "token list": `{"tokens":[{"allow":1}]}`, "token describe t": `{"created_at":"soon"}`,
	} {
		s := newStandIn(t, func(int, asked) (int, string) { return 200, answer })
		code, stdout, stderr := s.ottla(t, "", words(line)...)
		assert.Equal(t, exitFailed, code, line)
		assert.Empty(t, stdout, line)
		assert.Contains(t, stderr, "is not what an Ottla server gives", line)
	}
}
