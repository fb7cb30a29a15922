package client_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/client"
	challenges "github.com/kerbchain/kerbchain/internal/challenge"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
)

// Of each forged answer Verify says what mutual says of it in the standard stack, by
// the same table, and of nothing else than the genuine ones that the server proved
// itself. The status makes no difference.
func TestSignerForgeries(t *testing.T) {
	t.Parallel()
	lab := newForgeryLab(t, krb.AES256SHA1)
	all := forgeries()
	for _, tr := range []attempt{{mutual.Required, nil, 200}, {mutual.Optional, nil, 200}, {mutual.Disabled, nil, 200}, {mutual.Required, nil, 500}, {mutual.Required, nil, 302}} {
		lab.client(t, "alice", spn, tr) // writes the cache
		o := bare(lab.realm)
		o.CCache, o.ReadOnlyCache, o.Mutual = lab.f.caches["alice"], true, tr.mode
		s := newSigner(t, o)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			f := all[name]
			lab.f.set(tr.status, f.lines)
			a := sign(t, s, lab.url)
			status, header := lab.ask(t, a)
			if status != tr.status {
				t.Fatalf("%s: status %d", name, status)
			}
			want := tr.want(f) // what the stack makes of it
			if f.reason == middleware.ReasonNoToken && tr.mode == mutual.Required {
				want = "no token 0" // whatever the status: nothing was proved
			}
			if ch, ok := challenges.Find(header.Values("WWW-Authenticate"), "Negotiate"); ok && ch.Token68 == "" && want == "no token 0" {
				want = "refused 0" // the same answer, with more to say of a 401
			}
			want = strings.TrimPrefix(want, fmt.Sprint(tr.status, " whole"))
			got := judged(t, a, header)
			if got != strings.TrimSpace(want) {
				t.Errorf("%s, %v, status %d: %q, want %q", name, tr.mode, tr.status, got, want)
			}
			// Once judged, for good.
			lab.f.set(200, func(v *visitor) []string { return line(v.resp()) })
			if err := a.Verify(t.Context(), header); (err == nil) != (tr.mode == mutual.Disabled) {
				t.Errorf("%s, %v: a second time: %v", name, tr.mode, err)
			}
		}
	}
}

func (lab *forgeryLab) ask(t *testing.T, a client.Authorization) (int, http.Header) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(lab.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return ask(t, conn, lab.url, a.Header())
}

// judged says what Verify makes of an answer.
func judged(t *testing.T, a client.Authorization, header http.Header) string {
	t.Helper()
	err := a.Verify(t.Context(), header)
	if err == nil {
		if a.Verified() {
			return "verified"
		}
		return ""
	}
	var known *middleware.Error
	if !errors.As(err, &known) || a.Verified() {
		return err.Error()
	}
	if !errors.Is(err, middleware.ErrNotVerified) || known.SPN == "" || known.Host == "" || known.Hint == "" && known.Reason.Hint() == "" && known.Reason != middleware.ReasonKRBError {
		t.Errorf("the error does not say what it should: %#v", known)
	}
	return fmt.Sprintf("%v %d", known.Reason, known.Code)
}
