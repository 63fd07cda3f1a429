package cli

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"ottla/client"
)

// consumed is a line of `ottla consume`. Where the record was read is no part of the
// record.
type consumed struct {
	Key         json.RawMessage `json:"key"`
	KeyText     *string         `json:"key_text"`
	KeyBase64   *string         `json:"key_base64"`
	Value       json.RawMessage `json:"value"`
	ValueText   *string         `json:"value_text"`
	ValueBase64 *string         `json:"value_base64"`
	Headers     json.RawMessage `json:"headers"`
	Timestamp   int64           `json:"timestamp"`
	DeliverAt   int64           `json:"deliver_at"`
}

// wholeRecord returns the record that a line of `ottla consume` shows.
func (o *produceOptions) wholeRecord(text []byte) (r client.Record, err error) {
	var c consumed
	if err := json.Unmarshal(text, &c); err != nil {
		return r, fmt.Errorf("not a record as 'ottla consume' prints it: %w", err)
	}
	if r.Key, err = dataOf("key", c.Key, c.KeyText, c.KeyBase64); err != nil {
		return r, err
	}
	if r.Value, err = dataOf("value", c.Value, c.ValueText, c.ValueBase64); err != nil {
		return r, err
	}
	if c.Key == nil && c.KeyText == nil && c.KeyBase64 == nil && c.Value == nil && c.ValueText == nil && c.ValueBase64 == nil {
		return r, fmt.Errorf("not a record as 'ottla consume' prints it: it has neither key nor value")
	}
	if c.Headers != nil {
		if r.HeaderList, err = client.ParseHeaders(c.Headers); err != nil {
			return r, err
		}
	}
	if c.Timestamp > 0 {
		r.Timestamp = time.UnixMilli(c.Timestamp)
	}
	if c.DeliverAt > time.Now().UnixMilli() {
		r.DeliverAt = time.UnixMilli(c.DeliverAt)
	}
	if o.partition >= 0 {
		r.Partition = &o.partition
	}
	return r, nil
}

// dataOf is a key or value in the one of three forms that is given.
func dataOf(name string, plain json.RawMessage, text, encoded *string) (client.Data, error) {
	switch {
	case text != nil:
		return client.TextData(*text), nil
	case encoded != nil:
		b, err := base64.StdEncoding.DecodeString(*encoded)
		if err != nil {
			return client.Data{}, fmt.Errorf("%s_base64: %w", name, err)
		}
		return client.BytesData(b), nil
	case plain == nil || string(plain) == "null":
		return client.Data{}, nil
	}
	return client.JSONData(plain), nil
}
