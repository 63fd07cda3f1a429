package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"ottla/protocol"
)

// Headers of a delivery, as the specification Standard Webhooks has them.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// messageID names the records of a delivery: a topic that is deleted and made again is
// another one, so its records have other ids. A delivery of up to batch records says
// where it ends, too.
func messageID(topicID string, partition int, from, to protocol.Offset, batch int) string {
	if batch == 1 {
		return fmt.Sprintf("msg_%s-%d-%d", topicID, partition, from)
	}
	return fmt.Sprintf("msg_%s-%d-%d-%d", topicID, partition, from, to)
}

// body is what is sent: one record, or an array of them where more than one could be.
func body(records []protocol.Record, batch int, render func([]byte, *protocol.Record) []byte) []byte {
	if batch == 1 {
		return render(nil, &records[0])
	}
	text := []byte{'['}
	for i := range records {
		if i > 0 {
			text = append(text, ',')
		}
		text = render(text, &records[i])
	}
	return append(text, ']')
}

// sign sets the headers that identify a delivery and prove who sends it.
func sign(h http.Header, secret protocol.Secret, id string, body []byte, now time.Time) {
	at := strconv.FormatInt(now.Unix(), 10)
	h.Set(headerID, id)
	h.Set(headerTimestamp, at)
	key, ok := secret.Key(protocol.SchemeStandard)
	if !ok {
		return // it is not signed
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	h.Set(headerSignature, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
