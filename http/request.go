package http

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// request is what a client has sent, and how it is read: the path, the query, the
// headers and the body.
type request struct {
	intake  *intake
	ctx     *fasthttp.RequestCtx
	route   string // as in the table of routes
	began   time.Time
	body    []byte // decompressed; aliases buf
	buf     []byte
	held    int64 // bytes taken from the server's budget
	bytesIn int   // of the body as it came
}

// param returns a part of the path, decoded, in memory of its own.
func (q *request) param(name string) string {
	raw, _ := q.ctx.UserValue(name).(string)
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return strings.Clone(raw)
	}
	return strings.Clone(decoded)
}

// nameParam returns a part of the path that must be a valid name.
func (q *request) nameParam(name string) (string, *protocol.Error) {
	v := q.param(name)
	if !protocol.ValidName(v) {
		return "", invalidName(name, v)
	}
	return v, nil
}

// clusterQuery reads ?cluster=, the only parameter of many routes.
func (q *request) clusterQuery() (cluster string, err *protocol.Error) {
	err = q.bindQuery(binding{name: "cluster", set: setName(&cluster)})
	return cluster, err
}

// clusterList reads the query of a list that may be of one cluster.
func (q *request) clusterList(p *page) (cluster string, err *protocol.Error) {
	err = q.bindQuery(p.bindings(binding{name: "cluster", set: setName(&cluster)})...)
	return cluster, err
}

// groupOf returns the group in the path and the cluster in the query.
func (q *request) groupOf() (cluster, group string, err *protocol.Error) {
	if cluster, err = q.clusterQuery(); err == nil {
		group, err = q.nameParam("group")
	}
	return cluster, group, err
}

// memberOf returns the group and the consumer in the path, and the cluster in the
// query.
func (q *request) memberOf() (cluster, group string, id protocol.ConsumerID, err *protocol.Error) {
	if cluster, group, err = q.groupOf(); err == nil {
		param := value{text: []byte(q.param("consumer_id")), isQ: true}
		err = setInteger(&id, 1, maxID, atLeast)("consumer_id", param)
	}
	return cluster, group, id, err
}

// clusterOf returns the cluster in the path. The query must be empty.
func (q *request) clusterOf() (string, *protocol.Error) {
	if err := q.bindQuery(); err != nil {
		return "", err
	}
	return q.nameParam("cluster")
}

// listQuery reads the parameters that lists of topics and their views share.
func (q *request) listQuery(p *page) (cluster string, internal bool, err *protocol.Error) {
	err = q.bindQuery(p.bindings(
		binding{name: "cluster", set: setName(&cluster)},
		binding{name: "internal", set: setBool(&internal)})...)
	return cluster, internal, err
}

// topicOf returns the topic in the path and the cluster in the query.
func (q *request) topicOf() (cluster, topic string, err *protocol.Error) {
	if cluster, err = q.clusterQuery(); err == nil {
		topic, err = q.nameParam("topic")
	}
	return cluster, topic, err
}

// tokenOf returns the token in the path. The query must be empty.
func (q *request) tokenOf() (string, *protocol.Error) {
	if err := q.bindQuery(); err != nil {
		return "", err
	}
	return q.nameParam("token")
}

// sourceOf returns the source in the path. The query must be empty.
func (q *request) sourceOf() (string, *protocol.Error) {
	if err := q.bindQuery(); err != nil {
		return "", err
	}
	return q.nameParam("source")
}

// subscriptionOf returns the subscription in the path. The query must be empty.
func (q *request) subscriptionOf() (string, *protocol.Error) {
	if err := q.bindQuery(); err != nil {
		return "", err
	}
	return q.nameParam("subscription")
}

// nodeID is the number of the node in the path.
func (q *request) nodeID() (uint64, *protocol.Error) {
	id, err := strconv.ParseUint(q.param("node"), 10, 64)
	if err != nil || id == 0 {
		return 0, noNode(q.param("node"))
	}
	return id, nil
}

// header is the text of a header of the request, those of the same name joined by
// commas. Bytes that are no UTF-8 are taken for ISO 8859-1.
func (q *request) header(name string) (text string, given bool) {
	if name == "" {
		return "", false
	}
	values := q.ctx.Request.Header.PeekAll(name)
	if len(values) == 0 {
		return "", false
	}
	text = string(bytes.Join(values, []byte(", ")))
	if utf8.ValidString(text) {
		return text, true
	}
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes), true
}

// visibleTopic finds the topic in the query or in the body, which need not be
// valid beyond the topic.
func (q *request) visibleTopic() string {
	if topic := q.ctx.QueryArgs().Peek("topic"); len(topic) > 0 {
		return string(topic)
	}
	r := protocol.NewJSONReader(q.body)
	for r.Object(); r.Field(); {
		isTopic := string(r.Key) == "topic"
		v, ok := r.Value()
		if isTopic && ok {
			topic, _ := value{json: v}.str()
			return topic
		}
	}
	return ""
}
