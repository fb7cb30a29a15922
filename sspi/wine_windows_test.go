package sspi

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/internal/initiatortest"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// homeVariable names a folder for krb5.conf and cc, the configuration and cache that
// Wine's package Kerberos was told of when the process started.
const homeVariable = "KERBCHAIN_SSPI_HOME"

// wineHome returns the folder.
func wineHome(t *testing.T) string {
	t.Helper()
	home := os.Getenv(homeVariable)
	if home == "" {
		t.Skip("there is no KDC for this: a test of internal/interop runs it under Wine")
	}
	return home
}

// logOn has Wine's package Kerberos find the realm, and the credentials of alice.
func logOn(t *testing.T, home string, r *fakekdc.Realm) {
	t.Helper()
	for _, line := range r.Environ("alice") {
		name, value, _ := strings.Cut(line, "=")
		to := map[string]string{"KRB5_CONFIG": "krb5.conf", "KRB5CCNAME": "cc"}[name]
		if to == "" {
			continue
		}
		b, err := os.ReadFile(strings.TrimPrefix(value, "FILE:"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, to), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestContractOfWine holds the initiator to what every one owes, on secur32.dll itself
// as Wine 8 has it, which asks MIT's library, and counts handles.
func TestContractOfWine(t *testing.T) {
	home := wineHome(t)
	who, err := (&dll32{}).UserName()
	if err != nil {
		t.Fatal(err)
	}
	count, lib := count(t)
	limits := initiatortest.Limits{MarksIgnored: true, Unbound: true, Vague: true, Principal: who}
	initiatortest.RunWithin(t, limits, func(t *testing.T, r *fakekdc.Realm) initiatortest.Make {
		logOn(t, home, r)
		return func(t *testing.T, o initiatortest.Options) middleware.Initiator {
			return kitInitiator(t, o, func() (*library, error) { return lib, nil })
		}
	})
	if n := count.made.Load(); n < 200 {
		t.Errorf("%d contexts were made: they are not counted", n)
	}
	garbage(t, func() bool { return count.credentials.Load() == 0 && count.contexts.Load() == 0 })
	if c, x, m := count.credentials.Load(), count.contexts.Load(), count.memory.Load(); c != 0 || x != 0 || m != 0 {
		t.Errorf("%d credentials, %d contexts and %d pieces of memory are left", c, x, m)
	}
}

// TestPasswordOfWine: a password that is refused goes to the KDC once, whichever initiator has it.
func TestPasswordOfWine(t *testing.T) {
	home := wineHome(t)
	r := newRealm(t)
	logOn(t, home, r)
	for password, want := range map[string]int{"secret": 0, "wrong": 1} {
		r.ResetExchanges()
		var in middleware.Initiator
		for i := range 4 {
			if i%2 == 0 {
				var err error
				if in, err = New(Options{Principal: "alice@" + r.Name(), Password: NewSecret(password)}); err != nil {
					t.Fatal(err)
				}
			}
			_, token, err := first(t, in)
			if (err != nil) != (want > 0) || err != nil && (!errors.Is(err, middleware.ErrCredentials) || token != nil) {
				t.Errorf("%s: %d bytes, %v", password, len(token), err)
			}
		}
		var refused int
		for _, e := range r.Exchanges() {
			if e.Code == krb.CodePreauthFailed {
				refused++
			}
		}
		if refused != want {
			t.Errorf("%s: refused %d times, want %d: %v", password, refused, want, r.Exchanges())
		}
	}
}

// counted is secur32.dll, and counts what it gave and was not given back.
type counted struct {
	secur32
	made, credentials, contexts, memory atomic.Int64
}

// count returns a library that counts.
func count(t *testing.T) (*counted, *library) {
	t.Helper()
	lib, err := open()
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{secur32: lib.secur32}
	lib.secur32 = c
	return c, lib
}

func (c *counted) AcquireCredentialsHandle(pkg *uint16, who *authIdentity, credential *handle, expiry *timeStamp) status {
	s := c.secur32.AcquireCredentialsHandle(pkg, who, credential, expiry)
	if s == statusOK {
		c.credentials.Add(1)
	}
	return s
}

func (c *counted) FreeCredentialsHandle(credential *handle) status {
	c.credentials.Add(-1)
	return c.secur32.FreeCredentialsHandle(credential)
}

func (c *counted) InitializeSecurityContext(credential, context *handle, target *uint16, request uint32, in *bufferDesc,
	made *handle, out *bufferDesc, attributes *uint32, expiry *timeStamp) status {
	s := c.secur32.InitializeSecurityContext(credential, context, target, request, in, made, out, attributes, expiry)
	if context == nil && s&0x80000000 == 0 {
		c.contexts.Add(1)
		c.made.Add(1)
	}
	return s
}

func (c *counted) DeleteSecurityContext(context *handle) status {
	c.contexts.Add(-1)
	return c.secur32.DeleteSecurityContext(context)
}

func (c *counted) QueryContextAttributes(context *handle, attribute uint32, out unsafe.Pointer) status {
	s := c.secur32.QueryContextAttributes(context, attribute, out)
	if attribute == attrNegotiationInfo && s == statusOK {
		c.memory.Add(1)
	}
	return s
}

func (c *counted) QueryCredentialsAttributes(credential *handle, attribute uint32, out unsafe.Pointer) status {
	s := c.secur32.QueryCredentialsAttributes(credential, attribute, out)
	if s == statusOK {
		c.memory.Add(1)
	}
	return s
}

func (c *counted) FreeContextBuffer(memory unsafe.Pointer) status {
	c.memory.Add(-1)
	return c.secur32.FreeContextBuffer(memory)
}
