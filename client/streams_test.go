package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/negotiate"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// A body that is being produced, by somebody who waits for what the server says
// to the last line before there is another: both directions at once, as with
// streams of gRPC and Connect. What is signed at once passes without delay, and so
// does what is not, to a server that asks for a token without waiting for the body.
func TestStreams(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		o       client.Options
		refused int  // tokens, each after a line was read
		lines   int  // 3 unless it is more
		short   bool // the body cannot be sent again
	}{
		"challenged":                    {o: client.Options{}},
		"always":                        {o: client.Options{Preemptive: preemptive.Always()}},
		"always, nothing kept":          {o: client.Options{Preemptive: preemptive.Always(), BodyLimit: -1}},
		"always, kept in a file":        {o: client.Options{Preemptive: preemptive.Always(), BodyLimit: -1, SpillLimit: 1 << 20}},
		"always, and refused":           {o: client.Options{Preemptive: preemptive.Always()}, refused: 1},
		"always, and refused, file":     {o: client.Options{Preemptive: preemptive.Always(), BodyLimit: -1, SpillLimit: 1 << 20}, refused: 1},
		"always, refused, not kept":     {o: client.Options{Preemptive: preemptive.Always(), BodyLimit: -1}, refused: 1, short: true},
		"always, refused, kept no more": {o: client.Options{Preemptive: preemptive.Always(), BodyLimit: 3}, refused: 1, short: true},
		"always, longer than is kept":   {o: client.Options{Preemptive: preemptive.Always(), BodyLimit: 100}, lines: 50},
		"challenged, longer":            {o: client.Options{BodyLimit: 100}, lines: 50},
		"Expect":                        {o: client.Options{BodyLimit: -1, OneShot: negotiate.Expect}},
		"HEAD":                          {o: client.Options{BodyLimit: -1, OneShot: negotiate.Probe}},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP2 %v", name, h2), func(t *testing.T) {
				realm := start(t)
				h := &refusing{authenticated: fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(echoLines)})}
				h.refuse.Store(int32(tc.refused))
				s := fakeweb.Serve(realm, h, fakeweb.ServerOptions{TLS: true, HTTP2: h2})
				o := kinit(t, realm, spn)
				o.BodyLimit, o.SpillLimit, o.OneShot, o.Preemptive = tc.o.BodyLimit, tc.o.SpillLimit, tc.o.OneShot, tc.o.Preemptive
				o.SpillDir = t.TempDir()
				tr := s.Transport()
				tr.ExpectContinueTimeout = time.Minute // never, here
				o.Transport = tr
				c := newClient(t, o)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				err := talk(ctx, c, s.URL(), max(tc.lines, 3))
				if tc.short {
					if !errors.Is(err, middleware.ErrBodyNotReplayable) {
						t.Errorf("error %v", err)
					}
				} else if err != nil {
					t.Error(err)
				}
				if n := h.refuse.Load(); n != 0 {
					t.Errorf("%d tokens were not refused", n)
				}
			})
		}
	}
}

// talk sends lines, each when the one before came back.
func talk(ctx context.Context, c *http.Client, url string, lines int) error {
	pr, pw := io.Pipe()
	defer pw.Close()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, pr)
	if err != nil {
		return err
	}
	go func() { _, _ = io.WriteString(pw, "line 0\n") }()
	resp, err := c.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	br := bufio.NewReader(resp.Body)
	for i := range lines {
		want := fmt.Sprintf("line %d\n", i)
		if i > 0 {
			if _, err := io.WriteString(pw, want); err != nil {
				return err
			}
		}
		if got, err := br.ReadString('\n'); got != want {
			return fmt.Errorf("got %q, want %q: %w", got, want, err)
		}
	}
	pw.Close()
	if b, err := io.ReadAll(br); err != nil || len(b) > 0 {
		return fmt.Errorf("%q after the last line, %w", b, err)
	}
	return nil
}

// refusing is a service that answers 401 at once, and when it is to refuse a token,
// after a line.
type refusing struct {
	authenticated http.Handler
	refuse        atomic.Int32
}

func (e *refusing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	if err := c.EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		panic(err)
	}
	switch refuse := e.refuse.Load(); {
	case r.Header.Get("Authorization") != "" && refuse > 0:
		e.refuse.Store(refuse - 1)
		if _, err := bufio.NewReader(r.Body).ReadString('\n'); err != nil {
			panic(err)
		}
	case r.Header.Get("Authorization") != "":
		e.authenticated.ServeHTTP(w, r)
		return
	}
	w.Header().Set("WWW-Authenticate", "Negotiate")
	if r.ProtoMajor == 1 { // in HTTP/2 it ends the connection under the request that follows
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(http.StatusUnauthorized)
}

func echoLines(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	for br := bufio.NewReader(r.Body); ; {
		line, err := br.ReadString('\n')
		if _, werr := io.WriteString(w, line); err != nil || werr != nil || c.Flush() != nil {
			return
		}
	}
}

// The first bytes of a slow upload are at the server before the second ones are
// there at all.
func TestSlowUpload(t *testing.T) {
	for name, p := range map[string]preemptive.Policy{"challenged": nil, "always": preemptive.Always()} {
		t.Run(name, func(t *testing.T) {
			realm := start(t)
			arrived := make(chan struct{})
			s := fakeweb.Serve(realm, swallowing(fakeweb.New(realm, spn, fakeweb.Options{Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				br := bufio.NewReader(r.Body)
				if _, err := br.ReadByte(); err != nil {
					panic(err)
				}
				close(arrived)
				n, err := io.Copy(io.Discard, br)
				fmt.Fprint(w, n, err)
			})})), fakeweb.ServerOptions{})
			o := kinit(t, realm, spn)
			o.Transport, o.Preemptive = s.Transport(), p
			pr, pw := io.Pipe()
			go func() {
				_, _ = io.WriteString(pw, "begin")
				<-arrived
				_, _ = io.WriteString(pw, " and end")
				pw.Close()
			}()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(), pr)
			if err != nil {
				t.Fatal(err)
			}
			status, body, err := do(t, newClient(t, o), r)
			if status != 200 || !strings.HasPrefix(body, "12 ") || err != nil {
				t.Errorf("%d, %q, %v", status, body, err)
			}
		})
	}
}
