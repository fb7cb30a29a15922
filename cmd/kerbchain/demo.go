package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/pflag"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

// demoTimeout bounds the whole demonstration.
const demoTimeout = time.Minute

// demo shows the main job in a realm of its own: a call that is challenged,
// signed and verified, one that is signed at once, and one to a server that only
// pretends. Nothing is written to disk.
func defineDemo(*pflag.FlagSet) func(context.Context, []string, world) int { return demo }

const demoIntro = "Runs three calls in a realm inside this process. It takes no arguments.\n"

func demo(ctx context.Context, args []string, w world) int {
	if len(args) > 0 {
		return usageError(w, fmt.Errorf("demo takes no arguments, got %q", args[0]))
	}
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	out := &sticky{w: w.stdout}
	err := runDemo(ctx, out)
	interrupted, ok := errors.AsType[interruption](context.Cause(ctx))
	switch {
	case ok && err != nil:
		complain(w, "%v", interrupted)
		return interrupted.status()
	case out.err != nil:
		return unwritten(w, out.err)
	case err != nil:
		fmt.Fprintf(w.stderr, "kerbchain demo: not as told: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// A sticky writer keeps the first error, and writes no more after it.
type sticky struct {
	w   io.Writer
	err error
}

func (s *sticky) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.w.Write(b)
	s.err = err
	return n, err
}

func runDemo(ctx context.Context, out io.Writer) error {
	const user, password, spn = "alice", "correct horse battery staple", "HTTP/localhost"
	realm, err := fakekdc.New(
		fakekdc.WithRealm("DEMO.EXAMPLE"),
		fakekdc.WithUser(user, password),
		fakekdc.WithService(spn))
	if err != nil {
		return err
	}
	defer realm.Close()
	service := fakeweb.New(realm, spn, fakeweb.Options{})
	server, err := fakeweb.NewServer(service, fakeweb.ServerOptions{TLS: true})
	if err != nil {
		return err
	}
	defer server.Close()

	c, err := client.New(client.Options{
		Principal:    user + "@" + realm.Name(),
		Password:     kerberos.NewSecret(password),
		Krb5ConfText: realm.Config(),
		Preemptive:   preemptive.Learned(),
		Transport:    server.Transport(),
	})
	if err != nil {
		return err
	}
	defer c.CloseIdleConnections()

	fmt.Fprintf(out, "A realm %s with its KDC at %s, and a web service that\nverifies Kerberos at %s, both in this process.\n", realm.Name(), realm.Addr(), server.URL())
	d := &demonstration{out: out, client: c, server: server, service: service}
	if err := d.call(ctx, "1. A call through the standard stack: challenged, signed, verified.", 2, nil); err != nil {
		return err
	}
	if err := d.call(ctx, "2. The same call once more: the server is known, so it is signed at once.", 1, nil); err != nil {
		return err
	}
	service.SetQuirks(fakeweb.Quirks{Proof: fakeweb.ProofForged})
	if err := d.call(ctx, "3. A server without the service's key, whose proof is forged: refused.", 1, middleware.ErrNotVerified); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nAll three went as told. %d exchanges with the KDC, %d connection to the server.\n", len(realm.Exchanges()), server.Connections())
	return nil
}

type demonstration struct {
	out     io.Writer
	client  *http.Client
	server  *fakeweb.Server
	service *fakeweb.Handler
}

// call makes one call and checks that it took the given number of requests and
// ended as wanted: with a verified 200, or with the given error.
func (d *demonstration) call(ctx context.Context, title string, requests int, want error) error {
	fmt.Fprintf(d.out, "\n%s\n\n", title)
	d.service.ResetRequests()
	t := newTimeline(d.out)
	r, err := http.NewRequestWithContext(middleware.WithTrace(ctx, t.trace), http.MethodGet, d.server.URL()+"/report", nil)
	if err != nil {
		return err
	}
	t.say("caller", "%s %s", r.Method, r.URL)
	resp, err := d.client.Do(r)
	if err == nil {
		body, readErr := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if closeErr := resp.Body.Close(); readErr != nil || closeErr != nil {
			return errors.Join(readErr, closeErr)
		}
		sc := middleware.SecurityOf(resp.Request)
		verified := sc != nil && sc.Verified()
		t.say("caller", "%s, verified %v: %q", resp.Status, verified, body)
		if want == nil && (resp.StatusCode != http.StatusOK || !verified) {
			return fmt.Errorf("%s, verified %v", resp.Status, verified)
		}
	} else {
		t.say("caller", "no response: %v", errors.Unwrap(err))
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("the call ended with %v, wanted %v", err, want)
	}
	if n := len(d.service.Requests()); n != requests {
		return fmt.Errorf("the call took %d requests, wanted %d: %v", n, requests, d.service.Requests())
	}
	return nil
}
