package http

import (
	"time"

	"github.com/valyala/fasthttp"

	"ottla/http/access"
	"ottla/protocol"
)

// maxGrants is how many grants a token may have.
const maxGrants = 100

// createdToken is the answer to POST /tokens and to a rotation, the only ones that have
// the token.
type createdToken struct {
	protocol.TokenInfo
	Token string `json:"token"`
}

// tokenSettings are the fields that POST /tokens and PATCH /tokens/{token} share.
func tokenSettings(spec *protocol.TokenSpec) []binding {
	return []binding{
		{name: "allow", set: setGrants(&spec.Allow)},
		{name: "expires_at", set: setExpiry(&spec.ExpiresAt)},
		{name: "quota", set: setQuota(&spec.Quota)},
	}
}

func postToken(c *call) *protocol.Error {
	spec := &protocol.TokenSpec{}
	err := c.bindBody(append(tokenSettings(spec), binding{name: "name", required: true, set: setName(&spec.Name)})...)
	switch {
	case err != nil:
		return err
	case spec.Allow == nil:
		return missing("allow")
	case spec.Name == access.AdminName:
		return protocol.Errorf(protocol.CodeNotAllowed, "the name %q belongs to the token of the configuration", spec.Name).With("field", "name")
	}
	token, secret := access.NewToken(c.b.TokenSalt(spec.Name))
	ctx, cancel := c.timeout()
	defer cancel()
	info, err := c.b.CreateToken(ctx, spec, secret)
	if err != nil {
		return err
	}
	c.ctx.Response.Header.Set("Cache-Control", "no-store")
	return c.sendJSON(fasthttp.StatusCreated, createdToken{*info, token})
}

// maySeeToken reports whether the client may know of a token: of its own, or of all.
func maySeeToken(c *call, name string) bool {
	return c.who.Everything(protocol.RightAdmin) || c.who.Name() == name
}

func getTokens(c *call) *protocol.Error {
	var p page
	if err := c.bindQuery(p.bindings()...); err != nil {
		return err
	}
	entries, err := c.b.Tokens()
	if err != nil {
		return err
	}
	infos := []protocol.TokenInfo{}
	for _, e := range entries {
		if maySeeToken(c, e.Name) {
			infos = append(infos, e.TokenInfo)
		}
	}
	return sendList(c, &p, "tokens", infos, func(r *protocol.TokenInfo) string { return r.Name })
}

func getToken(c *call) *protocol.Error {
	name, err := c.tokenOf()
	if err != nil {
		return err
	}
	entries, err := c.b.Tokens()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name == name && maySeeToken(c, name) {
			return c.sendJSON(fasthttp.StatusOK, e.TokenInfo)
		}
	}
	return protocol.Errorf(protocol.CodeTokenNotFound, "token %q does not exist", name)
}

func patchToken(c *call) *protocol.Error {
	name, err := c.tokenOf()
	if err != nil {
		return err
	}
	spec := &protocol.TokenSpec{Name: name}
	if err := c.bindRequired(tokenSettings(spec)); err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	info, err := c.b.AlterToken(ctx, spec)
	if err != nil {
		return err
	}
	return c.sendJSON(fasthttp.StatusOK, info)
}

func rotateToken(c *call) *protocol.Error {
	name, err := c.tokenOf()
	if err != nil {
		return err
	}
	overlap := int64(protocol.DefaultOverlapMs)
	if len(c.body) > 0 {
		err = bindJSON(c.body, []binding{{name: "overlap_ms", set: setInteger(&overlap, 0, protocol.MaxOverlapMs, permitted)}})
	}
	if err != nil {
		return err
	}
	token, secret := access.NewToken(c.b.TokenSalt(name))
	ctx, cancel := c.timeout()
	defer cancel()
	info, err := c.b.RotateToken(ctx, name, secret, overlap)
	if err != nil {
		return err
	}
	c.ctx.Response.Header.Set("Cache-Control", "no-store")
	return c.sendJSON(fasthttp.StatusOK, createdToken{*info, token})
}

func deleteToken(c *call) *protocol.Error {
	name, err := c.tokenOf()
	if err != nil {
		return err
	}
	ctx, cancel := c.timeout()
	defer cancel()
	if err := c.b.DeleteToken(ctx, name); err != nil {
		return err
	}
	c.sendNothing()
	return nil
}

