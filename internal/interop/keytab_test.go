//go:build interop

package interop

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	second "github.com/jcmturner/gokrb5/v8/keytab"

	"github.com/kerbchain/kerbchain/internal/keytab"
	"github.com/kerbchain/kerbchain/kerberos"
)

// keyOf is one key of a keytab, made of a password.
type keyOf struct {
	password string
	kvno     uint8
	etype    int32
	age      time.Duration
}

const day = 24 * time.Hour

// keytabFile writes a keytab with keys of a principal.
func keytabFile(t *testing.T, realm, name string, keys ...keyOf) string {
	t.Helper()
	kt := second.New()
	for _, k := range keys {
		if err := kt.AddEntry(name, realm, k.password, time.Now().Add(-k.age), k.kvno, k.etype); err != nil {
			t.Fatal(err)
		}
	}
	b, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, filepath.Join(t.TempDir(), "keytab"), string(b))
}

// soloRealm starts a realm of MIT's KDC, in which svc has the password "new", and
// kadmin is given further queries.
func soloRealm(t *testing.T, queries ...string) (*kdc, environment) {
	t.Helper()
	dir := tempDir(t)
	k := &kdc{name: "KEYTAB.TEST", addr: freePorts(t, 1)[0], dir: filepath.Join(dir, "kdc")}
	conf := soloConfig(k.name, "kdc = "+k.addr)
	k.start(t, conf, append([]string{
		`addprinc -clearpolicy +requires_preauth -pw new svc`, "addprinc -clearpolicy -randkey HTTP/localhost",
	}, queries...)...)
	return k, environment{"KRB5_CONFIG": write(t, filepath.Join(dir, "krb5.conf"), conf), "HOME": dir, "KRB5CCNAME": "FILE:" + filepath.Join(dir, "none")}
}

// soloConfig is a krb5.conf with lines for the realm.
func soloConfig(realm string, lines ...string) string {
	return fmt.Sprintf(`[libdefaults]
	default_realm = %[1]s
	dns_lookup_kdc = false
	dns_canonicalize_hostname = false
	rdns = false
[realms]
	%[1]s = {
		%[2]s
	}
[domain_realm]
	localhost = %[1]s
`, realm, strings.Join(lines, "\n\t\t"))
}

// logsIn reports whether a keytab gets a ticket, by us.
func logsIn(t *testing.T, env environment, file string) error {
	t.Helper()
	s, err := kerberos.FromKeytab(file, kerberos.SourceOptions{Principal: "svc", Krb5Conf: []string{env["KRB5_CONFIG"]},
		Getenv: func(string) string { return "" }, Logins: new(kerberos.Logins)})
	if err != nil {
		return err
	}
	_, err = s.ServiceTicket(t.Context(), "HTTP/localhost")
	return err
}

