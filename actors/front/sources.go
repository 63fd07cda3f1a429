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
func (fr *Front) Sources() ([]*protocol.Source, *protocol.Error) {
	c, err := fr.tokenCluster()
	switch {
	case err == nil:
	case err.Code == protocol.CodeClusterNotFound:
		return nil, nil
	default:
		return nil, err
	}
	var seen []*protocol.Source
	for _, src := range c.View().Sources {
		if fr.access.Who.SeesTopic(src.Cluster, src.Topic) {
			seen = append(seen, src)
		}
	}
	return seen, nil
}

// Source finds a source. Errors: source_not_found, also for one that the client may not
// see; starting, not_enough_replicas.
func (fr *Front) Source(name string) (*protocol.Source, *protocol.Error) {
	c, err := fr.tokenCluster()
	if err != nil && err.Code == protocol.CodeClusterNotFound {
		return nil, catalog.SourceNotFound(name)
	}
	if err != nil {
		return nil, err
	}
	at, found := catalog.FindSource(c.View().Sources, name)
	if !found {
		if err := fr.settle(c); err != nil {
			return nil, err
		}
		at, found = catalog.FindSource(c.View().Sources, name)
	}
	if !found {
		return nil, catalog.SourceNotFound(name)
	}
	src := c.View().Sources[at]
	if !fr.access.Who.SeesTopic(src.Cluster, src.Topic) {
		return nil, catalog.SourceNotFound(name)
	}
	return src, nil
}

// PutSource creates a source or replaces its settings. Errors: too_many_sources,
// cluster_not_found, ambiguous_topic; forbidden for who may not administer its topic,
// or the one that it had before.
func (fr *Front) PutSource(ctx context.Context, spec *protocol.SourceSpec) (src *protocol.Source, created bool, err *protocol.Error) {
	s := *spec
	if s.Cluster, err = fr.clusterForTopic(s.Cluster, s.Topic); err != nil {
		return nil, false, err
	}
	err = fr.changeTokens(ctx, func(state *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		if err := fr.mayChangeSource(state, s.Name); err != nil {
			return nil, err
		}
		src, created, recs, err = state.DecidePutSource(&s, fr.opt.Now().UnixMilli(), fr.opt.MaxSources)
		return recs, err
	})
	return src, created, err
}

// DeleteSource deletes a source. Errors: source_not_found; forbidden.
func (fr *Front) DeleteSource(ctx context.Context, name string) *protocol.Error {
	return fr.changeTokens(ctx, func(state *catalog.State) ([]metarecord.Record, *protocol.Error) {
		if err := fr.mayChangeSource(state, name); err != nil {
			return nil, err
		}
		return state.DecideDeleteSource(name)
	})
}

// mayChangeSource refuses to change a source of a topic that the client may not
// administer: its name is taken.
func (fr *Front) mayChangeSource(state *catalog.State, name string) *protocol.Error {
	at, found := catalog.FindSource(state.Sources(), name)
	if !found {
		return nil
	}
	if src := state.Sources()[at]; !fr.access.Who.Topic(protocol.RightAdmin, src.Cluster, src.Topic) {
		return fr.access.Forbidden(protocol.RightAdmin, "source", "", name)
	}
	return nil
}

// clusterForTopic is the cluster that is meant by a topic which need not exist yet.
func (fr *Front) clusterForTopic(cluster, topic string) (string, *protocol.Error) {
	if cluster != "" {
		if err := fr.mayTopic(cluster, topic); err != nil {
			return "", err
		}
		_, err := fr.cluster(cluster)
		return cluster, err
	}
	t, err := fr.LookupTopic("", topic, false, time.Time{})
	switch {
	case err == nil:
		return t.Cluster, fr.mayTopic(t.Cluster, topic)
	case err.Code != protocol.CodeTopicNotFound:
		return "", err
	}
	return protocol.DefaultCluster, fr.mayTopic(protocol.DefaultCluster, topic)
}

// keepsSources refuses to delete the cluster that keeps the sources, while there are
// any: they would be gone without anybody having asked for that.
func (fr *Front) keepsSources(cluster string) *protocol.Error {
	c := fr.directory.Clusters()[cluster]
	if cluster != protocol.DefaultCluster || c == nil || c.View() == nil || len(c.View().Sources) == 0 {
		return nil
	}
	return protocol.Errorf(protocol.CodeNotAllowed, "cluster %q keeps the sources of webhooks, %d of them: delete those first", cluster, len(c.View().Sources))
}
