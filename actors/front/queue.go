package front

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"time"

	"ottla/actors/level"
	"ottla/actors/queue"
	"ottla/actors/routing"
	"ottla/protocol"
)

// queueService is what work queues have besides groups.
type queueService struct {
	*resolver
	groups  *groupService
	records *recordService // writes dead letters
}

// PutQueue makes a group a queue, or finds it there with these settings; with patch it
// changes one. Topics for dead letters are created. Errors: topic_not_found,
// ambiguous_topic, group_exists, group_not_empty (it has stream members), not_allowed, not_finalized;
// with patch group_not_found.
func (qs *queueService) PutQueue(ctx context.Context, spec *protocol.QueueSpec, patch bool) (info *protocol.GroupInfo, created bool, err *protocol.Error) {
	deadline := qs.deadline(ctx)
	if !patch {
		if err := qs.fleet.Needs(level.Queues, deadline); err != nil {
			return nil, false, err
		}
	}
	c, err := qs.queueCluster(spec, patch)
	if err != nil {
		return nil, false, err
	}
	change := queue.Change{
		AckWaitMs: spec.AckWaitMs, MaxDeliveries: spec.MaxDeliveries, BackoffMs: spec.BackoffMs,
		DeadLetters: spec.DeadLetterTopic, Order: spec.Order, MaxInFlight: spec.MaxInFlight,
	}
	if spec.Topics != nil {
		if change.Topics, err = qs.queueTopics(c, spec.Topics); err != nil {
			return nil, false, err
		}
	}
	topics := change.Topics
	if patch && (topics == nil || spec.DeadLetterTopic == nil) {
		have, err := qs.groups.describeGroup(c, spec.Group, false)
		if err != nil {
			return nil, false, err
		}
		if have.QueueInfo != nil && topics == nil {
			topics = queueNames(have.Topics)
		}
		if have.QueueInfo != nil && spec.DeadLetterTopic == nil && !derived(have.QueueInfo) {
			spec.DeadLetterTopic = have.DeadLetterTopic
		}
	}
	// Before the queue is made: a record that dies must have somewhere to go.
	if err := qs.makeDeadLetters(c, topics, spec.DeadLetterTopic, deadline); err != nil {
		return nil, false, err
	}
	secret := make([]byte, queue.SecretBytes)
	_, _ = rand.Read(secret) // never fails
	done, err := askGroup(qs.locator, c, spec.Group, deadline, func(f protocol.Future[routing.GroupQueued]) routing.Question {
		return &routing.GroupQueue{Change: change, Patch: patch, Secret: secret, Reply: f}
	}, func(a routing.GroupQueued) *protocol.Error { return a.Err })
	if err != nil {
		return nil, false, err
	}
	info, err = qs.groups.describeGroup(c, spec.Group, false)
	return info, done.Created, err
}

// queueCluster is the cluster that a queue is to be in, or is in.
func (qs *queueService) queueCluster(spec *protocol.QueueSpec, patch bool) (*routing.Cluster, *protocol.Error) {
	if patch {
		c, err := qs.groupCluster(spec.Cluster, spec.Group)
		if err == nil {
			err = qs.mayGroup(c.Name, spec.Group)
		}
		return c, err
	}
	c, err := qs.topicCluster(spec.Cluster, spec.Topics[0])
	if err == nil {
		err = qs.mayJoin(c.Name, spec.Group)
	}
	return c, err
}

// queueTopics finds the topics of a queue, ascending by id.
func (qs *queueService) queueTopics(c *routing.Cluster, names []string) ([]queue.Topic, *protocol.Error) {
	list := []queue.Topic{}
	for _, name := range names {
		t, err := qs.LookupTopic(c.Name, name, false, time.Time{})
		switch {
		case err != nil:
			return nil, err
		case t.Internal:
			return nil, protocol.Errorf(protocol.CodeInternalTopic, "topic %q is internal: a queue cannot give out its records", name)
		}
		list = append(list, queue.Topic{ID: t.ID, Name: t.Name})
	}
	slices.SortFunc(list, func(a, b queue.Topic) int { return cmp.Compare(a.ID, b.ID) })
	return slices.Compact(list), nil
}

// queueNames are topics of which nothing but the name is needed.
func queueNames(names []string) []queue.Topic {
	list := make([]queue.Topic, len(names))
	for i := range names {
		list[i].Name = names[i]
	}
	return list
}

// derived reports whether the topic of a queue's dead letters is made of its topic's
// name.
func derived(q *protocol.QueueInfo) bool {
	return q.DeadLetterTopic == nil || len(q.Topics) == 1 && *q.DeadLetterTopic == q.Topics[0]+protocol.DeadSuffix
}

