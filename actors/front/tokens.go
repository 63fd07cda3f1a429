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

// registryService keeps tokens, sources of webhooks and subscriptions.
type registryService struct {
	*resolver
	sh *shared
}

// tokenCluster finds the cluster that keeps the tokens, and the sources of webhooks.
func (rg *registryService) tokenCluster() (*routing.Cluster, *protocol.Error) {
	c := rg.directory.Clusters()[protocol.DefaultCluster]
	switch {
	case c == nil && rg.directory.WantsDefault.Load():
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
func (rg *registryService) Tokens() ([]*protocol.TokenEntry, *protocol.Error) {
	c, err := rg.tokenCluster()
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
func (rg *registryService) OnTokens(f func()) { rg.directory.OnTokens(f) }

// TokensElsewhere implements access.Source.
func (rg *registryService) TokensElsewhere() bool { return rg.fleet.Node() != 0 }

// RenewTokens implements access.Source.
func (rg *registryService) RenewTokens() *protocol.Error {
	return rg.settle(rg.directory.Clusters()[protocol.DefaultCluster])
}

// TokenSalt is the salt of a token's keys for SCRAM, and of names that are no token's: it
// tells nobody which they are. Nil: there are no such keys yet, because the fleet's level
// is too low, or the cluster that keeps tokens is not there.
func (rg *registryService) TokenSalt(name string) []byte {
	c, err := rg.tokenCluster()
	if err != nil || c.View().SaltKey == nil || rg.fleet.Level() < level.Scram.Level {
		return nil
	}
	return catalog.Salt(c.View().SaltKey, name)
}

// CreateToken keeps a token. Errors: token_exists, too_many_tokens, cluster_not_found.
func (rg *registryService) CreateToken(ctx context.Context, spec *protocol.TokenSpec, secret protocol.TokenSecret) (info *protocol.TokenInfo, err *protocol.Error) {
	err = rg.changeTokens(ctx, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		info, recs, err = s.DecideCreateToken(spec, secret, rg.opt.Millis(), rg.opt.MaxTokens)
		return recs, err
	})
	return info, err
}

// AlterToken changes what the spec sends. Errors: token_not_found,
// cluster_not_found.
func (rg *registryService) AlterToken(ctx context.Context, spec *protocol.TokenSpec) (info *protocol.TokenInfo, err *protocol.Error) {
	err = rg.changeTokens(ctx, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		info, recs, err = s.DecideAlterToken(spec)
		return recs, err
	})
	return info, err
}

// RotateToken gives a token another secret; the one that it has is valid for
// overlapMs longer. Errors: token_not_found, cluster_not_found, not_finalized.
func (rg *registryService) RotateToken(ctx context.Context, name string, secret protocol.TokenSecret, overlapMs int64) (info *protocol.TokenInfo, err *protocol.Error) {
	if err := rg.fleet.Needs(level.Rotations, rg.deadline(ctx)); err != nil {
		return nil, err
	}
	err = rg.changeTokens(ctx, func(s *catalog.State) (recs []metarecord.Record, err *protocol.Error) {
		info, recs, err = s.DecideRotateToken(name, secret, rg.opt.Millis(), overlapMs)
		return recs, err
	})
	return info, err
}

// DeleteToken deletes a token. Errors: token_not_found, cluster_not_found.
func (rg *registryService) DeleteToken(ctx context.Context, name string) *protocol.Error {
	return rg.changeTokens(ctx, func(s *catalog.State) ([]metarecord.Record, *protocol.Error) {
		return s.DecideDeleteToken(name)
	})
}

// changeTokens changes what the default cluster keeps. Rights that depend on what is there
// are looked at in decide: what was read before may be another one's by then.
func (rg *registryService) changeTokens(ctx context.Context, decide func(*catalog.State) ([]metarecord.Record, *protocol.Error)) *protocol.Error {
	c, err := rg.tokenCluster()
	if err != nil {
		return err
	}
	return rg.change(c, rg.deadline(ctx), decide)
}

// keepsTokens refuses to delete the cluster that keeps the tokens, while there are
// any: nobody could ask any more.
func (rg *registryService) keepsTokens(cluster string) *protocol.Error {
	c := rg.directory.Clusters()[cluster]
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
