package http

import (
	"strings"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// bodyKind is the kind of body that a route takes.
type bodyKind int

const (
	noBody   bodyKind = iota
	jsonBody          // JSON, or empty
	anyBody           // the handler decides by the media type
)

// route is one line of the API.
type route struct {
	method, path string
	body         bodyKind
	handle       func(*call) *protocol.Error
	named        bool // a part of the path is a name; set by routes

	// refused, if set, may replace the error of a request whose body could not be
	// read.
	refused func(*call, *protocol.Error) *protocol.Error
}

// eventsPath is the path of produces and polls.
const eventsPath = "/events"

// table is the whole API. What has a GET has a HEAD too, except for the GET that
// changes something (GET /events).
var table = []route{
	{method: "GET", path: "/", handle: getRoot},
	{method: "GET", path: consolePath, handle: getConsole},
	{method: "GET", path: consolePath + "{file}", handle: getConsoleFile},

	{method: "POST", path: "/cluster", body: jsonBody, handle: postCluster},
	{method: "GET", path: "/cluster", handle: getClusters},
	{method: "GET", path: "/cluster/{cluster}", handle: getCluster},
	{method: "DELETE", path: "/cluster/{cluster}", handle: deleteCluster},
	{method: "POST", path: "/cluster/{cluster}/brokers/{broker}/stop", body: jsonBody, handle: stopBroker},
	{method: "POST", path: "/cluster/{cluster}/brokers/{broker}/start", body: jsonBody, handle: startBroker},

	{method: "POST", path: "/topic", body: jsonBody, handle: postTopic},
	{method: "GET", path: "/topic", handle: getTopics},
	{method: "GET", path: "/topic/{topic}", handle: getTopic},
	{method: "PATCH", path: "/topic/{topic}", body: jsonBody, handle: patchTopic},
	{method: "DELETE", path: "/topic/{topic}", handle: deleteTopic},
	{method: "GET", path: "/topic/{topic}/partitions/{partition}/records", handle: getRecords},
	{method: "GET", path: "/topic/{topic}/partitions/{partition}/offsets", handle: getPartitionOffsets},
	{method: "GET", path: "/topic/{topic}/stream", handle: getTopicStream},

	{method: "POST", path: webhookPath, body: anyBody, handle: postWebhook},
	{method: "POST", path: eventsPath, body: anyBody, handle: postEvents, refused: refusedEvents},
	{method: "GET", path: eventsPath, body: jsonBody, handle: getEvents},
	{method: "POST", path: "/offset", body: jsonBody, handle: postOffset},
	{method: "GET", path: "/offset", handle: getOffset},

	{method: "GET", path: "/groups", handle: getGroups},
	{method: "GET", path: "/groups/{group}", handle: getGroup},
	{method: "DELETE", path: "/groups/{group}", handle: deleteGroup},
	{method: "POST", path: "/groups/{group}/seek", body: jsonBody, handle: postSeek},
	{method: "DELETE", path: "/groups/{group}/members/{consumer_id}", handle: deleteMember},
	{method: "POST", path: "/groups/{group}/members/{consumer_id}/heartbeat", body: jsonBody, handle: postHeartbeat},

	{method: "GET", path: "/brokers", handle: viewBrokers},
	{method: "GET", path: "/partitions", handle: viewPartitions},
	{method: "GET", path: "/consumer_groups", handle: viewConsumerGroups},
	{method: "GET", path: "/offset_commitments", handle: viewCommitments},
	{method: "GET", path: "/producers", handle: viewProducers},
	{method: "GET", path: "/topics", handle: viewTopics},

	{method: "GET", path: "/healthz", handle: getHealth},
	{method: "GET", path: "/readyz", handle: getReady},
	{method: "GET", path: "/overview", handle: getOverview},
	{method: "GET", path: "/metrics", handle: getMetrics},
	{method: "GET", path: "/openapi.json", handle: getOpenAPI},
	{method: "GET", path: "/docs", handle: getDocs},
}

// routes makes a handler of the table.
func (s *Server) routes() fasthttp.RequestHandler {
	r := router.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.SaveMatchedRoutePath = false
	r.NotFound = s.wrap(route{body: anyBody, handle: routeNotFound})
	r.MethodNotAllowed = s.wrap(route{body: anyBody, handle: methodNotAllowed})
	r.GlobalOPTIONS = s.wrap(route{body: anyBody, handle: answerOptions})
	for _, rt := range table {
		rt.named = strings.Contains(rt.path, "{")
		h := s.wrap(rt)
		r.Handle(rt.method, rt.path, h)
		if rt.method == fasthttp.MethodGet && rt.body == noBody {
			r.Handle(fasthttp.MethodHead, rt.path, h)
		}
	}
	return r.Handler
}
