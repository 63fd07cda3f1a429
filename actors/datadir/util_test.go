package datadir

import (
	"bytes"
	"fmt"
)

// replaceOnce changes the one place where old stands.
func replaceOnce(b []byte, old, with string) []byte {
	if bytes.Count(b, []byte(old)) != 1 {
		panic(fmt.Sprintf("%q stands %d times", old, bytes.Count(b, []byte(old))))
	}
	return bytes.Replace(b, []byte(old), []byte(with), 1)
}
