package kafka

import "github.com/twmb/franz-go/pkg/kmsg"

// handler answers the requests of one key.
type handler struct {
	min, max int16 // versions that are offered
	anybody  bool  // also for who has not said who he is
	handle   func(*conn, kmsg.Request) kmsg.Response
	// raw, instead of handle, answers a request that it reads itself; false if it cannot.
	raw func(c *conn, body []byte, version int16) (kmsg.Response, bool)
}

// handlers are the requests that are served. The lowest versions are those of Kafka 4.0
// (KIP-896). Produce is offered from version 0 on, because librdkafka before 2.12.1 takes
// brokers that do not offer it for ones that know no compression; versions below 3 are refused
// in the answer.
//
// The highest are those before something that is not served: transactions (Produce 12), topics
// by their id where they are written or committed (Produce 13, OffsetCommit 10), groups of
// KIP-848 (OffsetCommit 9). All below them have to be there, because some clients speak one only.
var handlers map[int16]*handler

func init() {
	handlers = map[int16]*handler{
		int16(kmsg.ApiVersions):      {max: 4, anybody: true, handle: on((*conn).apiVersions)},
		int16(kmsg.SASLHandshake):    {max: 1, anybody: true, handle: on((*conn).saslHandshake)},
		int16(kmsg.SASLAuthenticate): {max: 2, anybody: true, handle: on((*conn).saslAuthenticate)},
		int16(kmsg.Metadata):         {max: 12, handle: on((*conn).metadata)},
		int16(kmsg.Produce):          {max: 11, raw: (*conn).produce},
		int16(kmsg.Fetch):            {min: 4, max: 17, handle: on((*conn).fetch)},
		int16(kmsg.ListOffsets):      {min: 1, max: 8, handle: on((*conn).listOffsets)},
		int16(kmsg.InitProducerID):   {max: 4, handle: on((*conn).initProducerID)},
		int16(kmsg.FindCoordinator):  {max: 5, handle: on((*conn).findCoordinator)},
		int16(kmsg.JoinGroup):        {max: 9, handle: on((*conn).joinGroup)},
		int16(kmsg.SyncGroup):        {max: 5, handle: on((*conn).syncGroup)},
		int16(kmsg.Heartbeat):        {max: 4, handle: on((*conn).heartbeat)},
		int16(kmsg.LeaveGroup):       {max: 5, handle: on((*conn).leaveGroup)},
		int16(kmsg.OffsetCommit):     {min: 2, max: 8, handle: on((*conn).offsetCommit)},
		int16(kmsg.OffsetFetch):      {min: 1, max: 8, handle: on((*conn).offsetFetch)},
		int16(kmsg.OffsetDelete):     {max: 0, handle: on((*conn).offsetDelete)},
		int16(kmsg.ListGroups):       {max: 5, handle: on((*conn).listGroups)},
		int16(kmsg.DescribeGroups):   {max: 5, handle: on((*conn).describeGroups)},
		int16(kmsg.DeleteGroups):     {max: 2, handle: on((*conn).deleteGroups)},
		int16(kmsg.CreateTopics):     {min: 2, max: 7, handle: on((*conn).createTopics)},
		int16(kmsg.DeleteTopics):     {min: 1, max: 6, handle: on((*conn).deleteTopics)},
		int16(kmsg.CreatePartitions): {max: 3, handle: on((*conn).createPartitions)},
		int16(kmsg.DeleteRecords):    {max: 2, handle: on((*conn).deleteRecords)},
		int16(kmsg.DescribeCluster):  {max: 1, handle: on((*conn).describeCluster)},
		int16(kmsg.ElectLeaders):     {max: 2, handle: on((*conn).electLeaders)},
		int16(kmsg.DescribeConfigs):  {min: 1, max: 4, handle: on((*conn).describeConfigs)},
		int16(kmsg.AlterConfigs):     {max: 2, handle: on((*conn).alterConfigs)},

		int16(kmsg.IncrementalAlterConfigs): {max: 1, handle: on((*conn).incrementalAlterConfigs)},
	}
}

// on makes a handler of a method for one kind of request.
func on[Q kmsg.Request, P kmsg.Response](handle func(*conn, Q) P) func(*conn, kmsg.Request) kmsg.Response {
	return func(c *conn, req kmsg.Request) kmsg.Response { return handle(c, req.(Q)) }
}

// answerTo is the response to a request, with its version and defaults.
func answerTo[P kmsg.Response](req kmsg.Request) P { return req.ResponseKind().(P) }

// apiVersions says what is served. A client takes the highest version that both know of each
// request, and gives up what it needs where there is none.
func (c *conn) apiVersions(req *kmsg.ApiVersionsRequest) *kmsg.ApiVersionsResponse {
	resp := answerTo[*kmsg.ApiVersionsResponse](req)
	if req.Version >= 3 && (!softwareName(req.ClientSoftwareName) || !softwareName(req.ClientSoftwareVersion)) {
		resp.ErrorCode = errInvalidRequest
		return resp
	}
	for key, h := range handlers {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = key, h.min, h.max
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
	return resp
}

// unsupportedApiVersions answers a version that is not known, in the oldest form, as
// KIP-511 has it.
func unsupportedApiVersions() kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = errUnsupportedVersion
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MaxVersion = int16(kmsg.ApiVersions), handlers[int16(kmsg.ApiVersions)].max
	resp.ApiKeys = append(resp.ApiKeys, k)
	return resp
}

// softwareName reports whether a client names itself as KIP-511 allows: letters, digits,
// dots and dashes, the first and the last a letter or a digit.
func softwareName(s string) bool {
	alphanumeric := func(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' }
	if s == "" || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '.' && s[i] != '-' {
			return false
		}
	}
	return true
}
