package ccache

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Entry by entry, a cache becomes what it is as a file.
func TestRecords(t *testing.T) {
	want := parse(t, testFile(t, 4))
	got := &Cache{Version: 4, Client: want.Client}
	for _, e := range want.Config {
		cred := e.Credential(want.Client)
		b, err := cred.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	for i := range want.Credentials {
		b, err := want.Credentials[i].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		before := len(got.Credentials)
		for n := range b {
			if err := got.Append(b[:n]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
		if err := got.Append(append(b[:len(b):len(b)], 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("with a byte too many: %v", err)
		}
		if len(got.Credentials) != before {
			t.Fatal("what failed was kept")
		}
		if err := got.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, got, compare...); diff != "" {
		t.Error(diff)
	}
	if err := got.Append(make([]byte, MaxSize+1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("too large: %v", err)
	}
}

func TestPrincipalRecord(t *testing.T) {
	for name, p := range map[string]krb.Principal{
		"user":          alice,
		"service":       web,
		"no components": {Realm: "R"},
		"no realm":      {Components: []string{"a", "", "c"}},
	} {
		b, err := MarshalPrincipal(p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParsePrincipal(b)
		if err != nil || !got.Equal(p) || got.Type != p.Type {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		for n := range b {
			if got, err := ParsePrincipal(b[:n]); !errors.Is(err, ErrTruncated) {
				t.Errorf("%s: %d bytes: %v, %v", name, n, got, err)
			}
		}
		if got, err := ParsePrincipal(append(b, 0)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: with a byte too many: %v, %v", name, got, err)
		}
	}
	if b, err := MarshalPrincipal(krb.Principal{Components: make([]string, maxComponents+1)}); err == nil {
		t.Errorf("more components than can be read: %d bytes", len(b))
	}
}

// Principals that share memory do not grow into one another.
func TestSharedMemory(t *testing.T) {
	b := testFile(t, 4)
	c := parse(t, b)
	for i := range c.Credentials {
		cred := &c.Credentials[i]
		_ = append(cred.Client.Components, "x")
		_ = append(cred.Server.Components, "x")
		_ = append(cred.Raw, "xxxx"...)
		_ = append(cred.key.Reveal(), "xxxx"...)
	}
	if diff := cmp.Diff(parse(t, testFile(t, 4)), c, compare...); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(b, testFile(t, 4)) {
		t.Error("the file was written to")
	}
}
