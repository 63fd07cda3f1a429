package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// leadersLogged has a node log each leadership of one of its replicas: no answer of the
// API shows terms.
const leadersLogged = "OTTLA_LOG_LEVELS=actors=debug"

// led is what a node logs when one of its replicas begins to lead.
type led struct {
	Cluster   string `json:"cluster"` // each has a __cluster_metadata
	TopicID   string `json:"topic_id"`
	Partition int    `json:"partition"`
	Term      uint64 `json:"term"`
	Replica   uint64 `json:"replica"`
}

// leaders are those that led, by what may have one leader only.
type leaders map[string]uint64

// take adds what a node has logged, and returns what contradicts what is known.
func (l leaders) take(log io.Reader) ([]violation, error) {
	var found []violation
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadBytes('\n')
		if bytes.Contains(line, []byte(`"msg":"leads"`)) {
			var e led
			if err := json.Unmarshal(line, &e); err == nil && e.TopicID != "" { // else the node was killed in the middle of the line
				term := fmt.Sprintf("cluster %s, topic %s, partition %d, term %d", e.Cluster, e.TopicID, e.Partition, e.Term)
				if other, known := l[term]; known && other != e.Replica {
					found = append(found, violation{"leaders", fmt.Sprintf("%s: replicas %d and %d led", term, other, e.Replica)})
				}
				l[term] = e.Replica
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return found, nil
		case err != nil:
			return found, err
		}
	}
}

// checkLeaders demands one leader a term of each partition, by what all nodes have
// logged. It returns how many terms there were.
func checkLeaders(nodes []*server) ([]violation, int, error) {
	l := leaders{}
	var found []violation
	for _, s := range nodes {
		f, err := os.Open(s.log.Name())
		if err != nil {
			return nil, 0, err
		}
		more, err := l.take(f)
		_ = f.Close() // it was only read
		if err != nil {
			return nil, 0, err
		}
		found = append(found, more...)
	}
	if len(l) == 0 {
		found = append(found, violation{"leaders", "no node has logged that it led anything"})
	}
	return found, len(l), nil
}

// checkTerms adds to the result what checkLeaders finds in a fleet.
func (w verdict) checkTerms(res *result) error {
	if len(w.nodes) < 2 {
		return nil
	}
	found, terms, err := checkLeaders(w.nodes)
	res.Violations, res.Terms = append(res.Violations, found...), terms
	return err
}
