package http

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"ottla/protocol"
)

// subscriptionPath is a subscription: records of topics that are sent to a URL.
const subscriptionPath = "/subscriptions/{subscription}"

// Bounds on the settings of a subscription.
const (
	maxSubscribed    = 100 // topics of one
	maxURLBytes      = 2048
	maxSentHeaders   = 32
	maxSentBytes     = 4096 // of the value of a header
	maxDeliveries    = 1_000_000
	maxDeliveryBatch = 10_000
)

// defaultSubscription has what a PUT does not send.
func defaultSubscription(o *Options, name string) *protocol.SubscriptionSpec {
	return &protocol.SubscriptionSpec{
		Name: name, Batch: 1, TimeoutMs: min(10_000, o.MaxTimeout.Milliseconds()), MaxDeliveries: 20, Order: protocol.OrderPartition,
	}
}

// subscriptionSettings are the fields that PUT and PATCH share.
func subscriptionSettings(o *Options, spec *protocol.SubscriptionSpec, order **string) []binding {
	words := make([]string, len(protocol.Orders))
	for i, o := range protocol.Orders {
		words[i] = string(o)
	}
	return []binding{
		{name: "url", set: setTarget(o, &spec.URL)},
		{name: "batch", set: setInteger(&spec.Batch, 1, maxDeliveryBatch, permitted)},
		{name: "timeout_ms", set: setInteger(&spec.TimeoutMs, 1, o.MaxTimeout.Milliseconds(), limited)},
		{name: "secret", set: setDeliverySecret(&spec.Secret)},
		{name: "headers", set: setSentHeaders(&spec.Headers)},
		{name: "max_deliveries", set: setInteger(&spec.MaxDeliveries, 1, maxDeliveries, permitted)},
		{name: "dead_letter_topic", set: setName(&spec.DeadLetter)},
		{name: "order", set: setOneOf(order, words...)},
		{name: "paused", set: setBool(&spec.Paused)},
	}
}

func putSubscription(c *call) *protocol.Error {
	name, err := c.subscriptionOf()
	if err != nil {
		return err
	}
	spec := defaultSubscription(&c.srv.o, name)
	var order, from *string
	err = c.bindRequired(append(subscriptionSettings(&c.srv.o, spec, &order),
		binding{name: "topics", required: true, set: setNames(&spec.Topics, 0)},
		binding{name: "cluster", set: setName(&spec.Cluster)},
		binding{name: "group", set: setName(&spec.Group)},
		binding{name: "from", set: setOneOf(&from, "earliest", "latest")}))
	switch {
	case err != nil:
		return err
	case spec.URL == "":
		return missing("url")
	case order != nil:
		spec.Order = protocol.Order(*order)
	}
	spec.FromLatest = from != nil && *from == "latest"
	if err := checkSubscription(spec); err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	sub, created, err := c.b.PutSubscription(ctx, spec)
	if err != nil {
		return err
	}
	return c.sendCreated(created, describeSubscription(c, sub))
}

func patchSubscription(c *call) *protocol.Error {
	name, err := c.subscriptionOf()
	if err != nil {
		return err
	}
	var unused protocol.SubscriptionSpec
	var order *string
	if err := c.bindRequired(subscriptionSettings(&c.srv.o, &unused, &order)); err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	fields, o := bytes.Clone(c.body), &c.srv.o // the change may outlive the request
	sub, err := c.b.AlterSubscription(ctx, name, func(spec *protocol.SubscriptionSpec) *protocol.Error {
		var order *string
		if err := bindJSON(fields, subscriptionSettings(o, spec, &order)); err != nil {
			return err
		}
		if order != nil {
			spec.Order = protocol.Order(*order)
		}
		if !spec.Paused {
			spec.PausedBecause = ""
		}
		return checkSubscription(spec)
	})
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, describeSubscription(c, sub))
}

// checkSubscription refuses settings that do not go together.
func checkSubscription(spec *protocol.SubscriptionSpec) *protocol.Error {
	if len(spec.Topics) > maxSubscribed {
		return protocol.Errorf(protocol.CodeNotAllowed, "topics has more than %d topics", maxSubscribed).With("field", "topics").With("limit", maxSubscribed)
	}
	if protocol.IsInternalTopic(spec.DeadLetter) {
		return internalTopic(spec.DeadLetter)
	}
	seen := map[string]bool{}
	for _, topic := range spec.Topics {
		dead := spec.DeadLetterTopic(topic)
		switch {
		case protocol.IsInternalTopic(topic):
			return internalTopic(topic)
		case seen[topic]:
			return protocol.Errorf(protocol.CodeNotAllowed, "topics has %q twice", topic).With("field", "topics")
		case dead == topic:
			return protocol.Errorf(protocol.CodeNotAllowed, "dead_letter_topic must not be one of topics: its records would be sent again and again").With("field", "dead_letter_topic")
		case !protocol.ValidName(dead):
			return protocol.Errorf(protocol.CodeNotAllowed, "dead_letter_topic must be given: %q is too long a name", dead).With("field", "dead_letter_topic")
		}
		seen[topic] = true
	}
	if seen[spec.DeadLetter] {
		return protocol.Errorf(protocol.CodeNotAllowed, "dead_letter_topic must not be one of topics: its records would be sent again and again").With("field", "dead_letter_topic")
	}
	if spec.Group == "" && !protocol.ValidName(spec.DefaultGroup()) {
		return protocol.Errorf(protocol.CodeNotAllowed, "group must be given: %q is too long a name", spec.DefaultGroup()).With("field", "group")
	}
	return nil
}

