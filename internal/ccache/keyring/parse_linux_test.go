package keyring

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestParseName(t *testing.T) {
	for name, tc := range map[string]struct {
		residual string
		want     residual
		says     string // in the error
	}{
		"collection":           {"session:lab", residual{anchor: "session", collection: "lab", uid: -1}, ""},
		"cache":                {"session:lab:tkt", residual{anchor: "session", collection: "lab", cache: "tkt", uid: -1}, ""},
		"colons in a cache":    {"session:lab:a:b:c", residual{anchor: "session", collection: "lab", cache: "a:b:c", uid: -1}, ""},
		"no anchor":            {"lab", residual{anchor: "legacy", collection: "lab", uid: -1}, ""},
		"nothing":              {"", residual{anchor: "legacy", uid: -1}, ""},
		"no collection":        {"user:", residual{anchor: "user", uid: -1}, ""},
		"no collection, cache": {"user::tkt", residual{anchor: "user", cache: "tkt", uid: -1}, ""},
		"process":              {"process:x", residual{anchor: "process", collection: "x", uid: -1}, ""},
		"thread":               {"thread:x", residual{anchor: "thread", collection: "x", uid: -1}, ""},
		"legacy":               {"legacy:x", residual{anchor: "legacy", collection: "x", uid: -1}, ""},
		"own persistent":       {"persistent:", residual{anchor: "persistent", uid: -1}, ""},
		"persistent":           {"persistent:1000", residual{anchor: "persistent", collection: "1000", uid: 1000}, ""},
		"persistent cache":     {"persistent:0:tkt", residual{anchor: "persistent", collection: "0", cache: "tkt"}, ""},
		"unknown anchor":       {"sessions:lab", residual{}, "persistent, user, session, process, thread or legacy"},
		"empty anchor":         {":lab", residual{}, "unknown anchor"},
		"empty cache":          {"session:lab:", residual{}, "after the last colon"},
		"user name":            {"persistent:alice", residual{}, "numerical user id"},
		"negative user":        {"persistent:-1", residual{}, "numerical user id"},
		"nobody's number":      {"persistent:4294967295", residual{}, "numerical user id"},
		"large user":           {"persistent:4294967296", residual{}, "numerical user id"},
		"zero byte":            {"session:a\x00b", residual{}, "zero bytes"},
		"long":                 {"session:" + strings.Repeat("x", 4096), residual{}, "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseName(ccache.Name{Type: "KEYRING", Residual: tc.residual})
			if tc.says != "" {
				if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "KEYRING:") {
					t.Errorf("error %v, want one about %q", err, tc.says)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("%+v, error %v, want %+v", got, err, tc.want)
			}
		})
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(ccache.Name{Type: "KEYRING", Residual: "sessions:x"}); err == nil {
		t.Error("an unknown anchor was opened")
	}
	_, err := Open(ccache.Name{Type: "FILE", Residual: "session:x"})
	if _, ok := errors.AsType[*ccache.UnsupportedTypeError](err); !ok {
		t.Errorf("type FILE: %v", err)
	}
}

func TestParsers(t *testing.T) {
	type result struct {
		Value any
		Err   error // that it wraps
	}
	primary := func(b string) result { v, err := parsePrimary([]byte(b)); return result{v, err} }
	offsets := func(b string) result { v, err := parseOffsets([]byte(b)); return result{v, err} }
	describe := func(b string) result { v, err := parseDescription([]byte(b)); return result{v, err} }
	bad := func(v any, err error) result { return result{v, err} }
	trunc, mal := ccache.ErrTruncated, ccache.ErrMalformed
	for name, tc := range map[string]struct{ got, want result }{
		"primary":                {primary("\x00\x00\x00\x01\x00\x00\x00\x03tkt"), result{"tkt", nil}},
		"primary, more":          {primary("\x00\x00\x00\x01\x00\x00\x00\x03tktx"), result{"tkt", nil}},
		"primary, empty":         {primary("\x00\x00\x00\x01\x00\x00\x00\x00"), bad("", mal)},
		"primary, zero byte":     {primary("\x00\x00\x00\x01\x00\x00\x00\x03t\x00t"), bad("", mal)},
		"primary, version 2":     {primary("\x00\x00\x00\x02\x00\x00\x00\x03tkt"), bad("", mal)},
		"primary, too short":     {primary("\x00\x00\x00\x01\x00\x00\x00"), bad("", trunc)},
		"primary, name cut":      {primary("\x00\x00\x00\x01\x00\x00\x00\x04tkt"), bad("", trunc)},
		"primary, huge":          {primary("\x00\x00\x00\x01\xff\xff\xff\xfftkt"), bad("", trunc)},
		"primary, long":          {primary("\x00\x00\x00\x01\x00\x00\x10\x00" + strings.Repeat("x", 4096)), bad("", mal)},
		"primary, nothing":       {primary(""), bad("", trunc)},
		"offsets":                {offsets("\xff\xff\xff\x9c\xff\xff\xff\xfe"), result{-100*time.Second - 2*time.Microsecond, nil}},
		"offsets, more":          {offsets("\x00\x00\x00\x01\x00\x00\x00\x00xx"), result{time.Second, nil}},
		"offsets, and behind":    {offsets("\x00\x00\x00\x01\xff\xf0\xbd\xc0"), bad(time.Duration(0), mal)},
		"offsets, microseconds":  {offsets("\x00\x00\x00\x01\x00\x0f\x42\x40"), bad(time.Duration(0), mal)},
		"offsets, short":         {offsets("\x00\x00\x00\x01\x00\x00\x00"), bad(time.Duration(0), trunc)},
		"description":            {describe("user;1000;-1;3f010000;a;b\x00"), result{description{"user", 1000, "a;b"}, nil}},
		"description, no end":    {describe("keyring;0;0;3f010000;tkt"), result{description{"keyring", 0, "tkt"}, nil}},
		"description, no name":   {describe("keyring;0;0;3f010000"), bad(description{}, mal)},
		"description, user name": {describe("keyring;root;0;3f010000;tkt"), bad(description{}, mal)},
		"description, nothing":   {describe(""), bad(description{}, mal)},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.got.Value != tc.want.Value || !errors.Is(tc.got.Err, tc.want.Err) {
				t.Errorf("%+v, error %v, want %+v, %v", tc.got.Value, tc.got.Err, tc.want.Value, tc.want.Err)
			}
		})
	}
	if _, err := marshalOffsets(1 << 32 * time.Second); err == nil {
		t.Error("an offset of 136 years was written")
	}
	if diff := cmp.Diff([]serial{1<<31 - 1, -1}, parseSerials([]byte{0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 1})); diff != "" && littleEndian() {
		t.Error(diff)
	}
}

