package client_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/ccache/keyring"
)

// keyringLogin returns a cache in the kernel, in a keyring of the user's that the end
// of the test takes away; nil where the kernel does not let one handle keys, as in
// many containers.
func keyringLogin(t *testing.T, cache func(user string) []byte) *login {
	t.Helper()
	name := "kerbchain-test-" + rand.Text()
	residual := "user:" + name
	orSkip := func(t *testing.T, err error) {
		t.Helper()
		if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) {
			t.Skipf("no keyrings here: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	collection, err := keyring.Open(ccache.Name{Type: "KEYRING", Residual: residual})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ring, err := unix.KeyctlSearch(unix.KEY_SPEC_USER_KEYRING, "keyring", "_krb_"+name, 0)
		if err != nil {
			return // there never was one
		}
		if _, err := unix.KeyctlInt(unix.KEYCTL_UNLINK, ring, unix.KEY_SPEC_USER_KEYRING, 0, 0); err != nil {
			t.Error(err)
		}
	})
	return &login{name: "KEYRING:" + residual, become: func(t *testing.T, user string) {
		store, err := collection.Primary(t.Context())
		orSkip(t, err)
		c, err := ccache.Parse(cache(user))
		if err != nil {
			t.Fatal(err)
		}
		orSkip(t, store.Replace(t.Context(), c))
	}}
}
