package front

import (
	"strings"

	"ottla/protocol"
)

// topicMissing is the error for a topic that cannot be found, and names the topic
// of the cluster, or of all if it is empty, that the client may have meant.
func (rv *resolver) topicMissing(cluster, topic string) *protocol.Error {
	e := topicNotFound(topic)
	similar := rv.similarTopic(cluster, topic)
	if similar == "" {
		return e
	}
	e = e.With("similar", similar)
	e.Message += "; did you mean \"" + similar + "\"?"
	return e
}

// similarTopic returns the topic whose name is nearest to one that does not exist,
// the first in the alphabet of several; "" if none is near.
func (rv *resolver) similarTopic(cluster, topic string) (nearest string) {
	wanted := strings.ToLower(topic)
	least := min(maxTypos, max(1, len(topic)/3)) + 1
	for name, c := range rv.directory.Clusters() {
		rt := c.Table()
		if rt == nil || cluster != "" && cluster != name {
			continue
		}
		for known := range rt.Topics {
			if protocol.IsInternalTopic(known) && !protocol.IsInternalTopic(topic) || !rv.access.Who.SeesTopic(name, known) {
				continue
			}
			n := protocol.EditDistance(wanted, strings.ToLower(known), least)
			if n < least || n == least && nearest != "" && known < nearest {
				least, nearest = n, known
			}
		}
	}
	return nearest
}

// maxTypos is how many characters of a name may differ for it to be similar. It
// also bounds the time that a comparison takes.
const maxTypos = 3