func littleEndian() bool { return parseSerials([]byte{1, 0, 0, 0})[0] == 1 }

// What MIT wrote is read, and written as MIT did.
func TestMIT(t *testing.T) {
	for name, tc := range map[string]struct {
		client  krb.Principal
		servers []string
	}{
		"lab":    {krb.NewPrincipal("A.EXAMPLE", "alice"), []string{"HTTP/localhost@A.EXAMPLE", "krbtgt/A.EXAMPLE@A.EXAMPLE"}},
		"second": {krb.NewPrincipal("A.EXAMPLE", "bob"), []string{"krbtgt/A.EXAMPLE@A.EXAMPLE"}},
	} {
		t.Run(name, func(t *testing.T) {
			entries := entriesOf(t, name)
			c, err := assemble(entries)
			if err != nil {
				t.Fatal(err)
			}
			if !c.Client.Equal(tc.client) || c.KDCOffset != -100*time.Second || c.Version != 4 {
				t.Errorf("client %s, offset %v, version %d", c.Client, c.KDCOffset, c.Version)
			}
			var servers []string
			for _, cred := range c.Credentials {
				servers = append(servers, cred.Server.String())
				if _, err := cred.Ticket(); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff(tc.servers, servers); diff != "" {
				t.Errorf("servers (-want +got):\n%s", diff)
			}
			if v, ok := c.ConfigValue("pa_type", "krbtgt/A.EXAMPLE@A.EXAMPLE"); !ok || string(v) != "2" {
				t.Errorf("pa_type %q, %v", v, ok)
			}
			again, err := disassemble(c, false)
			if err != nil {
				t.Fatal(err)
			}
			byName := func(a, b entry) int { return strings.Compare(a.name, b.name) }
			slices.SortFunc(entries, byName)
			slices.SortFunc(again, byName)
			if diff := cmp.Diff(entries, again, cmp.AllowUnexported(entry{})); diff != "" {
				t.Errorf("written (-MIT +ours):\n%s", diff)
			}
		})
	}
	for _, c := range captured(t) {
		if c.ring == "" {
			if name, err := parsePrimary(c.payload); c.name != primaryKey || name != "second" || err != nil {
				t.Errorf("%s: %q, %v", c.name, name, err)
			}
		}
	}
}

func TestOldStyle(t *testing.T) {
	c := current(t, "lab", 1)
	entries, err := disassemble(c, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.name == offsetsKey {
			t.Error("a cache for old programs has time offsets")
		}
	}
}

// parseAny gives bytes to the parser of the key's name. An error must be of type
// *ccache.ParseError.
func parseAny(tb testing.TB, name string, b []byte) {
	tb.Helper()
	var err error
	if name == primaryKey {
		_, err = parsePrimary(b)
	} else {
		var c *ccache.Cache
		c, err = assemble([]entry{{name, b}})
		if c != nil && (err != nil || c.Client.IsZero()) {
			tb.Fatalf("%s: a cache of nobody, or with error %v", name, err)
		}
	}
	if _, ok := errors.AsType[*ccache.ParseError](err); err != nil && !ok {
		tb.Fatalf("%s: %v", name, err)
	}
}

func TestCorrupt(t *testing.T) {
	all := captured(t)
	for _, c := range all {
		for n := range c.payload {
			parseAny(t, c.name, c.payload[:n:n])
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		c := all[i%len(all)]
		b := slices.Clone(c.payload)
		b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		parseAny(t, c.name, b)
	}
}

// All of a cache's keys together.
func TestCorruptCache(t *testing.T) {
	entries := entriesOf(t, "lab")
	for i, e := range entries {
		for n := range e.payload {
			cut := slices.Clone(entries)
			cut[i].payload = e.payload[:n:n]
			c, err := assemble(cut)
			if c != nil || err == nil {
				t.Fatalf("%s, %d of %d bytes: %v, error %v", e.name, n, len(e.payload), c, err)
			}
			if _, ok := errors.AsType[*ccache.ParseError](err); !ok {
				t.Fatal(err)
			}
		}
	}
}
