package fakekdc

import "testing"

func TestContextWithCaller(t *testing.T) {
	want := Caller{Name: "alice@A.EXAMPLE"}
	if got, ok := CallerOf(ContextWithCaller(t.Context(), want)); !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
}
