package front

import (
	"context"
	"slices"

	"ottla/actors/catalog"
	"ottla/actors/level"
	"ottla/actors/metarecord"
	"ottla/actors/routing"
	"ottla/protocol"
)

// Tokens are kept in the metadata of the default cluster.

// tokenCluster finds the cluster that keeps the tokens, and the sources of webhooks.
func (fr *Front) tokenCluster() (*routing.Cluster, *protocol.Error) {
	c := fr.directory.Clusters()[protocol.DefaultCluster]
	switch {
	case c == nil && fr.directory.WantsDefault.Load():
		return nil, routing.ErrStarting
	case c == nil:
		return nil, protocol.Errorf(protocol.CodeClusterNotFound, "tokens and sources are kept in the cluster %q, which does not exist", protocol.DefaultCluster)
	case c.View() == nil:
		return nil, c.Unavailable()
	}
	return c, nil
}

// Tokens are all tokens by name, which must not be changed. Errors: starting,
// not_enough_replicas (the cluster that keeps them is held back).
func (fr *Front) Tokens() ([]*protocol.TokenEntry, *protocol.Error) {
	c, err := fr.tokenCluster()
	switch {
	case err == nil:
		return c.View().Tokens, nil
	case err.Code == protocol.CodeClusterNotFound:
		return nil, nil
	}
	return nil, err
}

// OnTokens sets the function that is called, on any goroutine, whenever Tokens may
// return others than before: before whoever has changed them gets the answer. It
// must not block.
func (fr *Front) OnTokens(f func()) { fr.directory.OnTokens(f) }

// CreateToken keeps a token by its hash. Errors: token_exists, too_many_tokens,
// cluster_not_found.
func (fr *Front) CreateToken(ctx context.Context, spec *protocol.TokenSpec, hash protocol.TokenHash) (info *protocol.TokenInfo, err *protocol.Error) {
	err = fr.changeTokens(ctx, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		info, recs, err = s.DecideCreateToken(spec, hash, fr.opt.Now().UnixMilli(), fr.opt.MaxTokens)
		return recs, err
	})
	return info, err
}

// AlterToken changes what the spec sends. Errors: token_not_found,
// cluster_not_found.
func (fr *Front) AlterToken(ctx context.Context, spec *protocol.TokenSpec) (info *protocol.TokenInfo, err *protocol.Error) {
	err = fr.changeTokens(ctx, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		info, recs, err = s.DecideAlterToken(spec)
		return recs, err
	})
	return info, err
}

// RotateToken gives a token another secret, by its hash; the one that it has is valid for
// overlapMs longer. Errors: token_not_found, cluster_not_found, not_finalized.
func (fr *Front) RotateToken(ctx context.Context, name string, hash protocol.TokenHash, overlapMs int64) (info *protocol.TokenInfo, err *protocol.Error) {
	if err := fr.host.Needs(level.Rotations, fr.deadline(ctx)); err != nil {
		return nil, err
	}
	err = fr.changeTokens(ctx, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		info, recs, err = s.DecideRotateToken(name, hash, fr.opt.Now().UnixMilli(), overlapMs)
		return recs, err
	})
	return info, err
}

// DeleteToken deletes a token. Errors: token_not_found, cluster_not_found.
func (fr *Front) DeleteToken(ctx context.Context, name string) *protocol.Error {
	return fr.changeTokens(ctx, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideDeleteToken(name)
	})
}

func (fr *Front) changeTokens(ctx context.Context, decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error {
	c, err := fr.tokenCluster()
	if err != nil {
		return err
	}
	return c.Control.Change(fr.deadline(ctx), decide)
}

// keepsTokens refuses to delete the cluster that keeps the tokens, while there are
// any: nobody could ask any more.
func (fr *Front) keepsTokens(cluster string) *protocol.Error {
	c := fr.directory.Clusters()[cluster]
	if cluster != protocol.DefaultCluster || c == nil || c.View() == nil || len(c.View().Tokens) == 0 {
		return nil
	}
	names := make([]string, 0, len(c.View().Tokens))
	for _, t := range c.View().Tokens {
		names = append(names, t.Name)
	}
	return protocol.Errorf(protocol.CodeNotAllowed, "cluster %q keeps the tokens of all clusters, %d of them: delete those first", cluster, len(names)).
		With("tokens", slices.Clip(names[:min(len(names), 16)]))
}
