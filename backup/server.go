package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ottla/client"
)

// Server is a server of the HTTP API: a client.Client.
type Server interface {
	DoWith(ctx context.Context, method, path string, query url.Values, headers map[string]string, body []byte) (json.RawMessage, error)
}

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
func (s *session) ask(ctx context.Context, method, path string, query url.Values, headers map[string]string, body, reply any) error {
	var data []byte
	var err error
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	deadline := time.Now().Add(s.patience)
	for {
		answer, err := s.DoWith(ctx, method, path, query, headers, data)
		if err == nil {
			if reply == nil {
				return nil
			}
			if err := json.Unmarshal(answer, reply); err != nil {
				return fmt.Errorf("the answer to %s %s is not what an Ottla server gives: %w", method, path, err)
			}
			return nil
		}
		if !again(err) || ctx.Err() != nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// again reports whether a request may be answered otherwise later.
func again(err error) bool {
	var said *client.Error
	if !errors.As(err, &said) {
		var lost *client.TransportError
		return errors.As(err, &lost)
	}
	return said.Retriable && said.Code != "topic_restoring"
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
