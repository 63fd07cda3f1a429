package kafka

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/protocol"
)

// While the server does not know its topics it does not say that there are none: consumers
// of a pattern would give up all that they read.
func TestTopicsThatAreNotKnownYet(t *testing.T) {
	s := newGated(t, &gated{})
	b := &choosy{err: protocol.Errorf(protocol.CodeStarting, "the metadata is being read")}
	s.o.Access, s.b = nil, b
	all := kmsg.NewPtrMetadataRequest()
	all.SetVersion(9)
	client, served := at(t, s, "192.0.2.7:1")
	require.NoError(t, client.SetReadDeadline(time.Now().Add(patience)))
	write(t, client, all)
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "it is answered")
	awaitServed(t, served)

	named := kmsg.NewPtrMetadataRequest()
	named.SetVersion(9)
	named.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("t")}}
	again, _ := at(t, s, "192.0.2.7:2")
	assert.Len(t, ask[*kmsg.MetadataResponse](t, again, named).Topics, 1)

	b.err = protocol.Errorf(protocol.CodeClusterNotFound, "the client may see none")
	assert.Empty(t, ask[*kmsg.MetadataResponse](t, again, all).Topics)
}
