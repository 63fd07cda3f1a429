package protocol

import "strings"

// IsHeaderList reports whether a token of headers is a list of pairs, which stands for
// what no object can say: a name that comes twice, values that are null or bytes.
func IsHeaderList(token []byte) bool { return len(token) > 0 && token[0] == '[' }

// ExtendHeaderList is a list of headers with more of them at its end, and without those
// whose names begin with prefix. It does not change the token.
func ExtendHeaderList(token []byte, prefix string, more [][2]string) []byte {
	list := []byte{'['}
	next := func() {
		if len(list) > 1 {
			list = append(list, ',')
		}
	}
	r := NewJSONReader(token)
	for r.Array(); r.Element(); {
		pair, ok := r.Value()
		if !ok {
			break
		}
		p := NewJSONReader(pair.Raw)
		var name []byte
		if p.Array() && p.Element() {
			if v, ok := p.Value(); ok && v.Raw[0] == '"' {
				name, _ = AppendUnescaped(nil, v.Raw[1:len(v.Raw)-1])
			}
		}
		if strings.HasPrefix(string(name), prefix) {
			continue
		}
		next()
		list = append(list, pair.Raw...)
	}
	for _, h := range more {
		next()
		list = AppendJSONString(append(list, '['), h[0])
		list = AppendJSONString(append(list, ','), h[1])
		list = append(list, ']')
	}
	return append(list, ']')
}