// makeDeadLetters creates the topics for dead letters that do not exist. One whose name
// is not made of its topic's needs the right to write to it.
func (qs *queueService) makeDeadLetters(c *routing.Cluster, topics []queue.Topic, named *string, deadline time.Time) *protocol.Error {
	for _, t := range topics {
		dead := t.Name + protocol.DeadSuffix
		if named != nil && *named != "" {
			dead = *named
		}
		switch {
		case protocol.IsInternalTopic(dead):
			return protocol.Errorf(protocol.CodeInternalTopic, "topic %q is internal: nothing can be written to it", dead)
		case !protocol.ValidName(dead):
			return protocol.Errorf(protocol.CodeNotAllowed, "%.220q is no name of a topic: name one for dead letters (dead_letter_topic)", dead).With("field", "dead_letter_topic")
		case slices.ContainsFunc(topics, func(t queue.Topic) bool { return t.Name == dead }):
			return protocol.Errorf(protocol.CodeNotAllowed, "the dead letters of topic %q would come back to the queue: it has topic %q", t.Name, dead).With("field", "dead_letter_topic")
		case dead != t.Name+protocol.DeadSuffix && !qs.access.Who.Topic(protocol.RightWrite, c.Name, dead):
			return qs.access.Forbidden(protocol.RightWrite, "topic", c.Name, dead)
		}
		if err := qs.makeDeadLetterTopic(c, t.Name, dead, deadline); err != nil {
			return err
		}
	}
	return nil
}

// SayDeliveries does what a worker says of deliveries, and returns what came of each
// receipt, nil where it is done. Errors of one: invalid_receipt; stale_receipt;
// group_not_found; forbidden; and whatever keeps a coordinator from answering.
func (qs *queueService) SayDeliveries(ctx context.Context, req *protocol.DeliveryRequest) []*protocol.Error {
	deadline := qs.deadline(ctx)
	word := queue.Word{DelayMs: req.DelayMs, Dead: req.Dead, Reason: req.Reason, WaitMs: req.AckWaitMs}
	switch req.Verb {
	case protocol.VerbNack:
		word.Verb = queue.Nack
	case protocol.VerbExtend:
		word.Verb = queue.Extend
	}
	errs := make([]*protocol.Error, len(req.Receipts))
	for _, part := range qs.sortReceipts(req.Receipts, errs) {
		qs.sayTo(part, req.Receipts, &word, errs, deadline)
	}
	return errs
}

// receiptsOf are the receipts of one queue, by their places in the request.
type receiptsOf struct {
	cluster *routing.Cluster
	err     *protocol.Error // there is none
	group   string
	places  []int
}

// sortReceipts sorts receipts by their queues. What cannot be put to any is refused.
func (qs *queueService) sortReceipts(tokens []string, errs []*protocol.Error) []*receiptsOf {
	type name struct{ cluster, group string }
	parts := map[name]*receiptsOf{}
	var order []*receiptsOf
	for i, token := range tokens {
		r, err := queue.DecodeReceipt(token)
		if err != nil {
			errs[i] = err
			continue
		}
		part := parts[name{r.ClusterID, r.Group}]
		if part == nil {
			part = &receiptsOf{group: r.Group}
			part.cluster, part.err = qs.receiptCluster(r)
			parts[name{r.ClusterID, r.Group}] = part
			order = append(order, part)
		}
		if part.err != nil {
			errs[i] = part.err
			continue
		}
		if errs[i] = qs.maySay(part.cluster, r); errs[i] == nil {
			part.places = append(part.places, i)
		}
	}
	return order
}

// receiptCluster finds the cluster of a receipt. Errors: group_not_found, once all
// clusters are known that may have it; those of a cluster that is not recovered.
func (qs *queueService) receiptCluster(r *queue.Receipt) (*routing.Cluster, *protocol.Error) {
	if c := qs.clusterByID(r.ClusterID); c != nil {
		return c, nil
	}
	if err := qs.settle(nil); err != nil {
		return nil, err
	}
	if c := qs.clusterByID(r.ClusterID); c != nil {
		return c, nil
	}
	for _, c := range qs.directory.Clusters() {
		if c.Table() == nil {
			return nil, c.Unavailable()
		}
	}
	return nil, groupNotFound(r.Group)
}

// maySay refuses what the client may not do with a delivery: it must be one who may
// have it.
func (qs *queueService) maySay(c *routing.Cluster, r *queue.Receipt) *protocol.Error {
	if qs.access.Who == nil {
		return nil
	}
	if err := qs.mayGroup(c.Name, r.Group); err != nil {
		return err
	}
	for name, t := range c.Table().Topics {
		if t.ID == r.ID.TopicID {
			return qs.mayTopic(c.Name, name)
		}
	}
	return nil
}

// sayTo tells one queue what is said of its deliveries, in one question. An error of that
// is the error of each: of none is it known what became.
func (qs *queueService) sayTo(part *receiptsOf, tokens []string, word *queue.Word, errs []*protocol.Error, deadline time.Time) {
	if len(part.places) == 0 {
		return
	}
	receipts := make([]string, len(part.places))
	for i, place := range part.places {
		receipts[i] = tokens[place]
	}
	// May be put twice: what was done already is done (queue.State.Say).
	said, err := askGroup(qs.locator, part.cluster, part.group, deadline, func(f protocol.Future[routing.GroupSaid]) routing.Question {
		return &routing.GroupSay{Word: *word, Receipts: receipts, Reply: f}
	}, func(a routing.GroupSaid) *protocol.Error { return a.Err })
	for i, place := range part.places {
		switch {
		case err != nil:
			errs[place] = err
		case i >= len(said.Verdicts) || said.Verdicts[i] == queue.Invalid:
			errs[place] = protocol.Errorf(protocol.CodeInvalidReceipt, "queue %q has not made this receipt: send those of a poll's records unchanged", part.group)
		case said.Verdicts[i] == queue.Stale:
			errs[place] = protocol.Errorf(protocol.CodeStaleReceipt, "the record of this receipt was given again, or is ended: drop what was done for it")
		}
	}
}