// describedSubscription is a subscription as clients see it: without its secrets.
type describedSubscription struct {
	protocol.SubscriptionSpec
	From       string                     `json:"from"`
	FromLatest bool                       `json:"from_latest,omitempty"` // hides that of the spec
	DeadLetter *string                    `json:"dead_letter_topic"`     // null: the topic of the record and .dead
	Headers    map[string]protocol.Secret `json:"headers"`
	Signed     bool                       `json:"signed"`
	CreatedAt  time.Time                  `json:"created_at"`
	protocol.SubscriptionState
}

func describeSubscription(c *call, sub *protocol.Subscription) describedSubscription {
	d := describedSubscription{
		SubscriptionSpec: sub.SubscriptionSpec, From: "earliest", Headers: sub.Headers, Signed: sub.Secret != "",
		CreatedAt: sub.CreatedAt, SubscriptionState: c.b.SubscriptionState(sub),
	}
	if sub.FromLatest {
		d.From = "latest"
	}
	if sub.DeadLetter != "" {
		d.DeadLetter = &sub.DeadLetter
	}
	if d.Headers == nil {
		d.Headers = map[string]protocol.Secret{}
	}
	return d
}

func getSubscriptions(c *call) *protocol.Error {
	var p page
	if err := c.bindQuery(p.bindings()...); err != nil {
		return err
	}
	subs, err := c.b.Subscriptions()
	if err != nil {
		return err
	}
	described := make([]describedSubscription, len(subs))
	for i, sub := range subs {
		described[i] = describeSubscription(c, sub)
	}
	return sendList(c, &p, "subscriptions", described, func(r *describedSubscription) string { return r.Name })
}

func getSubscription(c *call) *protocol.Error {
	name, err := c.subscriptionOf()
	if err != nil {
		return err
	}
	sub, err := c.b.Subscription(name)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, describeSubscription(c, sub))
}

func deleteSubscription(c *call) *protocol.Error {
	name, err := c.subscriptionOf()
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	if err := c.b.DeleteSubscription(ctx, name); err != nil {
		return err
	}
	c.sendNothing()
	return nil
}

// setTarget takes the URL that deliveries go to.
func setTarget(o *Options, dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if err := setText(dst)(field, v); err != nil {
			return err
		}
		u, err := url.Parse(*dst)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Opaque != "" || len(*dst) > maxURLBytes:
			return protocol.Errorf(protocol.CodeNotAllowed, "%s must be a URL that begins with https:// or http://, of %d bytes at most", field, maxURLBytes).With("field", field)
		case u.User != nil:
			return protocol.Errorf(protocol.CodeNotAllowed, "%s must not have a user or password: send them in headers, which are shown to nobody", field).With("field", field)
		case u.Fragment != "":
			return protocol.Errorf(protocol.CodeNotAllowed, "%s must not have a fragment (#)", field).With("field", field)
		}
		if check := o.CheckTarget; check != nil {
			if err := check(u); err != nil {
				return protocol.Errorf(protocol.CodeNotAllowed, "%s: %v", field, err).With("field", field)
			}
		}
		return nil
	}
}

// setDeliverySecret takes the secret that deliveries are signed with. Its errors do not
// name it.
func setDeliverySecret(dst *protocol.Secret) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		var text string
		if err := setText(&text)(field, v); err != nil {
			return err
		}
		if _, usable := protocol.Secret(text).Key(protocol.SchemeStandard); !usable {
			return protocol.Errorf(protocol.CodeNotAllowed, `%s must be base64, of %d characters at most, with or without "whsec_" before it`,
				field, protocol.MaxSecretBytes).With("field", field)
		}
		*dst = protocol.Secret(text)
		return nil
	}
}

// ownHeaders are headers of a delivery that are not for subscriptions to set.
var ownHeaders = map[string]bool{
	"host": true, "content-length": true, "content-type": true, "content-encoding": true, "transfer-encoding": true,
	"connection": true, "keep-alive": true, "upgrade": true, "te": true, "trailer": true, "expect": true, "proxy-connection": true,
	"proxy-authorization": true, "webhook-id": true, "webhook-timestamp": true, "webhook-signature": true,
}

// setSentHeaders takes an object of headers. Its errors do not name values.
func setSentHeaders(dst *map[string]protocol.Secret) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if v.json.Raw[0] != '{' {
			return v.wrong(field, "an object of strings")
		}
		sent := map[string]protocol.Secret{}
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Object(); r.Field(); {
			quoted, _ := json.Marshal(string(r.Key))
			var name, text string
			if err := setKeptName(&name)(field, value{json: protocol.JSONValue{Raw: quoted}}); err != nil {
				return err
			}
			item, _ := r.Value()
			if err := setText(&text)(field+"."+name, value{json: item}); err != nil {
				return err
			}
			switch {
			case ownHeaders[name]:
				return protocol.Errorf(protocol.CodeNotAllowed, "%s must not have %q, which deliveries have of their own", field, name).With("field", field+"."+name)
			case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) || len(text) > maxSentBytes:
				return protocol.Errorf(protocol.CodeNotAllowed, "%s.%s must have no control characters, and %d bytes at most", field, name, maxSentBytes).With("field", field+"."+name)
			case len(sent) == maxSentHeaders:
				return protocol.Errorf(protocol.CodeNotAllowed, "%s has more than %d headers", field, maxSentHeaders).With("field", field).With("limit", maxSentHeaders)
			}
			sent[name] = protocol.Secret(text)
		}
		*dst = sent
		return nil
	}
}
