package ccache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jcmturner/gokrb5/v8/credentials"

	"github.com/kerbchain/kerbchain/internal/alloctest"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

func testFile(tb testing.TB, version int) []byte {
	tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("testdata/mit-v%d.ccache", version))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func parse(tb testing.TB, b []byte) *Cache {
	tb.Helper()
	c, err := Parse(b)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// compare looks into the hidden key, which cmp would refuse to.
var compare = []cmp.Option{
	cmp.AllowUnexported(Credential{}),
	cmp.Comparer(func(a, b secret.Bytes) bool { return bytes.Equal(a.Reveal(), b.Reveal()) }),
}

const realm = "EXAMPLE.TEST"

var (
	alice    = krb.NewPrincipal(realm, "alice")
	tgs      = krb.TGS(realm, realm)
	web      = krb.NewPrincipal(realm, "HTTP", "www.example.test")
	camellia = krb.NewPrincipal(realm, "HTTP", "camellia.example.test")

	start = time.Date(2026, 11, 23, 23, 13, 51, 0, time.UTC)
	end   = start.Add(24 * time.Hour)
)

func TestMITFiles(t *testing.T) {
	for version := 1; version <= 4; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			c := parse(t, testFile(t, version))
			if c.Version != version || !c.Client.Equal(alice) || c.KDCOffset != 0 {
				t.Errorf("version %d client %v offset %v", c.Version, c.Client, c.KDCOffset)
			}
			wantConfig := []Config{
				{"fast_avail", tgs.String(), []byte("yes")},
				{"pa_type", tgs.String(), []byte("2")},
			}
			if diff := cmp.Diff(wantConfig, c.Config); diff != "" {
				t.Error(diff)
			}
			if v, ok := c.ConfigValue("pa_type", tgs.String()); !ok || string(v) != "2" {
				t.Errorf("pa_type %q %v", v, ok)
			}
			type entry struct {
				Server                  string
				Etype                   int32
				Start, Auth, End, Renew time.Time
				Flags                   uint32
			}
			var got []entry
			for i := range c.Credentials {
				cred := &c.Credentials[i]
				if !cred.Client.Equal(alice) || cred.IsSKey || len(cred.Addresses)+len(cred.AuthData)+len(cred.SecondTicket) != 0 {
					t.Errorf("%v: unexpected fields", cred)
				}
				f, err := krb.ParseTicket(cred.Raw)
				if err != nil || !f.Server.Equal(cred.Server) {
					t.Errorf("ticket for %v: %v %v", cred.Server, f.Server, err)
				}
				got = append(got, entry{cred.Server.String(), cred.Etype(), cred.StartTime, cred.AuthTime, cred.EndTime, cred.RenewTill, cred.Flags})
			}
			const base = krb.FlagForwardable | krb.FlagRenewable | krb.FlagPreAuthent
			renew := start.Add(7 * 24 * time.Hour)
			want := []entry{
				{tgs.String(), 18, start, start, end, renew, base | krb.FlagInitial | krb.FlagEncPARep},
				{web.String(), 18, start, start, end, renew, base | krb.FlagTransitedOK | krb.FlagEncPARep},
				{camellia.String(), 26, start, start, end, renew, base | krb.FlagTransitedOK | krb.FlagEncPARep},
			}
			// klist shows whole seconds of one clock; the files were made within
			// the same second or the next.
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Sub(b).Abs() <= 2*time.Second })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// gokrb5 is a second opinion on files that are whole.
func TestAgreesWithGokrb5(t *testing.T) {
	for version := 1; version <= 4; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			if version < 3 && binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
				t.Skip("gokrb5 reads files of machines with the other order of bytes alone")
			}
			c := parse(t, testFile(t, version))
			other := new(credentials.CCache)
			if err := other.Unmarshal(testFile(t, version)); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(other.GetClientPrincipalName().NameString, "/") + "@" + other.GetClientRealm(); got != c.Client.String() {
				t.Errorf("client %s, gokrb5 has %s", c.Client, got)
			}
			entries := other.GetEntries()
			if len(entries) != len(c.Credentials) {
				t.Fatalf("%d credentials, gokrb5 has %d", len(c.Credentials), len(entries))
			}
			for i, e := range entries {
				cred := &c.Credentials[i]
				if cred.etype != e.Key.KeyType || !bytes.Equal(cred.key.Reveal(), e.Key.KeyValue) {
					t.Errorf("%v: key differs", cred.Server)
				}
				if !bytes.Equal(cred.Raw, e.Ticket) || !bytes.Equal(cred.SecondTicket, e.SecondTicket) || cred.IsSKey != e.IsSKey {
					t.Errorf("%v: ticket differs", cred.Server)
				}
				for _, pair := range [][2]time.Time{{cred.AuthTime, e.AuthTime}, {cred.StartTime, e.StartTime}, {cred.EndTime, e.EndTime}, {cred.RenewTill, e.RenewTill}} {
					if !pair[0].Equal(pair[1]) {
						t.Errorf("%v: time %v, gokrb5 has %v", cred.Server, pair[0], pair[1])
					}
				}
			}
		})
	}
}

