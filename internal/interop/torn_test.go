//go:build interop

package interop

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// ticketLines is what klist and we list of a cache: the servers of its tickets, in
// order, after how many configuration entries.
func ticketLines(c *ccache.Cache) []string {
	out := []string{fmt.Sprint(len(c.Config)), c.Client.String()}
	for _, cred := range c.Credentials {
		out = append(out, cred.Server.String())
	}
	return out
}

// klistAll returns what klist says of each cache of a folder, by its name.
func klistAll(t *testing.T, env environment, dir string) map[string][]string {
	t.Helper()
	out := make(map[string][]string)
	name, configs, lines := "", 0, []string(nil)
	keep := func() {
		if name != "" {
			out[name] = append([]string{fmt.Sprint(configs)}, lines...)
		}
	}
	r := run(t, env.with("KRB5CCNAME", "DIR:"+dir).with("TZ", "UTC"), "", tool(t, "klist"), "-A", "-C")
	for line := range strings.Lines(r.stdout) {
		line = strings.TrimSuffix(line, "\n")
		switch field := strings.Fields(line); {
		case strings.HasPrefix(line, "Ticket cache: "):
			keep()
			name, configs, lines = filepath.Base(line), 0, nil
		case strings.HasPrefix(line, "Default principal: "):
			lines = append(lines, field[2])
		case strings.HasPrefix(line, "config: "):
			configs++
		case len(field) >= 5 && line[0] >= '0' && line[0] <= '9': // two times, and a server
			lines = append(lines, field[4])
		}
	}
	keep()
	return out
}

// TestTornCacheAgainstKlist cuts caches that MIT's tools wrote at every byte.
func TestTornCacheAgainstKlist(t *testing.T) {
	t.Parallel()
	home := tempDir(t)
	env := environment{"HOME": home, "KRB5_CONFIG": write(t, filepath.Join(home, "krb5.conf"), soloConfig("EXAMPLE.TEST"))}
	for version := 1; version <= 4; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			whole := readAll(t, fmt.Sprintf("../ccache/testdata/mit-v%d.ccache", version))
			dir := t.TempDir()
			ours := make(map[string][]string)
			for cut := range len(whole) + 1 {
				name := fmt.Sprintf("tkt%04d", cut)
				write(t, filepath.Join(dir, name), whole[:cut])
				c, err := ccache.Parse([]byte(whole[:cut]))
				if err == nil {
					ours[name] = ticketLines(c)
				} else if !errors.Is(err, ccache.ErrTruncated) {
					t.Errorf("cut at %d: %v", cut, err)
				}
			}
			theirs := klistAll(t, env, dir)
			if n := len(theirs[fmt.Sprintf("tkt%04d", len(whole))]); n != 2+3 {
				t.Fatalf("klist lists %d lines of the whole cache", n)
			}
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("-klist +ours:\n%s", diff)
			}
		})
	}
}

// TestTornCacheIsUsed gets tickets with a cache whose last entry was cut off, as kvno
// does. MIT appends behind the tear, where neither finds it again; we do not.
func TestTornCacheIsUsed(t *testing.T) {
	t.Parallel()
	r := startRealm(t, etypes[0])
	env := r.kinit(t)
	must(t, env, "", tool(t, "kvno"), "HTTP/localhost")
	whole := readAll(t, strings.TrimPrefix(env["KRB5CCNAME"], "FILE:"))
	torn := whole[:len(whole)-40]
	theirs := write(t, filepath.Join(t.TempDir(), "theirs"), torn)
	must(t, env.with("KRB5CCNAME", theirs), "", tool(t, "kvno"), "HTTP/localhost")
	if b := readAll(t, theirs); !strings.HasPrefix(b, torn) {
		t.Error("kvno mends a torn cache")
	} else if c, err := ccache.Parse([]byte(b)); err != nil {
		t.Error(err)
	} else if _, err := c.TGT(ccache.Query{Now: c.Credentials[0].AuthTime}); err != nil {
		t.Errorf("after kvno: %v", err)
	}

	ours := write(t, filepath.Join(t.TempDir(), "ours"), torn)
	s, err := kerberos.FromCCache(ours, kerberos.SourceOptions{Krb5Conf: []string{r.conf}, Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := s.ServiceTicket(t.Context(), "HTTP/localhost")
	if err != nil || ticket.SPN() != "HTTP/localhost@"+r.name {
		t.Errorf("%v, %v", ticket, err)
	}
	if b := readAll(t, ours); b != torn {
		t.Errorf("the file was written to: %d bytes, before %d", len(b), len(torn))
	}
	// What a renewal does: the whole entries, written anew.
	store := ccache.OpenFile(ours)
	c, err := store.Load(t.Context())
	if err != nil || c.Torn == nil {
		t.Fatal(c, err)
	}
	if err := store.Replace(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	must(t, env.with("KRB5CCNAME", ours), "", tool(t, "kvno"), "HTTP/localhost", "HTTP/stranger.example")
	c, err = store.Load(t.Context())
	if err != nil || c.Torn != nil {
		t.Fatal(c, err)
	}
	for _, host := range []string{"localhost", "stranger.example"} {
		if _, err := c.Ticket(krb.NewPrincipal(r.name, "HTTP", host), ccache.Query{Now: c.Credentials[0].AuthTime}); err != nil {
			t.Errorf("kvno's ticket behind the mended tail: %v", err)
		}
	}
}

// TestDamagedCacheAgainstKlist changes single bytes: what we take of a cache, klist
// lists too, but for our bound on the microseconds of the header.
func TestDamagedCacheAgainstKlist(t *testing.T) {
	t.Parallel()
	const header = 2 + 2 + 12
	home := tempDir(t)
	env := environment{"HOME": home, "KRB5_CONFIG": write(t, filepath.Join(home, "krb5.conf"), soloConfig("EXAMPLE.TEST"))}
	whole := readAll(t, "../ccache/testdata/mit-v4.ccache")
	for _, mask := range []byte{0x01, 0x80, 0xff} {
		t.Run(fmt.Sprintf("%x", mask), func(t *testing.T) {
			dir := t.TempDir()
			ours := make(map[string]int)
			for i := header; i < len(whole); i++ {
				b := []byte(whole)
				b[i] ^= mask
				name := fmt.Sprintf("tkt%04d", i)
				write(t, filepath.Join(dir, name), string(b))
				if c, err := ccache.Parse(b); err == nil {
					ours[name] = len(ticketLines(c))
				}
			}
			theirs := make(map[string]int)
			for name, lines := range klistAll(t, env, dir) {
				// Configuration whose name is damaged is nothing to us.
				theirs[name] = len(slices.DeleteFunc(lines, func(line string) bool { return strings.HasSuffix(line, "@X-CACHECONF:") }))
			}
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("-klist +ours:\n%s", diff)
			}
		})
	}
}
