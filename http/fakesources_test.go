package http

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"ottla/protocol"
)

// fakeSources are the sources of a fakeBackend.
type fakeSources struct {
	guard   sync.Mutex
	sources []*protocol.Source
}

func (f *fakeSources) Sources() ([]*protocol.Source, *protocol.Error) {
	f.guard.Lock()
	defer f.guard.Unlock()
	return slices.Clone(f.sources), nil
}

func (f *fakeSources) Source(name string) (*protocol.Source, *protocol.Error) {
	f.guard.Lock()
	defer f.guard.Unlock()
	for _, src := range f.sources {
		if src.Name == name {
			return src, nil
		}
	}
	return nil, protocol.Errorf(protocol.CodeSourceNotFound, "source %q does not exist", name)
}

func (f *fakeSources) PutSource(_ context.Context, spec *protocol.SourceSpec) (*protocol.Source, bool, *protocol.Error) {
	src := &protocol.Source{SourceSpec: *spec, CreatedAt: time.UnixMilli(1795367763123).UTC()}
	src.Cluster = cmp.Or(src.Cluster, "default")
	f.guard.Lock()
	defer f.guard.Unlock()
	before := len(f.sources)
	f.sources = slices.DeleteFunc(f.sources, func(s *protocol.Source) bool { return s.Name == spec.Name })
	created := len(f.sources) == before
	f.sources = append(f.sources, src)
	slices.SortFunc(f.sources, func(a, b *protocol.Source) int { return cmp.Compare(a.Name, b.Name) })
	return src, created, nil
}

func (f *fakeSources) DeleteSource(_ context.Context, name string) *protocol.Error {
	if _, err := f.Source(name); err != nil {
		return err
	}
	f.guard.Lock()
	defer f.guard.Unlock()
	f.sources = slices.DeleteFunc(f.sources, func(s *protocol.Source) bool { return s.Name == name })
	return nil
}

func (f *fakeBackend) DeleteRecords(_ context.Context, _, _ string, trims []protocol.TrimRequest) (list []protocol.TrimmedPartition, _ *protocol.Error) {
	for _, t := range trims {
		if t.Before > 5 {
			return nil, protocol.Errorf(protocol.CodeNotAllowed, "beyond the end")
		}
		list = append(list, protocol.TrimmedPartition{Partition: t.Partition, Earliest: max(t.Before, 0)})
	}
	return list, nil
}
