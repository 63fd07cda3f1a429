package front

import (
	"context"

	"ottla/actors/routing"
	"ottla/protocol"
)

// DeleteRecords removes the records below an offset of each of some partitions of a
// topic. Nothing is done unless all offsets are within their partitions. Once it has
// begun, a failure leaves the partitions before it trimmed; the same again does the
// rest.
func (rs *recordService) DeleteRecords(ctx context.Context, cluster, topic string, trims []protocol.TrimRequest) ([]protocol.TrimmedPartition, *protocol.Error) {
	deadline := rs.deadline(ctx)
	t, err := rs.LookupTopic(cluster, topic, false, deadline)
	if err != nil {
		return nil, err
	}
	for _, trim := range trims {
		earliest, latest, err := rs.PartitionOffsets(t, trim.Partition)
		if err != nil {
			return nil, err
		}
		if trim.Before > latest {
			return nil, protocol.Errorf(protocol.CodeNotAllowed, "offset %d is beyond the end of partition %d, which is %d", trim.Before, trim.Partition, latest).
				With("partition", trim.Partition).With("earliest", earliest).With("latest", latest)
		}
	}
	asked := make([]follow[routing.LogStart], len(trims))
	for i, trim := range trims {
		asked[i] = follow[routing.LogStart]{
			locator: rs.locator, topic: t, partition: trim.Partition, deadline: deadline, attempt: unansweredLeader,
			put: func(to *routing.Leadership, slot protocol.Future[routing.LogStart]) {
				to.Ask(&routing.TrimLog{Before: trim.Before, Reply: slot})
			},
			failed: func(s routing.LogStart) *protocol.Error { return s.Err }, judge: judgeRepeatable,
		}
		asked[i].begin(protocol.NewFuture[routing.LogStart]())
	}
	trimmed := make([]protocol.TrimmedPartition, 0, len(trims))
	for i := range asked {
		start, failed := asked[i].run()
		if failed != nil {
			err = failed.With("partition", trims[i].Partition)
			continue
		}
		trimmed = append(trimmed, protocol.TrimmedPartition{Partition: trims[i].Partition, Earliest: start.Earliest})
	}
	if err != nil && len(trimmed) > 0 {
		err = err.WithOutcome(protocol.OutcomeUnknown) // of the request as a whole
	}
	if err != nil {
		return nil, err
	}
	return trimmed, nil
}
