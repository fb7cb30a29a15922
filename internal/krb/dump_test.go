package krb_test

import (
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/stagetest"
)

// A key that was used is nowhere to be found by what follows every pointer, nor is what
// was derived of it by its first part: no field of a key is plain.
func TestKeysAreNotDumped(t *testing.T) {
	for _, etype := range krb.DefaultEtypes(true) {
		k, err := krb.GenerateKey(etype)
		if err != nil {
			t.Fatal(err)
		}
		if where := stagetest.Dumped(k.Bytes(), k.Bytes()); where == "" {
			t.Error("the key itself is not found")
		}
		if where := stagetest.Dumped(&struct{ key krb.Key }{k}, k.Bytes()[:8]); where != "" {
			t.Errorf("etype %d: found in %s", etype, where)
		}
	}
}
