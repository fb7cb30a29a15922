package kerberos

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// connection is one to a server with a certificate of its own, which is signed with ECDSA, or
// with Ed25519, for which RFC 5929 defines no bindings.
func connection(t *testing.T, undefined bool) *tls.ConnectionState {
	t.Helper()
	var signer crypto.Signer
	var err error
	if undefined {
		_, signer, err = ed25519.GenerateKey(rand.Reader)
	} else {
		signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
}

// A hash is remembered for its own certificate, and for so many at once.
func TestEndPoints(t *testing.T) {
	var e endPoints
	a, b := connection(t, false), connection(t, false)
	for range 2 {
		for _, state := range []*tls.ConnectionState{a, b} {
			data, err := cbt.ForConn(state)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := e.of(state); err != nil || *got != cbt.Hash(data) {
				t.Errorf("%x, %v; want %x", got, err, cbt.Hash(data))
			}
		}
	}
	if n := e.hashes.Len(); n != 2 {
		t.Errorf("%d are kept", n)
	}
	for range maxEndPoints {
		again := *a.PeerCertificates[0]
		if _, err := e.of(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{&again}}); err != nil {
			t.Fatal(err)
		}
	}
	if n := e.hashes.Len(); n != maxEndPoints {
		t.Errorf("%d are kept", n)
	}
}

// always is a source of one ticket.
type always struct{ t Ticket }

func (a always) ServiceTicket(context.Context, string) (Ticket, error) { return a.t, nil }

// A token does without bindings where the certificate defines none, and none are required.
func TestBindingsThatCannotBeMade(t *testing.T) {
	key, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	alice, server := krb.NewPrincipal("R.TEST", "alice"), krb.NewPrincipal("R.TEST", "HTTP", "a.example")
	der, err := krb.SealTicket(server, key, 1, &krb.EncTicketPart{Key: key, Client: alice})
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := NewTicket(TicketParts{
		Client: alice.String(), Server: server.String(), DER: der, Etype: key.Etype(), Key: NewSecret(string(key.Bytes())),
		AuthTime: time.Now(), EndTime: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	source := always{ticket}
	for name, tc := range map[string]struct {
		mode  Bindings
		state *tls.ConnectionState
		fails bool
	}{
		"undefined":           {BindingsAuto, connection(t, true), false},
		"undefined, required": {BindingsRequired, connection(t, true), true},
		"no certificate":      {BindingsAuto, &tls.ConnectionState{}, true},
		"off":                 {BindingsOff, &tls.ConnectionState{}, false},
	} {
		in, err := NewInitiator(source, InitiatorOptions{Bindings: tc.mode})
		if err != nil {
			t.Fatal(err)
		}
		sc, err := in.Initiate(t.Context(), middleware.Target{Host: "a.example", Port: "443", Secure: true, TLS: tc.state})
		if err != nil {
			t.Fatal(err)
		}
		token, err := sc.Step(t.Context(), nil)
		if tc.fails != (token == nil) || tc.fails != errors.Is(err, middleware.ErrToken) {
			t.Errorf("%s: %x, %v", name, token, err)
		}
	}
}
