package fakeweb

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) {
	// gokrb5's acceptor cleans its replay cache for ever; with inlining and
	// without, the goroutine has another name.
	testmain.Run(m,
		goleak.IgnoreAnyFunction("github.com/jcmturner/gokrb5/v8/service.VerifyAPREQ.GetReplayCache.func1.1"),
		goleak.IgnoreAnyFunction("github.com/jcmturner/gokrb5/v8/service.GetReplayCache.func1.1"))
}