// TestKeytabChoice holds which key is used against kinit -k.
func TestKeytabChoice(t *testing.T) {
	t.Parallel()
	k, env := soloRealm(t)
	for name, tc := range map[string]struct {
		keys   []keyOf
		works  bool
		beyond bool // of kinit, on purpose
	}{
		"one":                              {[]keyOf{{"new", 1, 18, 0}}, true, false},
		"stale":                            {[]keyOf{{"old", 1, 18, 0}}, false, false},
		"newest last":                      {[]keyOf{{"old", 1, 18, day}, {"new", 2, 18, 0}}, true, false},
		"newest first":                     {[]keyOf{{"new", 2, 18, 0}, {"old", 1, 18, day}}, true, false},
		"newest stale":                     {[]keyOf{{"new", 1, 18, day}, {"old", 2, 18, 0}}, false, false},
		"wrapped":                          {[]keyOf{{"old", 254, 18, 60 * day}, {"old", 255, 18, 30 * day}, {"new", 1, 18, 0}}, true, false},
		"wrapped, first":                   {[]keyOf{{"new", 1, 18, 0}, {"old", 255, 18, 30 * day}}, true, false},
		"wrapped, at once":                 {[]keyOf{{"old", 255, 18, day}, {"new", 1, 18, day}}, true, false},
		"not wrapped, small is older":      {[]keyOf{{"old", 1, 18, 60 * day}, {"new", 255, 18, day}}, true, false},
		"not wrapped, small is older, 2nd": {[]keyOf{{"new", 255, 18, day}, {"old", 1, 18, 60 * day}}, true, false},
		"240 and 1":                        {[]keyOf{{"new", 240, 18, day}, {"old", 1, 18, 0}}, true, false},
		"241 and 127":                      {[]keyOf{{"old", 241, 18, day}, {"new", 127, 18, 0}}, true, false},
		"255 and 128":                      {[]keyOf{{"new", 255, 18, day}, {"old", 128, 18, 0}}, true, false},
		"the newest version's type":        {[]keyOf{{"old", 1, 18, day}, {"new", 2, 17, 0}}, true, false},
		"the newest version's type, 1st":   {[]keyOf{{"new", 2, 17, 0}, {"old", 1, 18, day}}, true, false},
		"the newest version's types":       {[]keyOf{{"old", 1, 18, day}, {"new", 2, 17, 0}, {"new", 2, 18, 0}}, true, false},
		"a type that the KDC has not":      {[]keyOf{{"new", 1, 18, day}, {"new", 2, 20, 0}}, true, false},
		"of two types the newest is stale": {[]keyOf{{"new", 1, 18, day}, {"old", 2, 17, 0}}, false, false},
		// kinit looks for the newest types without regard to the wrap.
		"the wrapped version's type": {[]keyOf{{"old", 255, 18, day}, {"new", 1, 17, 0}}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			file := keytabFile(t, k.name, "svc", tc.keys...)
			theirs := run(t, env.with("KRB5CCNAME", "FILE:"+filepath.Join(t.TempDir(), "cc")), "", tool(t, "kinit"), "-k", "-t", file, "svc")
			ours := logsIn(t, env, file)
			if (ours == nil) != tc.works || (theirs.code == 0) != (tc.works && !tc.beyond) {
				t.Errorf("want %v; we: %v; kinit: %v", tc.works, ours, theirs)
			}
		})
	}
}

// listed is what klist and we say of an entry.
type listed struct {
	Kvno uint32
	Key  string
}

var klistLine = regexp.MustCompile(`(?m)^ *(-?\d+) .*\(0x([0-9a-f]*)\)\s*$`)

// klist returns what MIT's klist lists, whole entries alone.
func klist(t *testing.T, env environment, file string) (out []listed) {
	t.Helper()
	for _, m := range klistLine.FindAllStringSubmatch(run(t, env, "", tool(t, "klist"), "-k", "-t", "-e", "-K", file).stdout, -1) {
		kvno, err := strconv.ParseInt(m[1], 10, 64) // klist prints large ones as negative
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, listed{uint32(kvno), m[2]})
	}
	return out
}

func entries(file []byte) (out []listed, stopped error) {
	for e, err := range keytab.Entries(file) {
		if err != nil {
			return out, err
		}
		// The bytes of types that we do not know are of no use to us.
		if key, err := e.Key(); err == nil {
			out = append(out, listed{e.Kvno, hex.EncodeToString(key.Bytes())})
		} else {
			out = append(out, listed{e.Kvno, "?"})
		}
	}
	return out, nil
}

