package kafka

import (
	"bytes"
	"crypto/tls"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/http/access"
	"ottla/protocol"
)

// saslState is how far a client has come with saying who he is: a handshake, which agrees on a
// mechanism, and then one message for PLAIN, or two for SCRAM. A handshake begins anew. A token
// that is wrong ends the connection behind the answer: to try many takes many connections.
type saslState struct {
	mechanism string        // that was agreed on; empty: none, or it has been used
	scram     *access.Scram // the exchange, once it has begun
	failed    bool          // the connection ends behind the answer
}

const saslPlain = "PLAIN"

// mechanisms are those that may be agreed on. Where nobody is asked who he is there is
// nothing that SCRAM could show the client of its secret.
func (c *conn) mechanisms() []string {
	if c.srv.o.Access == nil {
		return []string{saslPlain}
	}
	return []string{saslPlain, access.ScramSHA256, access.ScramSHA512}
}

// saslHandshake agrees on a mechanism. Who names another one is told which there are, and may try
// again. Version 0, in which the mechanism's bytes follow without a frame, is refused like one:
// all clients since Kafka 1.0 know SaslAuthenticate (KIP-152).
func (c *conn) saslHandshake(req *kmsg.SASLHandshakeRequest) *kmsg.SASLHandshakeResponse {
	resp := answerTo[*kmsg.SASLHandshakeResponse](req)
	resp.SupportedMechanisms = c.mechanisms()
	c.sasl = saslState{}
	if !slices.Contains(resp.SupportedMechanisms, req.Mechanism) || req.Version == 0 { // version 0 is followed by bytes without a frame
		resp.ErrorCode = errUnsupportedSASLMechanism
		return resp
	}
	c.sasl.mechanism = req.Mechanism
	return resp
}

// saslAuthenticate takes a client's message of the mechanism that was agreed on. The lifetime of
// the session in the answer is 0: nobody need come again (KIP-368), as a token that ends is
// noticed with the next request.
func (c *conn) saslAuthenticate(req *kmsg.SASLAuthenticateRequest) *kmsg.SASLAuthenticateResponse {
	resp := answerTo[*kmsg.SASLAuthenticateResponse](req)
	code, err := errSASLAuthenticationFailed, (*protocol.Error)(nil)
	switch c.sasl.mechanism {
	case "":
		code, err = errIllegalSASLState, protocol.Errorf(protocol.CodeUnauthorized, "SASL begins with a handshake")
	case saslPlain:
		c.sasl.mechanism = ""
		err = c.plain(req.SASLAuthBytes)
	default:
		resp.SASLAuthBytes, err = c.scram(req.SASLAuthBytes)
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage, resp.SASLAuthBytes = code, &err.Message, nil
		c.sasl = saslState{failed: true}
	}
	return resp
}

// plain takes a token as the password of PLAIN; the user's name does not matter, as with
// Basic. Where nobody is asked who he is anything is taken: clients that are set up for SASL
// need not be set up anew.
func (c *conn) plain(message []byte) *protocol.Error {
	if c.srv.o.Access == nil { // nobody is asked who he is
		return nil
	}
	parts := bytes.Split(message, []byte{0})
	if len(parts) != 3 || len(parts[2]) == 0 {
		return protocol.Errorf(protocol.CodeUnauthorized, "PLAIN is [identity] NUL user NUL token")
	}
	who, err := c.srv.o.Access.Token(parts[2])
	if err != nil {
		return err
	}
	return c.become(who)
}

// scram takes one of the two messages of SCRAM, and returns the answer.
func (c *conn) scram(message []byte) ([]byte, *protocol.Error) {
	if c.sasl.scram == nil {
		c.sasl.scram = c.srv.o.Access.Scram(c.sasl.mechanism)
	}
	answer, who, err := c.sasl.scram.Step(message)
	if err == nil && who != nil {
		c.sasl = saslState{}
		err = c.become(who)
	}
	return answer, err
}

// certificate finds out who a client is by the certificate that he has shown, if any.
func (c *conn) certificate() bool {
	t, ok := c.nc.(*tls.Conn)
	if !ok || c.srv.o.Access == nil {
		return true
	}
	if !c.patience(c.srv.o.ReadTimeout) || t.Handshake() != nil {
		return false
	}
	if chains := t.ConnectionState().VerifiedChains; len(chains) > 0 {
		who, err := c.srv.o.Access.Certificate(chains[0][0])
		return err == nil && c.become(who) == nil
	}
	return true
}
