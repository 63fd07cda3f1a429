package front

import (
	"context"
	"time"

	"ottla/actors/catalog"
	"ottla/actors/metarecord"
	"ottla/protocol"
)

// Sources of webhooks are kept in the metadata of the default cluster. Who may
// administer the topic of one may change it, and who may know of the topic may see it.

// Sources are the sources that the client may see, by name. Errors: starting,
// not_enough_replicas.
func (rg *registryService) Sources() ([]*protocol.Source, *protocol.Error) {
	c, err := rg.tokenCluster()
	switch {
	case err == nil:
	case err.Code == protocol.CodeClusterNotFound:
		return nil, nil
	default:
		return nil, err
	}
	var seen []*protocol.Source
	for _, src := range c.View().Sources {
		if rg.access.Who.SeesTopic(src.Cluster, src.Topic) {
			seen = append(seen, src)
		}
	}
	return seen, nil
}

// Source finds a source. Errors: source_not_found, also for one that the client may not
// see; starting, not_enough_replicas.
func (rg *registryService) Source(name string) (*protocol.Source, *protocol.Error) {
	c, err := rg.tokenCluster()
	if err != nil && err.Code == protocol.CodeClusterNotFound {
		return nil, catalog.SourceNotFound(name)
	}
	if err != nil {
		return nil, err
	}
	at, found := catalog.FindSource(c.View().Sources, name)
	if !found {
		if err := rg.settle(c); err != nil {
			return nil, err
		}
		at, found = catalog.FindSource(c.View().Sources, name)
	}
	if !found {
		return nil, catalog.SourceNotFound(name)
	}
	src := c.View().Sources[at]
	if !rg.access.Who.SeesTopic(src.Cluster, src.Topic) {
		return nil, catalog.SourceNotFound(name)
	}
	return src, nil
}

// PutSource creates a source or replaces its settings. Errors: too_many_sources,
// cluster_not_found, ambiguous_topic; forbidden for who may not administer its topic,
// or the one that it had before.
func (rg *registryService) PutSource(ctx context.Context, spec *protocol.SourceSpec) (src *protocol.Source, created bool, err *protocol.Error) {
	s := *spec
	if s.Cluster, err = rg.clusterForTopic(s.Cluster, s.Topic); err != nil {
		return nil, false, err
	}
	err = rg.changeTokens(ctx, func(state *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		if err := rg.mayChangeSource(state, s.Name); err != nil {
			return nil, err
		}
		src, created, recs, err = state.DecidePutSource(&s, rg.opt.Millis(), rg.opt.MaxSources)
		return recs, err
	})
	return src, created, err
}

// DeleteSource deletes a source. Errors: source_not_found; forbidden.
func (rg *registryService) DeleteSource(ctx context.Context, name string) *protocol.Error {
	return rg.changeTokens(ctx, func(state *catalog.State) ([]metarecord.Record, *protocol.Error) {
		if err := rg.mayChangeSource(state, name); err != nil {
			return nil, err
		}
		return state.DecideDeleteSource(name)
	})
}

// mayChangeSource refuses to change a source of a topic that the client may not
// administer: its name is taken.
func (rg *registryService) mayChangeSource(state *catalog.State, name string) *protocol.Error {
	at, found := catalog.FindSource(state.Sources(), name)
	if !found {
		return nil
	}
	if src := state.Sources()[at]; !rg.access.Who.Topic(protocol.RightAdmin, src.Cluster, src.Topic) {
		return rg.access.Forbidden(protocol.RightAdmin, "source", "", name)
	}
	return nil
}

// clusterForTopic is the cluster that is meant by a topic which need not exist yet.
func (rg *registryService) clusterForTopic(cluster, topic string) (string, *protocol.Error) {
	if cluster != "" {
		if err := rg.mayTopic(cluster, topic); err != nil {
			return "", err
		}
		_, err := rg.cluster(cluster)
		return cluster, err
	}
	t, err := rg.LookupTopic("", topic, false, time.Time{})
	switch {
	case err == nil:
		return t.Cluster, rg.mayTopic(t.Cluster, topic)
	case err.Code != protocol.CodeTopicNotFound:
		return "", err
	}
	return protocol.DefaultCluster, rg.mayTopic(protocol.DefaultCluster, topic)
}

// keepsSources refuses to delete the cluster that keeps the sources, while there are
// any: they would be gone without anybody having asked for that.
func (rg *registryService) keepsSources(cluster string) *protocol.Error {
	c := rg.directory.Clusters()[cluster]
	if cluster != protocol.DefaultCluster || c == nil || c.View() == nil || len(c.View().Sources) == 0 {
		return nil
	}
	return protocol.Errorf(protocol.CodeNotAllowed, "cluster %q keeps the sources of webhooks, %d of them: delete those first", cluster, len(c.View().Sources))
}
