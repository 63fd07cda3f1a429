package link

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestMain sees to it that nothing runs on when all nodes are closed.
func TestMain(m *testing.M) {
	before := runtime.NumGoroutine()
	code := m.Run()
	if flag.Lookup("test.fuzz").Value.String() != "" { // the fuzzer has its own
		os.Exit(code)
	}
	timeout := time.After(10 * time.Second)
	tick := time.Tick(10 * time.Millisecond)
	for code == 0 && runtime.NumGoroutine() > before {
		select {
		case <-tick:
		case <-timeout:
			stacks := make([]byte, 1<<20)
			fmt.Printf("goroutines are left:\n%s\n", stacks[:runtime.Stack(stacks, true)])
			code = 1
		}
	}
	os.Exit(code)
}
