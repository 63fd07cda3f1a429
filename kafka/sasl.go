package kafka

import (
	"bytes"
	"crypto/tls"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// saslState is how far a client has come with saying who he is.
type saslState struct {
	begun  bool // PLAIN was agreed on
	failed bool // the connection ends behind the answer
}

const saslPlain = "PLAIN"

func (c *conn) saslHandshake(req *kmsg.SASLHandshakeRequest) *kmsg.SASLHandshakeResponse {
	resp := answerTo[*kmsg.SASLHandshakeResponse](req)
	resp.SupportedMechanisms = []string{saslPlain}
	if req.Mechanism != saslPlain || req.Version == 0 { // version 0 is followed by bytes without a frame
		resp.ErrorCode = errUnsupportedSASLMechanism
		return resp
	}
	c.sasl.begun = true
	return resp
}

// saslAuthenticate takes a token as the password of PLAIN; the user's name does not
// matter, as with Basic.
func (c *conn) saslAuthenticate(req *kmsg.SASLAuthenticateRequest) *kmsg.SASLAuthenticateResponse {
	resp := answerTo[*kmsg.SASLAuthenticateResponse](req)
	refuse := func(code int16, why string) *kmsg.SASLAuthenticateResponse {
		resp.ErrorCode, resp.ErrorMessage = code, &why
		c.sasl.failed = true
		return resp
	}
	if !c.sasl.begun {
		return refuse(errIllegalSASLState, "SASL begins with a handshake")
	}
	c.sasl.begun = false
	if c.srv.o.Access == nil { // nobody is asked who he is
		return resp
	}
	parts := bytes.Split(req.SASLAuthBytes, []byte{0})
	if len(parts) != 3 || len(parts[2]) == 0 {
		return refuse(errSASLAuthenticationFailed, "PLAIN is [identity] NUL user NUL token")
	}
	who, err := c.srv.o.Access.Token(parts[2])
	if err != nil {
		return refuse(errSASLAuthenticationFailed, err.Message)
	}
	if err := c.become(who); err != nil {
		return refuse(errSASLAuthenticationFailed, err.Message)
	}
	return resp
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
