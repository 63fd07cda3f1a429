package http

import "ottla/protocol"

// rule says who may use a route: what it does, and what it is asked of. The action
// stands here; the names of what is asked of are found where they are resolved,
// behind the Backend that the action's principal sees.
type rule struct {
	do protocol.Right
	on resource
}

// resource is what a route is asked of.
type resource string

// The kinds of resources.
const (
	nothing    resource = "nothing"    // anybody may ask, without a token
	unknown    resource = "unknown"    // no route has it: anybody may be told so, within his quota
	signature  resource = "signature"  // anybody may ask who has signed what he sends
	clusters   resource = "clusters"   // named in the path or the body
	topics     resource = "topics"     // named in the path, the query or the body
	groups     resource = "groups"     // named in the path, the query or the body, or the consumer's
	lists      resource = "lists"      // shows what may be seen, and no more
	tokens     resource = "tokens"     // one's own may be seen; the rest needs a right to everything
	everything resource = "everything" // the whole broker
)

// open reports whether the route needs no token.
func (r rule) open() bool { return r.on == nothing || r.on == unknown || r.on == signature }

// The rules of the table of routes.
var (
	anybody = rule{on: nothing}
	noRoute = rule{on: unknown}
	signed  = rule{on: signature} // who has signed it may write to one topic, and do nothing else

	adminClusters = rule{protocol.RightAdmin, clusters}
	seeCluster    = rule{protocol.RightRead, clusters}

	adminTopics = rule{protocol.RightAdmin, topics}
	writeTopics = rule{protocol.RightWrite, topics}
	readTopics  = rule{protocol.RightRead, topics}

	adminGroups = rule{protocol.RightAdmin, groups}
	readGroups  = rule{protocol.RightRead, groups} // and the topics that are read

	seeLists       = rule{protocol.RightRead, lists}
	seeTokens      = rule{protocol.RightAdmin, tokens}
	adminTokens    = rule{protocol.RightAdmin, everything}
	readEverything = rule{protocol.RightRead, everything}
	adminNodes     = rule{protocol.RightAdmin, everything}
)
