package kafka

import (
	"context"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// audited is what a change was asked for, and the code that it was answered with. It is taken from
// the answer, so that every change has a line, whichever way it was refused.
type audited struct {
	name string
	code int16
}

// audit writes a line for each change that a request has asked for, like those of HTTP:
// the method is KAFKA, the path the request's name and what it is about. It is written before
// the answer is sent, and may block: what a client has been told is in the audit.
func (c *conn) audit(req kmsg.Request, resp kmsg.Response) {
	if c.srv.o.Audit == nil {
		return
	}
	for _, a := range changesOf(req, resp) {
		outcome, code := "applied", ""
		switch {
		case a.code == errRequestTimedOut:
			outcome, code = "unknown", errorName(a.code)
		case a.code != errNone:
			outcome, code = "none", errorName(a.code)
		}
		r := slog.NewRecord(time.Now(), slog.LevelInfo, "audit", 0)
		r.AddAttrs(
			slog.String("who", c.who.Name()), slog.String("remote", c.nc.RemoteAddr().String()),
			slog.String("method", "KAFKA"), slog.String("path", kmsg.NameForKey(resp.Key())+"/"+a.name),
			slog.String("code", code), slog.String("outcome", outcome))
		if err := c.srv.o.Audit.Handler().Handle(context.Background(), r); err != nil {
			c.srv.log.Error("a line of the audit is lost", "error", err)
		}
	}
}

// changesOf are the changes that an answer is about. Those that were only to be validated are
// among them.
func changesOf(req kmsg.Request, resp kmsg.Response) (list []audited) {
	switch r := resp.(type) {
	case *kmsg.CreateTopicsResponse:
		for i := range r.Topics {
			list = append(list, audited{r.Topics[i].Topic, r.Topics[i].ErrorCode})
		}
	case *kmsg.DeleteTopicsResponse:
		for i := range r.Topics {
			list = append(list, audited{nullable(r.Topics[i].Topic), r.Topics[i].ErrorCode})
		}
	case *kmsg.CreatePartitionsResponse:
		for i := range r.Topics {
			list = append(list, audited{r.Topics[i].Topic, r.Topics[i].ErrorCode})
		}
	case *kmsg.DeleteRecordsResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				p := &r.Topics[i].Partitions[j]
				list = append(list, audited{r.Topics[i].Topic + "/" + number(int64(p.Partition)), p.ErrorCode})
			}
		}
	case *kmsg.AlterConfigsResponse:
		for i := range r.Resources {
			list = append(list, audited{r.Resources[i].ResourceName, r.Resources[i].ErrorCode})
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for i := range r.Resources {
			list = append(list, audited{r.Resources[i].ResourceName, r.Resources[i].ErrorCode})
		}
	case *kmsg.DeleteGroupsResponse:
		for i := range r.Groups {
			list = append(list, audited{r.Groups[i].Group, r.Groups[i].ErrorCode})
		}
	case *kmsg.OffsetDeleteResponse:
		code := r.ErrorCode
		if code == errNone && len(r.Topics) > 0 && len(r.Topics[0].Partitions) > 0 {
			code = r.Topics[0].Partitions[0].ErrorCode // all have the same
		}
		list = append(list, audited{req.(*kmsg.OffsetDeleteRequest).Group, code})
	}
	return list
}

// errorName is a code as the audit has it: that of HTTP where there is one, else
// Kafka's number.
func errorName(code int16) string {
	switch code {
	case errTopicAuthorizationFailed, errGroupAuthorizationFailed:
		return "forbidden"
	case errUnknownTopicOrPartition, errUnknownTopicID:
		return "topic_not_found"
	case errTopicAlreadyExists:
		return "topic_exists"
	case errGroupIDNotFound:
		return "group_not_found"
	}
	return "kafka_" + number(int64(code))
}