// TestKeytabAgainstKlist has klist read keytabs that MIT's tools made, with holes
// and large versions, and such as they do not make.
func TestKeytabAgainstKlist(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	env := environment{"HOME": dir, "KRB5_CONFIG": write(t, filepath.Join(dir, "krb5.conf"), soloConfig("KEYTAB.TEST"))}
	made := filepath.Join(dir, "made.keytab")
	add := func(name string, kvno int, etype string) {
		must(t, env, fmt.Sprintf("addent -password -p %s@KEYTAB.TEST -k %d -e %s\npw\nwkt %s\nq\n", name, kvno, etype, made), tool(t, "ktutil"))
	}
	for i, kvno := range []int{1, 255, 256, 300, 70000} {
		add("svc", kvno, []string{"aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha256-128"}[i%2])
	}
	add("host/a-long-name.keytab.test", 2, "aes128-cts-hmac-sha1-96")
	whole, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	size := func(b []byte) int { return int(binary.BigEndian.Uint32(b)) }
	// A hole as ktremove leaves it: the size is negative, the rest zeros.
	hole := bytes.Clone(whole)
	binary.BigEndian.PutUint32(hole[2:], uint32(-int32(size(hole[2:]))))
	clear(hole[6 : 6+size(whole[2:])])
	// The second entry fills a hole that is larger than it.
	padded := append(append([]byte{}, whole[:2]...), binary.BigEndian.AppendUint32(nil, uint32(size(whole[2:])+9))...)
	padded = append(append(padded, whole[6:6+size(whole[2:])]...), make([]byte, 9)...)
	padded = append(padded, whole[6+size(whole[2:]):]...)
	files := map[string][]byte{
		"made":          whole,
		"hole":          hole,
		"padded":        padded,
		"end marked":    append(append([]byte{}, whole[:6+size(whole[2:])]...), append(make([]byte, 4), whole[2:]...)...),
		"8-bit version": firstFormat(1, "KEYTAB.TEST", "svc", 200),
		"nothing in it": {5, 2},
	}
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), "keytab"), string(b))
			got, err := entries(b)
			if d := cmp.Diff(klist(t, env, file), got); d != "" || err != nil {
				t.Errorf("%v; -klist +ours:\n%s", err, d)
			}
		})
	}
	t.Run("torn", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "keytab")
		for cut := 2; cut < len(whole); cut += 3 {
			got, err := entries(whole[:cut])
			theirs := klist(t, env, write(t, file, string(whole[:cut])))
			// MIT takes a key of which some bytes are there for whole.
			if len(theirs) == len(got)+1 && err != nil {
				theirs = theirs[:len(got)]
			}
			if d := cmp.Diff(theirs, got); d != "" {
				t.Errorf("%d bytes: -klist +ours:\n%s", cut, d)
			}
		}
	})
	t.Run("damaged", func(t *testing.T) {
		r := rand.New(rand.NewPCG(10, 1))
		file := filepath.Join(t.TempDir(), "keytab")
		for i := range 300 {
			b := bytes.Clone(whole)
			for range 1 + r.IntN(3) {
				b[2+r.IntN(len(b)-2)] = byte(r.IntN(256))
			}
			got, stopped := entries(b)
			theirs := klist(t, env, write(t, file, string(b)))
			// We stop at the first damage; what we take before it, MIT takes too. Of
			// names that are damaged klist prints what it likes.
			if len(got) > len(theirs) && stopped == nil {
				t.Errorf("damage %d: we read %d entries, klist %d: %x", i, len(got), len(theirs), b)
			}
			for j, e := range got[:min(len(got), len(theirs))] {
				if e.Kvno != theirs[j].Kvno || e.Key != "?" && e.Key != theirs[j].Key {
					t.Errorf("damage %d, entry %d: %+v, klist has %+v: %x", i, j, e, theirs[j], b)
				}
			}
		}
	})
}

// firstFormat is a keytab of format 1, which has the byte order of the machine.
func firstFormat(count int, realm, name string, kvno byte) []byte {
	o := binary.NativeEndian
	counted := func(b []byte, s string) []byte { return append(o.AppendUint16(b, uint16(len(s))), s...) }
	e := o.AppendUint16(nil, uint16(count+1))
	e = counted(counted(e, realm), name)
	e = append(o.AppendUint32(e, 1700000000), kvno)
	e = counted(o.AppendUint16(e, 17), "0123456789abcdef")
	return append(o.AppendUint32([]byte{5, 1}, uint32(len(e))), e...)
}
