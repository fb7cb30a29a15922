package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/middleware"
)

// A tally is a body that counts.
type tally struct {
	io.Reader
	closes int
}

func (c *tally) Close() error {
	c.closes++
	return nil
}

// What happens to the body itself, by what is done to the one that holds it.
func TestHold(t *testing.T) {
	type outcome struct {
		Read   string
		Closes int
		Err    error
	}
	read := func(b *body, out *outcome) {
		all, err := io.ReadAll(b)
		out.Read, out.Err = string(all), err
	}
	for name, tc := range map[string]struct {
		do   func(b *body, out *outcome)
		want outcome
	}{
		"nothing":                  {func(b *body, _ *outcome) { b.release() }, outcome{}},
		"read and closed":          {func(b *body, o *outcome) { read(b, o); b.Close() }, outcome{"body", 1, nil}},
		"closed while held":        {func(b *body, _ *outcome) { b.Close() }, outcome{}},
		"closed, then let go":      {func(b *body, _ *outcome) { b.Close(); b.release() }, outcome{Closes: 1}},
		"let go, then closed":      {func(b *body, _ *outcome) { b.release(); b.Close() }, outcome{Closes: 1}},
		"closed again and again":   {func(b *body, _ *outcome) { b.Close(); b.release(); b.release(); b.Close(); b.Close() }, outcome{Closes: 1}},
		"read after it was closed": {func(b *body, o *outcome) { b.Close(); read(b, o) }, outcome{Err: http.ErrBodyReadAfterClose}},
		"had again": {func(b *body, o *outcome) {
			b.Close()
			again, err := b.again(new(http.Request), nil)
			if again != b || err != nil {
				o.Err = errors.New("another one")
				return
			}
			read(b, o)
			b.Close()
			b.release()
		}, outcome{"body", 1, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			inner := &tally{Reader: strings.NewReader("body")}
			var got outcome
			tc.do(hold(inner), &got)
			got.Closes = inner.closes
			if diff := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if hold(nil) != nil || hold(http.NoBody) != nil {
		t.Error("something is held of nothing")
	}
}

// Where nothing gives another body, the error says so and why one was wanted.
func TestHoldReadBody(t *testing.T) {
	cause := errors.New("cause")
	r, err := http.NewRequest(http.MethodPost, "https://app.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	inner := &tally{Reader: strings.NewReader("body")}
	b := hold(inner)
	if _, err := io.ReadAll(b); err != nil {
		t.Fatal(err)
	}
	b.Close()
	got, err := b.again(r, cause)
	e, ok := errors.AsType[*middleware.Error](err)
	if got != nil || !ok || e.Stage != "proxy" || e.Host != "app.example:443" || !errors.Is(err, middleware.ErrBodyNotReplayable) || !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	if inner.closes != 1 {
		t.Errorf("%d closes", inner.closes)
	}
}

// A connection that nobody waits for any more reports nothing of its own: the
// verdict on the call may have been given.
func TestQuietAfterwards(t *testing.T) {
	n := 0
	c := newCall(middleware.WithTrace(t.Context(), func(middleware.Event) { n++ }))
	c.emit(middleware.SendEvent{})
	c.end()
	c.emit(middleware.SendEvent{})
	if n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

// The memory is bounded.
func TestMemory(t *testing.T) {
	var m memory
	at := func(host string) middleware.Target { return middleware.Target{Host: host, Port: "3128"} }
	for i := range 3 * maxProxies {
		m.put(at("p"+string(rune('a'+i%26))+strings.Repeat("x", i/26)), middleware.Negotiate)
	}
	if n := len(m.schemes); n > maxProxies {
		t.Errorf("%d proxies", n)
	}
	m.put(at("proxy.example"), middleware.Kerberos)
	if s, ok := m.get(at("PROXY.example.")); !ok || s != middleware.Kerberos {
		t.Errorf("%q, %t", s, ok)
	}
	secure := at("proxy.example")
	secure.Secure = true
	if _, ok := m.get(secure); ok {
		t.Error("an https proxy is another one")
	}
}
