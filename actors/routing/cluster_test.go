package routing

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestRequestsDoNotWaitForALongStart(t *testing.T) {
	now := time.Now()
	assert.False(t, (&Cluster{Known: now}).HeldBack(now.Add(longStart)))
	assert.True(t, (&Cluster{Known: now}).HeldBack(now.Add(longStart+1)))
	assert.False(t, (&Cluster{Known: now, Fresh: true}).HeldBack(now.Add(2*longStart)), "nobody misses anything in it")
	serving := &Cluster{Known: now}
	serving.Publish(&Table{}, &View{})
	assert.False(t, serving.HeldBack(now.Add(2*longStart)))
}
