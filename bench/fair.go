package bench

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Clients of fair: modest ones have one connection each, the greedy one as many as the
// options say.
const modestClients = 8

// runFair sends single events by modest clients, alone at first, then beside a greedy
// one. Each has a token of its own.
func runFair(ctx context.Context, s *session) ([]Measurement, error) {
	topic, remove, err := s.createTopic(ctx)
	if err != nil {
		return nil, err
	}
	defer remove()
	modest := make([]string, modestClients)
	for i := range modest {
		if modest[i], err = createToken(ctx, s, i); err != nil {
			return nil, err
		}
	}
	greedy, err := createToken(ctx, s, modestClients)
	if err != nil {
		return nil, err
	}
	loadOf := func(rec *recorder, connections int, tokens ...string) *load {
		calls := make([][]call, len(tokens))
		for i, token := range tokens {
			mine := *s.Options
			mine.Token = token
			one := *s
			one.Options = &mine
			calls[i] = one.singles(topic, `"committed":true`)
		}
		return &load{addrs: s.targets, connections: connections, rec: rec, next: func(connection int, n int64) *call {
			list := calls[connection%len(calls)]
			return &list[(int64(connection)*7919+n)%int64(len(list))]
		}}
	}
	alone, beside, other := newRecorder("fair/modest-alone"), newRecorder("fair/modest-beside"), newRecorder("fair/greedy")
	first, err := s.measure(ctx, []*recorder{alone}, jobs{loadOf(alone, modestClients, modest...).run})
	if err != nil {
		return nil, err
	}
	second, err := s.measure(ctx, []*recorder{beside, other}, jobs{
		loadOf(beside, modestClients, modest...).run, loadOf(other, s.connections, greedy).run,
	})
	return append(first, second...), err
}

// createToken makes a token that may read and write.
func createToken(ctx context.Context, s *session, number int) (string, error) {
	body := fmt.Sprintf(`{"name":"bench-%d-%d-%d","allow":[{"do":["read","write"]}]}`, os.Getpid(), time.Now().UnixNano(), number)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.targets[0]+"/tokens", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("create token: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // it has been read
	var made struct{ Token, Message string }
	if err := json.NewDecoder(resp.Body).Decode(&made); err != nil || made.Token == "" {
		return "", fmt.Errorf("create token: %s %s: %w", resp.Status, made.Message, err)
	}
	return made.Token, nil
}

// guarded are options for a broker that the bench starts and that asks for tokens; Token
// is the administrator's.
func guarded(o *Options) *Options {
	g := *o
	g.Token = rand.Text() + rand.Text()
	g.Env = append(slices.Clone(o.Env), "OTTLA_DEFAULT_CLUSTER=default", "OTTLA_AUTH_MODE=token", "OTTLA_ADMIN_TOKEN="+g.Token)
	return &g
}
