package mirror

import (
	"context"
	"fmt"
	"net/url"
)

// moveGroups commits, for each group, the offsets of the copies that stand for those that
// it has committed at the source.
func (m *Mirror) moveGroups(ctx context.Context) error {
	for _, group := range m.groups {
		if err := m.moveGroup(ctx, group); err != nil {
			return fmt.Errorf("group %s: %w", group, err)
		}
	}
	return nil
}

func (m *Mirror) moveGroup(ctx context.Context, group string) error {
	wanted, err := m.source.committed(ctx, group)
	if err != nil {
		return err
	}
	have, members, err := m.target.group(ctx, group)
	if err != nil || members > 0 {
		if members > 0 {
			m.note(fmt.Sprintf("group %s has members here already, so its offsets stay", group))
		}
		return err
	}
	for _, t := range m.topics {
		for n, offset := range wanted[t.name] {
			to, err := m.target.at(ctx, t.name, n, offset)
			if err != nil {
				return fmt.Errorf("topic %s, partition %d: %w", t.name, n, err)
			}
			if at, ok := have[place{t.name, n}]; ok && at >= to {
				continue
			}
			body := map[string]any{"topic": t.name, "partition": n, "to": to, "create": true}
			if err := m.target.post(ctx, "/groups/"+url.PathEscape(group)+"/seek", m.target.named(), body, nil); err != nil {
				return fmt.Errorf("topic %s, partition %d: %w", t.name, n, err)
			}
			m.moved[group] = true
		}
	}
	return nil
}

// place is a partition.
type place struct {
	topic     string
	partition int
}

// group returns what a group has committed, and how many members it has.
func (t *target) group(ctx context.Context, name string) (committed map[place]int64, members int, err error) {
	var info struct {
		Members []struct{} `json:"members"`
	}
	err = t.get(ctx, "/groups/"+url.PathEscape(name), t.named(), &info)
	if code(err) == "group_not_found" {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	var offsets struct {
		Offsets []struct {
			Topic     string `json:"topic"`
			Partition int    `json:"partition"`
			Committed *int64 `json:"committed"`
		} `json:"offsets"`
	}
	q := t.named()
	q.Set("group", name)
	if err := t.get(ctx, "/offset", q, &offsets); err != nil {
		return nil, 0, err
	}
	committed = map[place]int64{}
	for _, o := range offsets.Offsets {
		if o.Committed != nil {
			committed[place{o.Topic, o.Partition}] = *o.Committed
		}
	}
	return committed, len(info.Members), nil
}
