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
	needs        rule // who may use it
	handle       func(*call) *protocol.Error
	named        bool // a part of the path is a name; set by routes
	changes      bool // it changes what exists, rather than records and positions; set by wrap

	// refused, if set, may replace the error of a request whose body could not be
	// read.
	refused func(*call, *protocol.Error) *protocol.Error
}

// eventsPath is the path of produces and polls.
const eventsPath = "/events"

// table is the whole API. What has a GET has a HEAD too, except for the GET that
// changes something (GET /events).
var table = []route{
	{method: "GET", path: "/", needs: anybody, handle: getRoot},
	{method: "GET", path: consolePath, needs: anybody, handle: getConsole},
	{method: "GET", path: consolePath + "{file}", needs: anybody, handle: getConsoleFile},

	{method: "POST", path: "/cluster", body: jsonBody, needs: adminClusters, handle: postCluster},
	{method: "GET", path: "/cluster", needs: seeLists, handle: getClusters},
	{method: "GET", path: "/cluster/{cluster}", needs: seeCluster, handle: getCluster},
	{method: "PATCH", path: "/cluster/{cluster}", body: jsonBody, needs: adminClusters, handle: patchCluster},
	{method: "DELETE", path: "/cluster/{cluster}", needs: adminClusters, handle: deleteCluster},
	{method: "POST", path: "/cluster/{cluster}/brokers/{broker}/stop", body: jsonBody, needs: adminClusters, handle: stopBroker},
	{method: "POST", path: "/cluster/{cluster}/brokers/{broker}/start", body: jsonBody, needs: adminClusters, handle: startBroker},

	{method: "POST", path: "/topic", body: jsonBody, needs: adminTopics, handle: postTopic},
	{method: "GET", path: "/topic", needs: seeLists, handle: getTopics},
	{method: "GET", path: "/topic/{topic}", needs: readTopics, handle: getTopic},
	{method: "PATCH", path: "/topic/{topic}", body: jsonBody, needs: adminTopics, handle: patchTopic},
	{method: "DELETE", path: "/topic/{topic}", needs: adminTopics, handle: deleteTopic},
	{method: "POST", path: "/topic/{topic}/delete-records", body: jsonBody, needs: adminTopics, handle: postDeleteRecords},
	{method: "GET", path: "/topic/{topic}/partitions/{partition}/records", needs: readTopics, handle: getRecords},
	{method: "GET", path: "/topic/{topic}/partitions/{partition}/offsets", needs: readTopics, handle: getPartitionOffsets},
	{method: "GET", path: "/topic/{topic}/stream", needs: readTopics, handle: getTopicStream},

	{method: "POST", path: webhookPath, body: anyBody, needs: writeTopics, handle: postWebhook},
	{method: "PUT", path: sourcePath, body: jsonBody, needs: adminTopics, handle: putSource},
	{method: "GET", path: "/sources", needs: seeLists, handle: getSources},
	{method: "GET", path: sourcePath, needs: readTopics, handle: getSource},
	{method: "DELETE", path: sourcePath, needs: adminTopics, handle: deleteSource},
	{method: "POST", path: sourcePath, body: anyBody, needs: signed, handle: postSource},
	{method: "PUT", path: subscriptionPath, body: jsonBody, needs: adminTopics, handle: putSubscription},
	{method: "PATCH", path: subscriptionPath, body: jsonBody, needs: adminTopics, handle: patchSubscription},
	{method: "GET", path: "/subscriptions", needs: seeLists, handle: getSubscriptions},
	{method: "GET", path: subscriptionPath, needs: readTopics, handle: getSubscription},
	{method: "DELETE", path: subscriptionPath, needs: adminTopics, handle: deleteSubscription},
	{method: "POST", path: eventsPath, body: anyBody, needs: writeTopics, handle: postEvents, refused: refusedEvents},
	{method: "GET", path: eventsPath, body: jsonBody, needs: readGroups, handle: getEvents},
	{method: "POST", path: ackPath, body: jsonBody, needs: readGroups, handle: postAck},
	{method: "POST", path: nackPath, body: jsonBody, needs: readGroups, handle: postNack},
	{method: "POST", path: extendPath, body: jsonBody, needs: readGroups, handle: postExtend},
	{method: "POST", path: "/offset", body: jsonBody, needs: readGroups, handle: postOffset},
	{method: "GET", path: "/offset", needs: readGroups, handle: getOffset},

	{method: "GET", path: "/groups", needs: seeLists, handle: getGroups},
	{method: "GET", path: "/groups/{group}", needs: readGroups, handle: getGroup},
	{method: "PUT", path: "/groups/{group}", body: jsonBody, needs: readGroups, handle: putQueue},
	{method: "PATCH", path: "/groups/{group}", body: jsonBody, needs: readGroups, handle: patchQueue},
	{method: "DELETE", path: "/groups/{group}", needs: adminGroups, handle: deleteGroup},
	{method: "POST", path: "/groups/{group}/seek", body: jsonBody, needs: readGroups, handle: postSeek},
	{method: "DELETE", path: "/groups/{group}/members/{consumer_id}", needs: readGroups, handle: deleteMember},
	{method: "POST", path: "/groups/{group}/members/{consumer_id}/heartbeat", body: jsonBody, needs: readGroups, handle: postHeartbeat},

	{method: "POST", path: "/tokens", body: jsonBody, needs: adminTokens, handle: postToken},
	{method: "GET", path: "/tokens", needs: seeTokens, handle: getTokens},
	{method: "GET", path: "/tokens/{token}", needs: seeTokens, handle: getToken},
	{method: "PATCH", path: "/tokens/{token}", body: jsonBody, needs: adminTokens, handle: patchToken},
	{method: "POST", path: "/tokens/{token}/rotate", body: jsonBody, needs: adminTokens, handle: rotateToken},
	{method: "DELETE", path: "/tokens/{token}", needs: adminTokens, handle: deleteToken},

	{method: "GET", path: "/nodes", needs: readEverything, handle: getNodes},
	{method: "GET", path: "/nodes/{node}", needs: readEverything, handle: getNode},
	{method: "POST", path: "/nodes/{node}/drain", body: jsonBody, needs: adminNodes, handle: drainNode},
	{method: "POST", path: "/nodes/{node}/resume", body: jsonBody, needs: adminNodes, handle: resumeNode},
	{method: "POST", path: "/nodes/{node}/replace", body: jsonBody, needs: adminNodes, handle: replaceNode},
	{method: "POST", path: "/nodes/{node}/decommission", body: jsonBody, needs: adminNodes, handle: decommissionNode},
	{method: "DELETE", path: "/nodes/{node}/decommission", needs: adminNodes, handle: keepNode},
	{method: "POST", path: "/nodes/rebalance", body: jsonBody, needs: adminNodes, handle: rebalanceNodes},
	{method: "GET", path: "/fleet", needs: readEverything, handle: getFleet},
	{method: "POST", path: "/fleet/finalize", body: jsonBody, needs: adminNodes, handle: finalizeFleet},
	{method: "GET", path: "/tasks", needs: readEverything, handle: getTasks},
	{method: "GET", path: "/tasks/{task}", needs: readEverything, handle: getTask},

	{method: "GET", path: "/brokers", needs: seeLists, handle: viewBrokers},
	{method: "GET", path: "/partitions", needs: seeLists, handle: viewPartitions},
	{method: "GET", path: "/consumer_groups", needs: seeLists, handle: viewConsumerGroups},
	{method: "GET", path: "/offset_commitments", needs: seeLists, handle: viewCommitments},
	{method: "GET", path: "/producers", needs: seeLists, handle: viewProducers},
	{method: "GET", path: "/topics", needs: seeLists, handle: viewTopics},

	{method: "GET", path: "/healthz", needs: anybody, handle: getHealth},
	{method: "GET", path: "/readyz", needs: anybody, handle: getReady},
	{method: "GET", path: "/overview", needs: readEverything, handle: getOverview},
	{method: "GET", path: "/metrics", needs: readEverything, handle: getMetrics},
	{method: "GET", path: "/openapi.json", needs: anybody, handle: getOpenAPI},
	{method: "GET", path: "/docs", needs: anybody, handle: getDocs},
}

// routes makes a handler of the table.
func (s *Server) routes() fasthttp.RequestHandler {
	r := router.New()
	r.RedirectTrailingSlash = false
	r.RedirectFixedPath = false
	r.SaveMatchedRoutePath = false
	r.NotFound = s.wrap(route{body: anyBody, needs: noRoute, handle: routeNotFound})
	r.MethodNotAllowed = s.wrap(route{body: anyBody, needs: noRoute, handle: methodNotAllowed})
	r.GlobalOPTIONS = s.wrap(route{body: anyBody, needs: anybody, handle: answerOptions})
	s.table = table
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
