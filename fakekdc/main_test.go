package fakekdc

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Parallel tests wait for silence. A -parallel of the caller's counts.
	flag.Set("test.parallel", strconv.Itoa(max(runtime.GOMAXPROCS(0), 16)))
	// gokrb5's acceptor cleans its replay cache for ever; with inlining and
	// without, the goroutine has another name.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/jcmturner/gokrb5/v8/service.VerifyAPREQ.GetReplayCache.func1.1"),
		goleak.IgnoreAnyFunction("github.com/jcmturner/gokrb5/v8/service.GetReplayCache.func1.1"))
}