// kinit puts configuration first, so a file of version 4 comes out as it went in.
func TestMarshalIsCanonical(t *testing.T) {
	in := testFile(t, 4)
	out, err := parse(t, in).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(in, out) {
		t.Error(cmp.Diff(in, out))
	}
}

func TestMarshalVersions(t *testing.T) {
	for version := 1; version <= 3; version++ {
		c := parse(t, testFile(t, version))
		b, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again := parse(t, b)
		again.Version = version
		if version == 1 { // has no name types
			again.Client.Type = c.Client.Type
		}
		if diff := cmp.Diff(c, again, compare...); diff != "" {
			t.Errorf("version %d: %s", version, diff)
		}
	}
}

func TestMarshalFields(t *testing.T) {
	key, err := krb.GenerateKey(krb.AES128SHA256)
	if err != nil {
		t.Fatal(err)
	}
	ticket := &krb.Ticket{Client: alice, Server: web, Raw: []byte{1, 2, 3}, Key: key, Flags: 5, AuthTime: start, EndTime: end}
	cred := FromTicket(ticket)
	cred.IsSKey = true
	cred.SecondTicket = []byte("second")
	cred.Addresses = []Typed{{2, []byte{127, 0, 0, 1}}, {24, make([]byte, 16)}}
	cred.AuthData = []Typed{{0xffff, []byte("x")}}
	want := &Cache{
		Version: 4, Client: alice, KDCOffset: -90*time.Second - 250*time.Microsecond,
		Config:      []Config{{"start_realm", "", []byte("OTHER.TEST")}},
		Credentials: []Credential{cred},
	}
	b, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, b)
	if diff := cmp.Diff(want.KDCOffset, got.KDCOffset); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want.Config, got.Config); diff != "" {
		t.Error(diff)
	}
	again, err := got.Credentials[0].Ticket()
	if err != nil {
		t.Fatal(err)
	}
	if !again.Key.Equal(key) || !again.StartTime.Equal(start) || !bytes.Equal(again.Raw, ticket.Raw) {
		t.Errorf("ticket %v changed", again)
	}
	if c := got.Credentials[0]; !c.IsSKey || !bytes.Equal(c.SecondTicket, cred.SecondTicket) {
		t.Errorf("for another user's session key: %v, second ticket %q", c.IsSKey, c.SecondTicket)
	}
	if diff := cmp.Diff(cred.Addresses, got.Credentials[0].Addresses); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(cred.AuthData, got.Credentials[0].AuthData); diff != "" {
		t.Error(diff)
	}

	for name, bad := range map[string]*Cache{
		"time before 1970": {Credentials: []Credential{{EndTime: time.Unix(-1, 0)}}},
		"time after 2106":  {Credentials: []Credential{{EndTime: time.Unix(1<<32, 0)}}},
		"offset":           {KDCOffset: 1 << 62},
		"offset, behind":   {KDCOffset: -1 << 62},
	} {
		if _, err := bad.Marshal(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestNamesAlike: a name that looks like one that was read before, and is another, is
// another one.
func TestNamesAlike(t *testing.T) {
	key, err := krb.GenerateKey(krb.AES128SHA256)
	if err != nil {
		t.Fatal(err)
	}
	name := func(parts ...string) krb.Principal { return krb.NewPrincipal(alice.Realm, parts...) }
	other := name("alicf")
	other.Type = krb.NTEnterprise
	for _, of := range []krb.Principal{name("alice"), name("a", "b", "c")} {
		want := &Cache{Version: 4, Client: of}
		for _, client := range []krb.Principal{of, name("alicf"), name("bob"), other, name("a", "b", "d"), name("x", "b", "c"), name("a", "c"), of, krb.NewPrincipal("B.TEST", of.Components...)} {
			want.Credentials = append(want.Credentials, FromTicket(&krb.Ticket{Client: client, Server: web, Raw: []byte{1}, Key: key, AuthTime: start, EndTime: end}))
		}
		b, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got := parse(t, b)
		if got.Torn != nil || len(got.Credentials) != len(want.Credentials) {
			t.Errorf("%d credentials, want %d: %v", len(got.Credentials), len(want.Credentials), got.Torn)
		}
		for i, c := range got.Credentials {
			if client := want.Credentials[i].Client; !c.Client.Equal(client) || c.Client.Type != client.Type || !c.Server.Equal(web) {
				t.Errorf("%d: %v for %v, want %v", i, c.Client, c.Server, client)
			}
		}
	}
}

func TestRemovedAndUnknownEntries(t *testing.T) {
	c := parse(t, testFile(t, 4))
	removed, endless, odd := c.Credentials[1], c.Credentials[1], c.Credentials[1]
	removed.EndTime, removed.AuthTime = time.Time{}, time.Unix(1<<32-1, 0)
	endless.EndTime, odd.AuthTime = time.Time{}, time.Unix(1<<32-1, 0) // one of the marks alone removes none
	c.Credentials = append(c.Credentials,
		removed,
		Credential{Server: krb.NewPrincipal(removedRealm, confName, "pa_type")},
		Credential{Server: krb.NewPrincipal(confRealm, "something", "new"), Raw: []byte("value")},
		Credential{Server: krb.NewPrincipal(confRealm, confName)},
		Credential{Server: krb.NewPrincipal(confRealm)},
		Credential{Server: krb.NewPrincipal(confRealm, confName, "a", "b", "c")},
		Credential{Server: krb.NewPrincipal(confRealm, confName+"s", "key")},
		Credential{Server: krb.NewPrincipal("X", "y"), Client: alice, etype: -1},
		endless, odd,
	)
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, b)
	if n := len(got.Credentials); n != 6 || got.Credentials[3].Etype() != -1 {
		t.Errorf("%d credentials, want the three of old, the one of etype -1 and two more: %v", n, got.Credentials)
	}
	if diff := cmp.Diff(c.Config, got.Config); diff != "" {
		t.Error(diff)
	}
	names := func(c *Cache) (out []string) {
		for _, cred := range c.Unknown {
			out = append(out, strings.Join(cred.Server.Components, " ")+"="+string(cred.Raw))
		}
		return out
	}
	want := []string{"something new=value", confName + "=", "=", confName + " a b c=", confName + "s key="}
	if diff := cmp.Diff(want, names(got)); diff != "" {
		t.Error(diff)
	}
	if b, err = got.Marshal(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, names(parse(t, b))); diff != "" {
		t.Errorf("written anew: %s", diff)
	}
}

func TestHeader(t *testing.T) {
	tail := testFile(t, 4)[2+2+12:]
	with := func(header string) []byte {
		b := append([]byte{5, 4, byte(len(header) >> 8), byte(len(header))}, header...)
		return append(b, tail...)
	}
	for name, tc := range map[string]struct {
		header string
		want   time.Duration
	}{
		"empty":             {"", 0},
		"ahead":             {"\x00\x01\x00\x08\x00\x00\x00\x0a\x00\x00\x00\x05", 10*time.Second + 5*time.Microsecond},
		"behind":            {"\x00\x01\x00\x08\xff\xff\xff\xff\x00\x00\x00\x00", -time.Second},
		"unknown tag first": {"\x00\x63\x00\x03abc\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00", time.Second},
		"unknown tag alone": {"\x00\x63\x00\x00", 0},
		"almost a second":   {"\x00\x01\x00\x08\x00\x00\x00\x00\x00\x0f\x42\x3f", time.Second - time.Microsecond},
		"and behind":        {"\x00\x01\x00\x08\x00\x00\x00\x00\xff\xf0\xbd\xc1", time.Microsecond - time.Second},
	} {
		if got := parse(t, with(tc.header)).KDCOffset; got != tc.want {
			t.Errorf("%s: offset %v, want %v", name, got, tc.want)
		}
	}
	long := strings.Repeat("x", math.MaxUint16-4)
	for name, tc := range map[string]struct {
		header string
		want   []Typed
	}{
		"unknown tags around ours": {"\x00\x63\x00\x03abc\x00\x01\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x02\x00\x00", []Typed{{0x63, []byte("abc")}, {2, []byte{}}}},
		"no room for ours":         {"\x00\x63\xff\xfb" + long, []Typed{{0x63, []byte(long)}}},
	} {
		c := parse(t, with(tc.header))
		for range 2 {
			if diff := cmp.Diff(tc.want, c.Header); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
			b, err := c.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			c = parse(t, b)
		}
	}
	for name, c := range map[string]*Cache{
		"more than there is room for":      {Header: []Typed{{3, []byte(long + "x")}}},
		"no room for an offset beside one": {Header: []Typed{{3, []byte(long)}}, KDCOffset: time.Second},
	} {
		if _, err := c.Marshal(); err == nil || !strings.Contains(err.Error(), "header of") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, header := range map[string]string{
		"half a tag":        "\x00",
		"field too long":    "\x00\x01\x00\x09\x00\x00\x00\x0a\x00\x00\x00\x05",
		"offset too short":  "\x00\x01\x00\x04\x00\x00\x00\x0a",
		"microseconds":      "\x00\x01\x00\x08\x00\x00\x00\x0a\x7f\x00\x00\x05",
		"a second of them":  "\x00\x01\x00\x08\x00\x00\x00\x00\x00\x0f\x42\x40",
		"and behind":        "\x00\x01\x00\x08\x00\x00\x00\x00\xff\xf0\xbd\xc0",
		"field crosses end": "\x00\x63\x00\x01",
		"so do three bytes": "\x00\x63\x00\x04abc",
	} {
		_, err := Parse(with(header))
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A cut before the end of the principal is ErrTruncated. Behind it what is whole
// counts, and a cut anywhere but between two entries is told.
func TestEveryTruncation(t *testing.T) {
	for version := 1; version <= 4; version++ {
		b := testFile(t, version)
		whole := parse(t, b)
		if whole.Torn != nil {
			t.Fatal(whole.Torn)
		}
		clean, entries := 0, 0
		for n := range b {
			// Without slack behind it, as os.ReadFile might leave.
			c, err := Parse(append(make([]byte, 0, n), b[:n]...))
			pe, ok := errors.AsType[*ParseError](err)
			if err == nil {
				if c.Torn == nil {
					clean++
					entries = len(c.Credentials) + len(c.Config)
				}
				if got := len(c.Credentials) + len(c.Config); got != entries {
					t.Errorf("version %d cut at %d: %d entries, want the %d before", version, n, got, entries)
				}
				if c.Torn == nil || n%31 == 0 { // it takes its time
					if want := whole.Credentials[:len(c.Credentials)]; reflect.DeepEqual(want, c.Credentials) {
						// as nearly always, and to find out how they differ takes its time
					} else if diff := cmp.Diff(want, c.Credentials, append(compare, cmpopts.EquateEmpty())...); diff != "" {
						t.Errorf("version %d cut at %d: %s", version, n, diff)
					}
				}
				pe, ok = c.Torn, c.Torn != nil
			} else if clean > 0 {
				t.Errorf("version %d cut at %d: %v", version, n, err)
			}
			if ok && (!errors.Is(pe, ErrTruncated) || pe.Offset > n || pe.Want == "") || !ok && err != nil {
				t.Fatalf("version %d cut at %d: %v, %v", version, n, pe, err)
			}
		}
		if want := 5; clean != want { // after the principal and each entry but the last
			t.Errorf("version %d: %d cuts went unnoticed, want %d", version, clean, want)
		}
	}
}

func TestEveryByteChanged(t *testing.T) {
	for version := 1; version <= 4; version++ {
		b := testFile(t, version)
		for i := range b {
			for _, x := range []byte{0x01, 0xff} {
				b[i] ^= x
				c, err := Parse(b)
				if err == nil {
					// What is accepted can be used: none of these may panic.
					_, _ = c.TGT(Query{Now: start})
					_, _ = c.Ticket(web, Query{Now: start})
					_ = fmt.Sprint(c)
				} else if _, ok := errors.AsType[*ParseError](err); !ok {
					t.Fatalf("version %d byte %d: %v", version, i, err)
				}
				b[i] ^= x
			}
		}
	}
}

// A count may not make the parser set memory aside for what is not there.
func TestHugeCounts(t *testing.T) {
	b := testFile(t, 4)
	for i := 0; i+4 <= len(b); i++ {
		bad := append([]byte(nil), b...)
		copy(bad[i:], "\x7f\xff\xff\xff")
		if n := alloctest.Allocations(1, 500, func() { _, _ = Parse(bad) }); n > 500 {
			t.Fatalf("count at %d: %v allocations", i, n)
		}
	}
	if _, err := Parse(make([]byte, MaxSize+1)); !errors.Is(err, ErrMalformed) {
		t.Errorf("too large: %v", err)
	}
}

// More entries than a cache has are refused before they take memory, and as fast as
// they are read.
func TestManyEntries(t *testing.T) {
	head, err := (&Cache{Client: alice}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	empty, err := new(Credential).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	most := append(head[:len(head):len(head)], bytes.Repeat(empty, MaxEntries)...)
	if c := parse(t, most); len(c.Credentials) != MaxEntries {
		t.Errorf("%d entries, want %d", len(c.Credentials), MaxEntries)
	}
	b := append(head[:len(head):len(head)], bytes.Repeat(empty, (60<<20)/len(empty))...)
	n := alloctest.Announced(16<<20, func() { _, err = Parse(b) })
	if n > 16<<20 {
		t.Errorf("%d bytes of memory", n)
	}
	for name, b := range map[string][]byte{"60 MiB": b, "one more": append(most[:len(most):len(most)], empty...)} {
		_, err := Parse(b)
		if pe, ok := errors.AsType[*ParseError](err); !ok || !errors.Is(err, ErrMalformed) || pe.Offset != len(most) || !strings.Contains(err.Error(), "at most 16384 entries") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The most that there may be, and a torn one.
	if c := parse(t, most[:len(most)-1]); len(c.Credentials) != MaxEntries-1 || c.Torn == nil {
		t.Errorf("%d entries, torn: %v", len(c.Credentials), c.Torn)
	}
}

func TestParseErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		in     string
		err    error
		offset int
	}{
		"empty":               {"", ErrTruncated, 0},
		"half a version":      {"\x05", ErrTruncated, 0},
		"not a cache":         {"[libdefaults]\n", ErrMalformed, 0},
		"keytab":              {"\x05\x02\x00\x00\x00\x3b\x00\x01\x00\x0b", ErrMalformed, 2 + 4},
		"version 5":           {"\x05\x05", ErrMalformed, 0},
		"version 0":           {"\x05\x00", ErrMalformed, 0},
		"another format":      {"\x06\x04", ErrMalformed, 0},
		"header cut off":      {"\x05\x04\x00\x0c\x00\x01\x00\x08", ErrTruncated, 4},
		"no principal":        {"\x05\x04\x00\x00", ErrTruncated, 4},
		"too many components": {"\x05\x03\x00\x00\x00\x01\x00\x00\x00\x41" + strings.Repeat("\x00", 1000), ErrMalformed, 6},
		"version 1 no realm":  {"\x05\x01\x00\x00\x00\x00\x00\x00\x00\x00", ErrMalformed, 2},
	} {
		_, err := Parse([]byte(tc.in))
		pe, ok := errors.AsType[*ParseError](err)
		if !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "keytab" { // reads as version 2 with a great many components: any clear error will do
			continue
		}
		if !errors.Is(err, tc.err) || pe.Offset != tc.offset {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTicket(t *testing.T) {
	key := func(etype int32) krb.Key {
		k, err := krb.GenerateKey(etype)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	ticket := func(server krb.Principal, etype int32, life time.Duration, flags uint32, raw string) Credential {
		return FromTicket(&krb.Ticket{Client: alice, Server: server, Raw: []byte(raw), Key: key(etype), Flags: flags, AuthTime: start, EndTime: start.Add(life)})
	}
	noRealm := krb.Principal{Components: web.Components}
	realTicket := string(parse(t, testFile(t, 4)).Credentials[1].Raw)
	skey := ticket(web, 18, time.Hour, 0, "skey")
	skey.IsSKey = true
	foreign := ticket(web, 18, time.Hour, 0, "foreign")
	foreign.Client = krb.NewPrincipal(realm, "bob")
	odd := ticket(web, 18, time.Hour, 0, "odd")
	odd.etype = 25

	for name, tc := range map[string]struct {
		creds  []Credential
		server krb.Principal
		query  Query
		want   string
		err    error
	}{
		"found":            {[]Credential{ticket(tgs, 18, time.Hour, 0, "a"), ticket(web, 18, time.Hour, 0, "b")}, web, Query{Now: start}, "b", nil},
		"none":             {nil, web, Query{Now: start}, "", ErrNoTicket},
		"other realm":      {[]Credential{ticket(krb.NewPrincipal("B.TEST", web.Components...), 18, time.Hour, 0, "a")}, web, Query{Now: start}, "", ErrNoTicket},
		"other realm, lie": {[]Credential{ticket(krb.NewPrincipal("B.TEST", web.Components...), 18, time.Hour, 0, realTicket)}, web, Query{Now: start}, "", ErrNoTicket},
		"any realm":        {[]Credential{ticket(web, 18, time.Hour, 0, "a")}, noRealm, Query{Now: start}, "a", nil},
		"stored bare":      {[]Credential{ticket(noRealm, 18, time.Hour, 0, realTicket)}, web, Query{Now: start}, realTicket, nil},
		"stored bare bad":  {[]Credential{ticket(noRealm, 18, time.Hour, 0, "junk")}, web, Query{Now: start}, "", ErrNoTicket},
		"expired":          {[]Credential{ticket(web, 18, time.Hour, 0, "a")}, web, Query{Now: start.Add(time.Hour)}, "", ErrExpired},
		"within margin":    {[]Credential{ticket(web, 18, time.Hour, 0, "a")}, web, Query{Now: start.Add(50 * time.Minute), Margin: 10 * time.Minute}, "", ErrExpired},
		"renewed later":    {[]Credential{ticket(web, 18, time.Hour, 0, "a"), ticket(web, 18, 3*time.Hour, 0, "b"), ticket(web, 18, 2*time.Hour, 0, "c")}, web, Query{Now: start}, "b", nil},
		"first of equals":  {[]Credential{ticket(web, 18, time.Hour, 0, "a"), ticket(web, 18, time.Hour, 0, "b")}, web, Query{Now: start}, "a", nil},
		"preferred etype":  {[]Credential{ticket(web, 17, 3*time.Hour, 0, "a"), ticket(web, 18, time.Hour, 0, "b")}, web, Query{Now: start}, "b", nil},
		"preferred first":  {[]Credential{ticket(web, 18, time.Hour, 0, "a"), ticket(web, 17, 3*time.Hour, 0, "b")}, web, Query{Now: start}, "a", nil},
		"order of caller":  {[]Credential{ticket(web, 17, time.Hour, 0, "a"), ticket(web, 18, time.Hour, 0, "b")}, web, Query{Now: start, Etypes: []int32{17, 18}}, "a", nil},
		"passed over":      {[]Credential{ticket(web, 18, time.Hour, 0, "a"), ticket(web, 18, time.Minute, 0, "b")}, web, Query{Now: start, Skip: func(raw []byte) bool { return string(raw) == "a" }}, "b", nil},
		"all passed over":  {[]Credential{ticket(web, 18, time.Hour, 0, "a")}, web, Query{Now: start, Skip: func([]byte) bool { return true }}, "", ErrNoTicket},
		"RC4 unasked":      {[]Credential{ticket(web, 23, time.Hour, 0, "a")}, web, Query{Now: start}, "", ErrEtype},
		"RC4 asked":        {[]Credential{ticket(web, 23, time.Hour, 0, "a")}, web, Query{Now: start, Etypes: []int32{23}}, "a", nil},
		"camellia asked":   {[]Credential{odd}, web, Query{Now: start, Etypes: []int32{25}}, "", ErrEtype},
		"camellia spoils":  {[]Credential{odd, ticket(web, 18, time.Hour, 0, "b")}, web, Query{Now: start}, "b", nil},
		"postdated":        {[]Credential{ticket(web, 18, time.Hour, krb.FlagInvalid, "a")}, web, Query{Now: start}, "", ErrNoTicket},
		"user to user":     {[]Credential{skey}, web, Query{Now: start}, "", ErrNoTicket},
		"someone else's":   {[]Credential{foreign}, web, Query{Now: start}, "", ErrNoTicket},
		"name type":        {[]Credential{ticket(krb.Principal{Type: 1, Realm: realm, Components: web.Components}, 18, time.Hour, 0, "a")}, web, Query{Now: start}, "a", nil},
		"etype beats time": {[]Credential{ticket(web, 23, time.Hour, 0, "a"), ticket(web, 18, -time.Hour, 0, "b")}, web, Query{Now: start}, "", ErrEtype},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Cache{Client: alice, Credentials: tc.creds}
			got, err := c.Ticket(tc.server, tc.query)
			if tc.err != nil {
				le, ok := errors.AsType[*LookupError](err)
				if !ok || !errors.Is(err, tc.err) || got != nil || !strings.Contains(le.Error(), "HTTP/www.example.test") {
					t.Errorf("got %v, %v; want %v", got, err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Raw) != tc.want || got.Server.Realm != realm {
				t.Errorf("got %q for %v, want %q", got.Raw, got.Server, tc.want)
			}
		})
	}
}

// TestLastExpiry: of tickets that have expired, the error tells of the one that did last.
func TestLastExpiry(t *testing.T) {
	key, err := krb.GenerateKey(krb.AES128SHA256)
	if err != nil {
		t.Fatal(err)
	}
	c := &Cache{Client: alice}
	for _, life := range []time.Duration{time.Hour, 3 * time.Hour, 2 * time.Hour} {
		c.Credentials = append(c.Credentials, FromTicket(&krb.Ticket{Client: alice, Server: web, Raw: []byte{1}, Key: key, AuthTime: start, EndTime: start.Add(life)}))
	}
	_, err = c.Ticket(web, Query{Now: start.Add(24 * time.Hour)})
	if miss, ok := errors.AsType[*LookupError](err); !ok || !errors.Is(err, ErrExpired) || !miss.Ended.Equal(start.Add(3*time.Hour)) {
		t.Errorf("%+v", err)
	}
}

func TestKDCOffset(t *testing.T) {
	c := parse(t, testFile(t, 4))
	at := Query{Now: end.Add(-time.Minute)}
	if _, err := c.TGT(at); err != nil {
		t.Fatal(err)
	}
	c.KDCOffset = 2 * time.Minute
	if _, err := c.TGT(at); !errors.Is(err, ErrExpired) {
		t.Errorf("KDC two minutes ahead: %v", err)
	}
}

func TestTGT(t *testing.T) {
	c := parse(t, testFile(t, 4))
	got, err := c.TGT(Query{Now: start})
	if err != nil || !got.Server.Equal(tgs) {
		t.Fatal(got, err)
	}
	c.Config = nil
	for _, of := range []krb.Principal{krb.TGS("OTHER.TEST", "OTHER.TEST"), tgs} { // the KDC of which speaks FAST
		c.Config = append(c.Config, Config{Key: "fast_avail", Principal: of.String(), Value: []byte("yes")})
		if got, err := c.TGT(Query{Now: start}); err != nil || got.FAST != of.Equal(tgs) {
			t.Errorf("FAST of %s: %v, %v", of, got.FAST, err)
		}
	}
	c.Config = append(c.Config, Config{Key: "start_realm", Value: []byte("OTHER.TEST")})
	if _, err := c.TGT(Query{Now: start}); !errors.Is(err, ErrNoTicket) || !strings.Contains(err.Error(), "krbtgt/OTHER.TEST@OTHER.TEST") || !strings.Contains(err.Error(), "kinit") {
		t.Errorf("start_realm is not looked at: %v", err)
	}
	if _, err := c.Ticket(krb.NewPrincipal(realm, "HTTP", "none"), Query{Now: start}); !errors.Is(err, ErrNoTicket) || strings.Contains(err.Error(), "kinit") {
		t.Errorf("a service ticket is missing, which a request brings: %v", err)
	}
	c.Config = append(c.Config, Config{Key: "start_realm"})
	if got, err := c.TGT(Query{Now: start}); err != nil || !got.Server.Equal(tgs) {
		t.Errorf("an empty start_realm: %v, %v", got, err)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	c := parse(t, testFile(t, 4))
	key := c.Credentials[0].key.Reveal()
	ticket, err := c.Credentials[0].Ticket()
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{c, *c, c.Credentials[0], &c.Credentials[0], ticket, struct{ c Credential }{c.Credentials[0]}} {
			s := fmt.Sprintf(verb, v)
			for _, form := range []string{string(key), fmt.Sprintf("%x", key), fmt.Sprintf("%d", key), fmt.Sprintf("%v", key[:8]), fmt.Sprintf("%#v", key)} {
				if strings.Contains(s, strings.Trim(form, "[]")) {
					t.Errorf("%s of %T shows the key", verb, v)
				}
			}
		}
	}
	if s := fmt.Sprint(c.Credentials[0]); !strings.Contains(s, "alice@EXAMPLE.TEST") {
		t.Errorf("the canary does not sing: %s", s)
	}
}

func TestParseName(t *testing.T) {
	for in, want := range map[string]Name{
		"FILE:/tmp/krb5cc_0":     {"FILE", "/tmp/krb5cc_0"},
		"/tmp/krb5cc_0":          {"FILE", "/tmp/krb5cc_0"},
		"krb5cc":                 {"FILE", "krb5cc"},
		"/tmp/with:colon":        {"FILE", "/tmp/with:colon"},
		`C:\Users\a\krb5cc`:      {"FILE", `C:\Users\a\krb5cc`},
		"DIR:/run/user/1":        {"DIR", "/run/user/1"},
		"DIR::/run/user/1/tktab": {"DIR", ":/run/user/1/tktab"},
		"KCM:":                   {"KCM", ""},
		"KEYRING:persistent:0:x": {"KEYRING", "persistent:0:x"},
		"MEMORY:a":               {"MEMORY", "a"},
		"API:":                   {"API", ""},
		"MSLSA:":                 {"MSLSA", ""},
	} {
		got, err := ParseName(in)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
		if again, err := ParseName(got.String()); err != nil || again != got {
			t.Errorf("%s: %+v, %v", got, again, err)
		}
	}
	for _, bad := range []string{"", "FILE:", "DIR:"} {
		if n, err := ParseName(bad); err == nil {
			t.Errorf("%q: %+v", bad, n)
		}
	}
}

// Of several entries about one thing the last counts, and none about another.
func TestConfigValue(t *testing.T) {
	c := &Cache{Config: []Config{
		{"pa_type", "krbtgt/A@A", []byte("2")},
		{"fast_avail", "krbtgt/A@A", []byte("yes")},
		{"pa_type", "krbtgt/A@A", []byte("138")},
		{"pa_type", "krbtgt/B@B", []byte("16")},
		{"start_realm", "", []byte("A")},
	}}
	for name, tc := range map[string]struct{ key, principal, want string }{
		"the last":            {"pa_type", "krbtgt/A@A", "138"},
		"another's":           {"pa_type", "krbtgt/B@B", "16"},
		"of the whole cache":  {"start_realm", "", "A"},
		"of nobody's":         {"pa_type", "", ""},
		"of another key":      {"start_realm", "krbtgt/A@A", ""},
		"that is not there":   {"refresh_time", "", ""},
		"whatever else it is": {"fast_avail", "krbtgt/A@A", "yes"},
	} {
		if v, ok := c.ConfigValue(tc.key, tc.principal); string(v) != tc.want || ok != (tc.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, v, ok, tc.want)
		}
	}
}

// Errors say whose field is missing: there are many of a kind.
func TestErrorsNameTheField(t *testing.T) {
	b, err := (&Cache{Client: alice}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	cred := Credential{Client: alice, Server: web, Addresses: []Typed{{2, []byte{127, 0, 0, 1}}}, AuthData: []Typed{{1, []byte("x")}}, Raw: []byte("ticket")}
	entry, err := cred.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(b[:len(b)-1]); err == nil || !strings.HasPrefix(err.Error(), "credential cache: file ends") || !strings.Contains(err.Error(), "default principal: component") {
		t.Errorf("%v", err)
	}
	last := ""
	var got []string
	for n := 1; n < len(entry); n++ {
		c := parse(t, append(b[:len(b):len(b)], entry[:n]...))
		field, _, _ := strings.Cut(c.Torn.Want, ":")
		field, _, _ = strings.Cut(field, " (")
		field, _, _ = strings.Cut(field, " that fits")
		if field != last {
			got = append(got, field)
			last = field
		}
	}
	want := []string{"client", "server", "encryption type", "session key", "times and flags", "addresses", "authorization data", "ticket", "second ticket"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Versions 1 and 2 are in the order of the machine that wrote them, whatever the type
// of the client's name is.
func TestByteOrder(t *testing.T) {
	for version := 1; version <= 2; version++ {
		for _, little := range []bool{false, true} {
			for _, kind := range []int32{0, 1, 1 << 24} {
				w := &writer{layout: layout{version, little}, b: []byte{5, byte(version)}}
				client := alice
				client.Type = kind
				w.principal(client)
				w.credential(&Credential{Client: client, Server: web, Flags: 1})
				c, err := Parse(w.b)
				if err != nil || !c.Client.Equal(alice) || len(c.Credentials) != 1 || c.Credentials[0].Flags != 1 {
					t.Errorf("version %d, little-endian %v, name type %d: %v, %v", version, little, kind, c, err)
				}
			}
		}
	}
}

// A name that is the default principal's, but for its type, keeps its type.
func TestNameTypesAreKept(t *testing.T) {
	other := alice
	other.Type = krb.NTEnterprise
	c := &Cache{Client: alice, Credentials: []Credential{{Client: other, Server: web}, {Client: alice, Server: web}}}
	b, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got := parse(t, b)
	if a, b := got.Credentials[0].Client.Type, got.Credentials[1].Client.Type; a != other.Type || b != alice.Type {
		t.Errorf("types %d and %d, want %d and %d", a, b, other.Type, alice.Type)
	}
}

func TestNameFile(t *testing.T) {
	for name, want := range map[string]string{
		"FILE:/tmp/cc": "/tmp/cc", "/tmp/cc": "/tmp/cc", "DIR::/tmp/d/tkt": "/tmp/d/tkt", "DIR:/tmp/d": "", "KCM:1000": "", "KEYRING:session:x": "",
	} {
		n, err := ParseName(name)
		if err != nil {
			t.Fatal(err)
		}
		if path, ok := n.File(); ok != (want != "") || ok && path != want {
			t.Errorf("%s: %q, %v", name, path, ok)
		}
	}
}
