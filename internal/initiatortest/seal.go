package initiatortest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/middleware"
)

// RunSealing holds initiators whose contexts seal messages to the contract of
// [middleware.Sealer], with keys of an encryption type.
func RunSealing(t *testing.T, etype int32, setup func(t *testing.T, r *fakekdc.Realm) Make, tampered ...string) {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithUser("alice", "secret"), fakekdc.WithService(SPN))
	endpoint := fakewinrm.New(realm, SPN, fakewinrm.Options{})
	k := sealing{fakeweb.Serve(realm, endpoint, fakeweb.ServerOptions{}), endpoint, setup(t, realm), tampered}
	t.Run("messages", k.messages)
	t.Run("unproved", k.unproved)
	t.Run("at once", func(t *testing.T) { k.atOnce(t, etype) })
}

type sealing struct {
	server   *fakeweb.Server
	endpoint *fakewinrm.Endpoint
	make     Make
	tampered []string
}

// A session is a connection to a WinRM endpoint, set up by hand.
type session struct {
	t      *testing.T
	client *http.Client
	url    string
	sc     middleware.SecurityContext
	middleware.Sealer
}

// begin returns a session before its first token.
func (k sealing) begin(t *testing.T, o Options) *session {
	t.Helper()
	k.endpoint.SetForgery(nil)
	o.Sealing = true
	sc, err := k.make(t, o).Initiate(t.Context(), middleware.Target{Host: "localhost", Port: "5985"})
	if err != nil {
		t.Fatal(err)
	}
	transport := k.server.Transport()
	transport.MaxConnsPerHost = 1
	t.Cleanup(transport.CloseIdleConnections)
	sealer, ok := sc.(middleware.Sealer)
	if !ok {
		t.Fatalf("a %T seals no messages", sc)
	}
	return &session{t, &http.Client{Transport: transport}, k.server.URL() + "/wsman", sc, sealer}
}

func (s *session) post(header http.Header, body []byte) (*http.Response, []byte) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = header
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, b
}

// establish has the endpoint take the token, and steps with its answer.
func (s *session) establish() *session {
	s.t.Helper()
	token, err := s.sc.Step(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, _ := s.post(http.Header{"Authorization": {"Negotiate " + base64.StdEncoding.EncodeToString(token)}}, nil)
	_, text, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), " ")
	if token, err = base64.StdEncoding.DecodeString(text); err != nil || resp.StatusCode != 200 {
		s.t.Fatal(resp.Status, err)
	}
	if _, err := s.sc.Step(s.t.Context(), token); err != nil && s.sc.Verified() {
		s.t.Fatal(err)
	}
	return s
}

// exchange sends a message, and returns the answer.
func (s *session) exchange(message string) (string, error) {
	s.t.Helper()
	body, err := winrm.Seal(nil, winrm.SPNEGO, s, winrm.SOAP, []byte(message))
	if err != nil {
		return "", err
	}
	resp, answer := s.post(http.Header{"Content-Type": {winrm.SPNEGO.ContentType()}}, body)
	m, err := winrm.Open(resp.Header.Get("Content-Type"), answer, s)
	if err != nil {
		return "", err
	}
	return string(m.Plain), nil
}

// messages: contexts seal what a server opens, and say what is wrong with what they do
// not open. Nothing is left of such a message.
func (k sealing) messages(t *testing.T) {
	message := strings.Repeat("message ", 10)
	for name, reason := range map[string]middleware.Reason{
		"none":                      middleware.ReasonNone,
		"replayed":                  middleware.ReasonReplayed,
		"reflected":                 middleware.ReasonReflected,
		"last bit of the data":      middleware.ReasonTampered,
		"signed and not sealed":     middleware.ReasonUnsealed,
		"signature cut to one byte": middleware.ReasonMalformed,
		"withheld":                  middleware.ReasonOutOfOrder,
	} {
		if slices.Contains(k.tampered, name) {
			reason = middleware.ReasonTampered
		}
		t.Run(name, func(t *testing.T) {
			s := k.begin(t, Options{}).establish()
			for range 3 {
				if got, err := s.exchange(message); err != nil || got != message {
					t.Fatalf("%q, %v", got, err)
				}
			}
			switch forge, ok := fakewinrm.Forgeries()[name]; {
			case ok:
				k.endpoint.SetForgery(forge)
			case name == "withheld":
				s.withhold(message)
			case name != "none":
				t.Fatal("no such forgery")
			}
			got, err := s.exchange(message)
			if reason == middleware.ReasonNone {
				if got != message || err != nil {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			var e *middleware.Error
			if !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != reason ||
				e.Stage == "" || !strings.HasPrefix(e.SPN, SPN) || e.Principal == "" || e.Host != "localhost:5985" {
				t.Errorf("%q, %v, want reason %v", got, err, reason)
			}
		})
	}
}

// withhold sends a message whose answer nobody opens.
func (s *session) withhold(message string) {
	s.t.Helper()
	body, err := winrm.Seal(nil, winrm.SPNEGO, s, winrm.SOAP, []byte(message))
	if err != nil {
		s.t.Fatal(err)
	}
	if resp, _ := s.post(http.Header{"Content-Type": {winrm.SPNEGO.ContentType()}}, body); resp.StatusCode != http.StatusOK {
		s.t.Fatal(resp.Status)
	}
}

// unproved: nothing is sealed or opened for a server that has not proved itself.
func (k sealing) unproved(t *testing.T) {
	for name, s := range map[string]*session{
		"not yet":                  k.begin(t, Options{}),
		"no mutual authentication": k.begin(t, Options{NoMutual: true}).establish(),
	} {
		_, _, err := s.Seal(nil, []byte("message"))
		_, oerr := s.Open([]byte("header"), []byte("data"))
		for _, err := range []error{err, oerr} {
			var e *middleware.Error
			if !errors.As(err, &e) || !errors.Is(err, middleware.ErrToken) || e.Reason != middleware.ReasonNoToken {
				t.Errorf("%s: error %v", name, err)
			}
		}
	}
}

// atOnce: a context is safe for concurrent use, and no number is given to two messages.
func (k sealing) atOnce(t *testing.T, etype int32) {
	s := k.begin(t, Options{}).establish()
	var all sync.WaitGroup
	var mu sync.Mutex
	tokens := map[string]bool{}
	for range 50 {
		all.Go(func() {
			token, header, err := s.Seal([]byte("before"), []byte("message"))
			if err != nil || !bytes.HasPrefix(token, []byte("before")) || len(token) < len("before")+header+len("message") {
				t.Errorf("%d bytes with a header of %d, %v", len(token), header, err)
				return
			}
			token = token[len("before"):]
			mu.Lock()
			defer mu.Unlock()
			if etype == fakekdc.RC4HMAC {
				tokens[string(token)] = true
				return
			}
			tokens[string(token[8:16])] = true // RFC 4121 section 4.2.6.2
		})
	}
	all.Wait()
	if len(tokens) != 50 {
		t.Errorf("%d numbers for 50 messages", len(tokens))
	}
}
