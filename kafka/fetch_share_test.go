package kafka

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"ottla/http/budget"
	"ottla/protocol"
)

// Records in answers count towards who asks: the address, then the token.
func TestSharesAreThoseOfTheClient(t *testing.T) {
	nc, other := net.Pipe()
	t.Cleanup(func() { _, _ = nc.Close(), other.Close() })
	const limit = 1 << 20
	answers := budget.NewAnswers(limit, 0, time.Minute)
	h := &recordHandlers{caller: &caller{srv: &Server{o: Options{Answers: answers}}}, socket: &socket{nc: nc}}
	h.newShare().Set(limit / 2)
	_, err := h.newShare().Take(1000)
	assert.NotNil(t, err, "the address has all that it may have")
	h.who = protocol.NewPrincipal("reader", nil, nil)
	_, err = h.newShare().Take(1000)
	assert.Nil(t, err)
	h.account.Close()
}
