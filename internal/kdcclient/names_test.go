package kdcclient

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

func TestShorten(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want int
	}{
		"short":   {"abc", 3},
		"just":    {strings.Repeat("a", maxShown), maxShown},
		"long":    {strings.Repeat("a", 1<<20), maxShown + 3},
		"euro":    {"a" + strings.Repeat("€", maxShown), 1 + (maxShown-1)/3*3 + 3},
		"garbage": {strings.Repeat("\x80", 1<<10), maxShown - utf8.UTFMax + 3},
	} {
		if got := shorten(tc.in); len(got) != tc.want {
			t.Errorf("%s: %d bytes, want %d", name, len(got), tc.want)
		}
	}
}

func TestPlausible(t *testing.T) {
	for realm, want := range map[string]bool{
		"A.TEST": true, "corp.example": true, "/O=Org/C=US": true, "a b": true,
		"": false, "A\x00B": false, "A\nB": false, "A\xff": false, strings.Repeat("A", maxRealm+1): false, strings.Repeat("A", maxRealm): true,
	} {
		if got := plausible(realm); got != want {
			t.Errorf("%.40q: %v, want %v", realm, got, want)
		}
	}
}

// Whatever names a peer sends, an error is one line that a terminal may show.
func TestHostileNames(t *testing.T) {
	const evil = "evil\x1b]0;pwned\a\r\nINFO all is well\u202e\xff"
	name := types.PrincipalName{NameType: 1, NameString: []string{evil}}
	for what, change := range map[string]func(*answer){
		"client":        func(a *answer) { a.fields.CName = name },
		"client realm":  func(a *answer) { a.fields.CRealm = evil },
		"server":        func(a *answer) { a.part.SName, a.fields.Ticket.SName = name, name },
		"server realm":  func(a *answer) { a.part.SRealm, a.fields.Ticket.Realm = evil, evil },
		"ticket":        func(a *answer) { a.fields.Ticket.SName = name },
		"referral":      func(a *answer) { refer(a, evil) },
		"endless realm": func(a *answer) { refer(a, strings.Repeat("A", 1<<12)) },
	} {
		t.Run(what, func(t *testing.T) {
			k := newScripted(t, realmA).start()
			c := client(Options{}, k)
			tgt := login(t, c)
			k.edit(func() { k.change = change })
			_, as := c.AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password)})
			_, tgs := c.TGS(t.Context(), tgt, web, TGSOptions{})
			for _, err := range []error{as, tgs} {
				e := failure(t, err)
				if e.Kind != KindReply && e.Kind != KindReferral {
					t.Errorf("kind %d: %v", e.Kind, err)
				}
				for _, s := range []string{err.Error(), e.Err.Error(), e.Hint} {
					if i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !utf8.ValidString(s) || len(s) > 4*maxShown+1024 {
						t.Errorf("%d bytes, at %d: %q", len(s), i, s)
					}
				}
			}
		})
	}
	e := &Error{
		Kind: KindReferral, Exchange: "TGS", Realm: evil, Path: []string{realmA, evil}, Err: errNoKDC, Hint: evil,
		Principal: krb.NewPrincipal(evil, evil), Server: krb.NewPrincipal(evil, evil, evil), KDCs: []Attempt{{Address: evil, Network: "udp", Err: errNoKDC}},
		Candidates: []Candidate{{Server: krb.NewPrincipal(evil, evil), Err: &Error{Err: errNoKDC}}},
	}
	for _, e := range []*Error{e, {Exchange: "AS", Realm: evil}} {
		if s := e.Error(); strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(s) {
			t.Errorf("%q", s)
		}
	}
}
