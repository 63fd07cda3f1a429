//go:build !poison && !race

package conn

// Poisons reports whether memory that is given back is overwritten first; see
// poison_on.go.
const Poisons = false

// Spoil overwrites b with PoisonByte if Poisons is true.
func Spoil([]byte) {}

func (s *Session) spoilRequest() {}

func (b *buffers) spoil() {}
