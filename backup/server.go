package backup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ottla/client"
)

// Server is a server of the HTTP API: a client.Client.
type Server = client.Requester

// Progress is told what is done. It may be nil.
type Progress func(what string, records int64)

// session asks a server, and again where that may help.
type session struct {
	Server
	patience time.Duration // how long a request is tried again
	progress Progress
}

// pause between two tries of a request.
const pause = 200 * time.Millisecond

func newSession(s Server, patience time.Duration, p Progress) *session {
	if p == nil {
		p = func(string, int64) {}
	}
	return &session{Server: s, patience: patience, progress: p}
}

// ask sends a request that may be repeated, until it is answered, and decodes the answer.
// A topic that is being restored stays so for as long as this takes.
func (s *session) ask(ctx context.Context, method, path string, query url.Values, headers map[string]string, body, reply any) error {
	a := client.Ask{
		Method: method, Path: path, Query: query, Headers: headers, Body: body, Patience: s.patience,
		Final: func(err error) bool { return code(err) == "topic_restoring" },
	}
	return a.Send(ctx, s.Server, reply)
}

// code is that of an answer, "" if there was none.
func code(err error) string {
	var said *client.Error
	if errors.As(err, &said) {
		return said.Code
	}
	return ""
}

func (s *session) get(ctx context.Context, path string, query url.Values, reply any) error {
	return s.ask(ctx, http.MethodGet, path, query, nil, nil, reply)
}

// topicInfo is what is asked of a topic.
type topicInfo struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	Restoring  string `json:"restoring"`
	Partitions []struct {
		Earliest *int64 `json:"earliest"`
		Latest   *int64 `json:"latest"`
	} `json:"partitions"`
	Settings
}

// topic asks for a topic until the leaders of all its partitions have said where they
// begin and end.
func (s *session) topic(ctx context.Context, cluster, name string) (*topicInfo, error) {
	deadline := time.Now().Add(s.patience)
	for {
		var info topicInfo
		if err := s.get(ctx, "/topic/"+url.PathEscape(name), url.Values{"cluster": {cluster}}, &info); err != nil {
			return nil, err
		}
		missing := -1
		for i, p := range info.Partitions {
			if p.Earliest == nil || p.Latest == nil {
				missing = i
			}
		}
		switch {
		case missing < 0:
			return &info, nil
		case time.Now().After(deadline):
			return nil, fmt.Errorf("partition %d of topic %s has no leader", missing, name)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func partitionPath(topic string, partition int) string {
	return "/topic/" + url.PathEscape(topic) + "/partitions/" + strconv.Itoa(partition)
}
