package kerberos_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// A sealedConn is a connection to a WinRM endpoint, set up by hand.
type sealedConn struct {
	t      *testing.T
	client *http.Client
	url    string
	sc     middleware.SecurityContext
}

func sealTo(t *testing.T, etype int32, o kerberos.InitiatorOptions) (*sealedConn, *fakewinrm.Endpoint) {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", "secret"), fakekdc.WithService("HTTP/localhost"))
	endpoint := fakewinrm.New(realm, "HTTP/localhost", fakewinrm.Options{})
	server := fakeweb.Serve(realm, endpoint, fakeweb.ServerOptions{})
	source, err := kerberos.FromPassword(kerberos.NewSecret("secret"), kerberos.SourceOptions{
		Principal: "alice", Krb5ConfText: realm.Config(), Getenv: func(string) string { return "" }, AllowRC4: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	in, err := kerberos.NewInitiator(source, o)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := in.Initiate(t.Context(), middleware.Target{Host: "localhost", Port: "5985"})
	if err != nil {
		t.Fatal(err)
	}
	transport := server.Transport()
	transport.MaxConnsPerHost = 1
	t.Cleanup(transport.CloseIdleConnections)
	return &sealedConn{t, &http.Client{Transport: transport}, server.URL() + "/wsman", sc}, endpoint
}

func (c *sealedConn) post(header http.Header, body []byte) (*http.Response, []byte) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header = header
	resp, err := c.client.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp, b
}

func (c *sealedConn) establish() {
	c.t.Helper()
	token, err := c.sc.Step(c.t.Context(), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, _ := c.post(http.Header{"Authorization": {"Negotiate " + base64.StdEncoding.EncodeToString(token)}}, nil)
	_, text, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), " ")
	if token, err = base64.StdEncoding.DecodeString(text); err != nil || resp.StatusCode != 200 {
		c.t.Fatal(resp.Status, err)
	}
	if _, err := c.sc.Step(c.t.Context(), token); err != nil && c.sc.Verified() {
		c.t.Fatal(err)
	}
}

func (c *sealedConn) exchange(message string) (string, error) {
	c.t.Helper()
	body, err := winrm.Seal(nil, winrm.SPNEGO, c.sc.(middleware.Sealer), winrm.SOAP, []byte(message))
	if err != nil {
		return "", err
	}
	resp, answer := c.post(http.Header{"Content-Type": {winrm.SPNEGO.ContentType()}}, body)
	m, err := winrm.Open(resp.Header.Get("Content-Type"), answer, c.sc.(middleware.Sealer))
	if err != nil {
		return "", err
	}
	return string(m.Plain), nil
}

// Contexts seal what a server opens, and say what is wrong with what they do not
// open.
func TestSeal(t *testing.T) {
	for _, etype := range []int32{fakekdc.AES128SHA1, fakekdc.AES256SHA1, fakekdc.AES128SHA256, fakekdc.AES256SHA384, fakekdc.RC4HMAC} {
		t.Run(fmt.Sprint("etype ", etype), func(t *testing.T) {
			c, endpoint := sealTo(t, etype, kerberos.InitiatorOptions{})
			c.establish()
			message := strings.Repeat("message ", 10)
			for range 3 {
				if got, err := c.exchange(message); err != nil || got != message {
					t.Fatalf("%q, %v", got, err)
				}
			}
			endpoint.SetForgery(fakewinrm.Forgeries()["replayed"])
			c.refuses("replayed", message, middleware.ReasonReplayed)
			for name, reason := range map[string]middleware.Reason{
				"reflected":                 middleware.ReasonReflected,
				"last bit of the data":      middleware.ReasonTampered,
				"signed and not sealed":     middleware.ReasonUnsealed,
				"signature cut to one byte": middleware.ReasonMalformed,
			} {
				endpoint.SetForgery(fakewinrm.Forgeries()[name])
				c.refuses(name, message, reason)
			}
			// The messages that were withheld are missing.
			endpoint.SetForgery(nil)
			c.refuses("gap", message, middleware.ReasonOutOfOrder)
		})
	}
}

func (c *sealedConn) refuses(name, message string, reason middleware.Reason) {
	c.t.Helper()
	_, err := c.exchange(message)
	var e *middleware.Error
	if !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != reason ||
		e.Stage != "kerberos" || !strings.HasPrefix(e.SPN, "HTTP/localhost@") || e.Principal == "" || e.Host != "localhost:5985" {
		c.t.Errorf("%s: %v, want reason %v", name, err, reason)
	}
}

// Nothing is sealed or opened for a server that has not proved itself.
func TestSealUnproved(t *testing.T) {
	for name, establish := range map[string]bool{"not yet": false, "no mutual authentication": true} {
		t.Run(name, func(t *testing.T) {
			c, _ := sealTo(t, fakekdc.AES256SHA1, kerberos.InitiatorOptions{NoMutual: establish})
			if establish {
				c.establish()
			}
			s := c.sc.(middleware.Sealer)
			_, _, err := s.Seal(nil, []byte("message"))
			_, oerr := s.Open([]byte("header"), []byte("data"))
			for _, err := range []error{err, oerr} {
				var e *middleware.Error
				if !errors.As(err, &e) || !errors.Is(err, middleware.ErrToken) || e.Reason != middleware.ReasonNoToken {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}

// A context is safe for concurrent use: no number is given to two messages.
func TestSealParallel(t *testing.T) {
	c, _ := sealTo(t, fakekdc.AES256SHA1, kerberos.InitiatorOptions{})
	c.establish()
	var all sync.WaitGroup
	var mu sync.Mutex
	numbers := map[string]bool{}
	for range 50 {
		all.Go(func() {
			token, _, err := c.sc.(middleware.Sealer).Seal(nil, []byte("message"))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			numbers[string(token[8:16])] = true // RFC 4121 section 4.2.6.2
		})
	}
	all.Wait()
	if len(numbers) != 50 {
		t.Errorf("%d numbers for 50 messages", len(numbers))
	}
}
