package http

import (
	"context"
	"strings"

	"ottla/protocol"
)

// fakeQueues is what a fakeBackend knows of queues.
type fakeQueues struct {
	queues []protocol.QueueSpec       // as they were put
	said   []protocol.DeliveryRequest // likewise
}

// PutQueue implements Backend.
func (f *fakeQueues) PutQueue(_ context.Context, spec *protocol.QueueSpec, patch bool) (*protocol.GroupInfo, bool, *protocol.Error) {
	f.queues = append(f.queues, *spec)
	if spec.Group == "stream" {
		return nil, false, protocol.Errorf(protocol.CodeGroupNotEmpty, "it has members")
	}
	dead, age := "jobs.dead", int64(7)
	return &protocol.GroupInfo{
		Group: spec.Group, Cluster: "default", Mode: protocol.ModeQueue, State: "empty", Generation: 1,
		QueueInfo: &protocol.QueueInfo{
			Topics: []string{"jobs"}, BackoffMs: []int64{1000}, DeadLetterTopic: &dead, Order: protocol.OrderNone,
			Partitions: []protocol.QueuePartition{{Topic: "jobs", OldestReadyMs: &age}},
		},
	}, !patch, nil
}

// SayDeliveries implements Backend: receipts that begin with "stale" are so.
func (f *fakeQueues) SayDeliveries(_ context.Context, req *protocol.DeliveryRequest) []*protocol.Error {
	f.said = append(f.said, *req)
	errs := make([]*protocol.Error, len(req.Receipts))
	for i, receipt := range req.Receipts {
		if strings.HasPrefix(receipt, "stale") {
			errs[i] = protocol.Errorf(protocol.CodeStaleReceipt, "it was given again")
		}
	}
	return errs
}
