package fakeweb

import (
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
)

func TestContextWithCaller(t *testing.T) {
	want := fakekdc.Caller{Name: "alice@A.EXAMPLE"}
	if got, ok := CallerOf(ContextWithCaller(t.Context(), want)); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
}
