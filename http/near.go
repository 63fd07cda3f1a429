package http

import (
	"strings"

	"ottla/protocol"
)

// Bounds of what nearRoute compares.
const (
	maxNearPath  = 500 // bytes of a path
	maxPathTypos = 3   // characters of all its parts together
)

// nearRoute is the route that a client may have meant, such as "POST /topic" by POST
// /topics: one with as many parts, of which those that are not names are spelled alike.
// "" if there is none. One for the same method counts before others. Where the path is
// right, and the method is not, others are not named: Allow does that.
func (s *Server) nearRoute(method, path string) string {
	if len(path) > maxNearPath {
		return ""
	}
	const otherMethod = 2
	best, near := maxPathTypos+otherMethod+1, ""
	parts := strings.Split(path, "/")
	for i := range s.table {
		rt := &s.table[i]
		n := pathDistance(parts, strings.Split(rt.path, "/"))
		switch {
		case n > maxPathTypos, n == 0 && rt.method != method:
			continue
		case rt.method != method:
			n += otherMethod
		}
		if n < best {
			best, near = n, rt.method+" "+rt.path
		}
	}
	return near
}

// pathDistance is by how many characters the parts of a path differ from those of a
// route; more than maxPathTypos if it is not near.
func pathDistance(parts, route []string) int {
	const far = maxPathTypos + 1
	if len(parts) != len(route) {
		return far
	}
	sum := 0
	for i, want := range route {
		if strings.HasPrefix(want, "{") {
			if parts[i] == "" {
				return far
			}
			continue
		}
		limit := min(maxPathTypos, max(len(want)/3, 1))
		n := protocol.EditDistance(strings.ToLower(parts[i]), want, limit)
		if n > limit {
			return far
		}
		sum += n
	}
	return min(sum, far)
}

// suggest adds to an error the route that may have been meant.
func suggest(c *call, e *protocol.Error) *protocol.Error {
	near := c.srv.nearRoute(string(c.ctx.Method()), string(c.ctx.Path()))
	if near == "" {
		return e
	}
	e.Message += "; did you mean " + near + "?"
	return e.With("similar", near)
}
