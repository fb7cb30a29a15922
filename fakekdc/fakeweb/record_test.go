package fakeweb

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
)

func TestRecordString(t *testing.T) {
	got := []string{
		Record{Method: "GET", URI: "/", Status: 401}.String(),
		Record{Method: "PUT", URI: "/x", Scheme: "Negotiate", Token: 700, Status: 204, Caller: fakekdc.Caller{Name: "alice@A"}}.String(),
		Record{Method: "GET", URI: "/", Scheme: "Negotiate", Token: 1, Status: 401, Reason: "ticket"}.String(),
	}
	want := []string{
		"GET /: 401",
		"PUT /x [Negotiate, 700 bytes]: 204 alice@A",
		"GET / [Negotiate, 1 bytes]: 401 (ticket)",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRecordsOfServices: a handler that serves for long forgets the oldest.
func TestRecordsOfServices(t *testing.T) {
	r := fakekdc.Start(t, fakekdc.WithService("HTTP/localhost"))
	h := New(r, "HTTP/localhost", Options{})
	h.records = make([]*Record, maxRecords)
	for i := range h.records {
		h.records[i] = &Record{Status: i}
	}
	q := webRequest(t)
	rec := h.begin(q, &conn{number: 5})
	got := h.Requests()
	if len(got) != maxRecords*3/4+1 || got[0].Status != maxRecords/4 || got[len(got)-1] != *rec || rec.Conn != 5 {
		t.Errorf("%d records from %v to %v", len(got), got[0], got[len(got)-1])
	}
}

// failing is a test that fails.
type failing struct {
	failed   string
	cleanups []func()
}

func (*failing) Helper()            {}
func (b *failing) Cleanup(f func()) { b.cleanups = append(b.cleanups, f) }
func (b *failing) Fatalf(format string, args ...any) {
	b.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// TestFailureEndsTheTest: what cannot be served ends the test of its realm.
func TestFailureEndsTheTest(t *testing.T) {
	for name, f := range map[string]func(*failing){
		"handler": func(b *failing) { New(fakekdc.Start(b), "HTTP/localhost", Options{}) },
		"serve": func(b *failing) {
			Serve(fakekdc.Start(b), nil, ServerOptions{TLS: true, Signature: 1})
		},
	} {
		b := &failing{}
		done := make(chan struct{})
		go func() {
			defer close(done)
			f(b)
		}()
		<-done
		if !strings.HasPrefix(b.failed, "fakekdc: ") {
			t.Errorf("%s: failed with %q", name, b.failed)
		}
		for _, c := range b.cleanups {
			c()
		}
	}
}
