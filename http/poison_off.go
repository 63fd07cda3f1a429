//go:build !poison && !race

package http

// poisons tells whether what is given back is overwritten first; see
// poison_on.go.
const poisons = false

func (k *connection) poisonRequest() {}

func (g *gear) poison() {}

func (c *call) poison() {}

func poisonAnswer([]byte) {}
