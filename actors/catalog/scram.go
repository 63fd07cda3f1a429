package catalog

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"errors"

	"ottla/actors/metarecord"
	"ottla/protocol"
)

// scramValue are protocol.ScramKeys as a token's record has them. Of each mechanism the
// StoredKey is followed by the ServerKey.
type scramValue struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	SHA256     []byte `json:"sha256"`
	SHA512     []byte `json:"sha512"`
}

func scramValueOf(k *protocol.ScramKeys) *scramValue {
	if k == nil {
		return nil
	}
	return &scramValue{
		Salt: k.Salt, Iterations: k.Iterations,
		SHA256: append(bytes.Clone(k.SHA256.Stored), k.SHA256.Server...), SHA512: append(bytes.Clone(k.SHA512.Stored), k.SHA512.Server...),
	}
}

func (v *scramValue) keys() (*protocol.ScramKeys, error) {
	switch {
	case v == nil:
		return nil, nil
	// Checked although this program has written it: a client would be told what it cannot
	// use.
	case len(v.Salt) == 0 || len(v.Salt) > protocol.MaxScramSalt:
		return nil, errors.New("the salt of the token's keys for SCRAM is empty or too long")
	case v.Iterations < protocol.MinScramIterations || v.Iterations > protocol.MaxScramIterations:
		return nil, errors.New("the token's keys for SCRAM have too few iterations, or too many")
	case len(v.SHA256) != 2*sha256.Size || len(v.SHA512) != 2*sha512.Size:
		return nil, errors.New("the token's keys for SCRAM are not as long as their hashes")
	}
	return &protocol.ScramKeys{
		Salt: v.Salt, Iterations: v.Iterations,
		SHA256: protocol.ScramPair{Stored: v.SHA256[:sha256.Size], Server: v.SHA256[sha256.Size:]},
		SHA512: protocol.ScramPair{Stored: v.SHA512[:sha512.Size], Server: v.SHA512[sha512.Size:]},
	}, nil
}

// tokenKeys begins the keys of tokens.
var tokenKeys = []byte(`["` + keyToken + `",`)

// tokenWithoutSecrets leaves out the keys for SCRAM. The hash stays: nobody finds a token by it.
func tokenWithoutSecrets(value []byte) []byte {
	var v tokenValue
	if string(value) == protocol.NullToken || metarecord.Decode(value, &v) != nil {
		return []byte(protocol.NullToken)
	}
	v.Scram, v.PreviousScram = nil, nil
	return metarecord.JSON(v)
}

// saltBytes are as many as RFC 5802's examples have.
const saltBytes = 16

// saltKeyOf is another key than that of the seals, so that no salt says anything of a seal.
func saltKeyOf(sealKey []byte) []byte {
	key, err := hkdf.Key(sha256.New, sealKey, nil, "ottla salts of SCRAM", sha256.Size)
	if err != nil {
		panic("BUG: a key of 32 bytes is not too long: " + err.Error())
	}
	return key
}

// Salt is the salt of whoever goes by that name, whether there is such a token or not.
func Salt(saltKey []byte, name string) []byte {
	// Made of the name, so that it does not show by the salt whether there is such a token.
	mac := hmac.New(sha256.New, saltKey)
	mac.Write([]byte(name))
	return mac.Sum(nil)[:saltBytes]
}