// setGrants takes an array of {"do": [...], "cluster"?, "topics"?, "groups"?}.
func setGrants(dst *[]protocol.Grant) func(string, value) *protocol.Error {
	return func(fieldName string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(fieldName, "an array")
		}
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			if len(*dst) == maxGrants {
				return protocol.Errorf(protocol.CodeNotAllowed, "%s has more than %d grants", fieldName, maxGrants).With("limit", maxGrants)
			}
			var g protocol.Grant
			if err := bindObject(&r, fieldName, []binding{
				{name: "do", required: true, set: setRights(&g.Do)},
				{name: "cluster", set: setPattern(&g.Cluster)},
				{name: "topics", set: setPattern(&g.Topics)},
				{name: "groups", set: setPattern(&g.Groups)},
			}); err != nil {
				return inRecord(err, "grant", len(*dst))
			}
			*dst = append(*dst, g)
		}
		if len(*dst) == 0 {
			return protocol.Errorf(protocol.CodeNotAllowed, "%s is empty: a token that may do nothing is of no use", fieldName).With("field", fieldName)
		}
		return nil
	}
}

// setRights takes one or more of read, write and admin.
func setRights(dst *[]string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if v.json.Raw[0] != '[' {
			return v.wrong(field, "an array")
		}
		var all protocol.Right
		r := protocol.NewJSONReader(v.json.Raw)
		for r.Array(); r.Element(); {
			item, _ := r.Value()
			name, ok := value{json: item}.str()
			if !ok {
				return wrongType(field, "an array of strings")
			}
			right, known := protocol.ParseRight(name)
			if !known {
				return protocol.Errorf(protocol.CodeNotAllowed, `%s has %.40q, which is none of "read", "write" and "admin"`, field, name).With("field", field)
			}
			if all&right == 0 {
				*dst = append(*dst, name)
			}
			all |= right
		}
		if all == 0 {
			return protocol.Errorf(protocol.CodeNotAllowed, `%s must have at least one of "read", "write" and "admin"`, field).With("field", field)
		}
		return nil
	}
}

// setPattern takes a name, or a prefix followed by "*".
func setPattern(dst *string) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		if err := setText(dst)(field, v); err != nil {
			return err
		}
		if !protocol.ValidPattern(*dst) {
			return protocol.Errorf(protocol.CodeNotAllowed, `%s %.220q must be a name, or the beginning of one followed by "*"`, field, *dst).With("field", field)
		}
		return nil
	}
}

// setExpiry takes a time that is to come, or null for never.
func setExpiry(dst **time.Time) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		*dst = &time.Time{}
		if string(v.json.Raw) == "null" {
			return nil
		}
		var text string
		if err := setText(&text)(field, v); err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339, text)
		switch {
		case err != nil:
			return invalid(field, "must be a time such as 2027-01-31T12:00:00Z")
		case !at.After(time.Now()):
			return protocol.Errorf(protocol.CodeNotAllowed, "%s is not in the future", field).With("field", field)
		}
		*dst = &at
		return nil
	}
}

// maxQuota is the largest bound of a quota.
const maxQuota = 1 << 40

// setQuota takes bounds, or null for none.
func setQuota(dst **protocol.TokenQuota) func(string, value) *protocol.Error {
	return func(field string, v value) *protocol.Error {
		*dst = &protocol.TokenQuota{}
		if string(v.json.Raw) == "null" {
			return nil
		}
		q := *dst
		r := protocol.NewJSONReader(v.json.Raw)
		return bindObject(&r, field, []binding{
			{name: "produce_bytes_per_s", set: setInteger(&q.ProduceBytes, 1, maxQuota, permitted)},
			{name: "fetch_bytes_per_s", set: setInteger(&q.FetchBytes, 1, maxQuota, permitted)},
			{name: "requests_per_s", set: setInteger(&q.Requests, 1, maxQuota, permitted)},
			{name: "connections", set: setInteger(&q.Connections, 1, maxQuota, permitted)},
			{name: "partitions", set: setInteger(&q.Partitions, 1, maxQuota, permitted)},
		})
	}
}
