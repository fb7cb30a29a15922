package client_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/kerberos"
)

// claims are what the gateway needs of a JSON Web Token (RFC 7519).
type claims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Subject  string `json:"sub"`
	Expires  int64  `json:"exp"`
}

// An issuer is whose tokens a gateway takes, and as whom it takes them.
type issuer struct {
	name, audience string
	key            ed25519.PublicKey
}

// verify returns the subject of a token of type EdDSA (RFC 8037). A library does more,
// such as finding keys; what it must not do less is here.
func (i issuer) verify(token string, now time.Time) (subject string, err error) {
	signed, sum, found := cutLast(token, ".")
	head, body, dot := strings.Cut(signed, ".")
	signature, err := base64.RawURLEncoding.DecodeString(sum)
	if !found || !dot || err != nil || !ed25519.Verify(i.key, []byte(signed), signature) {
		return "", errors.New("the token is not signed by its issuer")
	}
	var h struct {
		Algorithm string `json:"alg"`
	}
	var c claims
	for text, into := range map[string]any{head: &h, body: &c} {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil {
			return "", err
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return "", err
		}
	}
	switch {
	case h.Algorithm != "EdDSA":
		return "", fmt.Errorf("the token is of algorithm %q", h.Algorithm)
	case c.Issuer != i.name || c.Audience != i.audience || c.Subject == "":
		return "", errors.New("the token is another issuer's, or for another audience")
	case !now.Before(time.Unix(c.Expires, 0)):
		return "", errors.New("the token has expired")
	}
	return c.Subject, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// signedToken is what the issuer does, elsewhere.
func signedToken(key ed25519.PrivateKey, c claims) string {
	body, err := json.Marshal(c)
	if err != nil {
		log.Fatal(err)
	}
	signed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA"}`)) + "." + base64.RawURLEncoding.EncodeToString(body)
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(signed)))
}

// A gateway knows its users by tokens of another kind, and calls the server behind it as
// each of them. The KDC says where it may do so; the user is the application's word.
func ExampleNewTransport_actingForUsers() {
	realm, err := fakekdc.New(
		fakekdc.WithRealm("A.EXAMPLE"), fakekdc.WithUser("alice", "secret"), fakekdc.WithUser("bob", "other"), fakekdc.WithService("HTTP/localhost"),
		fakekdc.WithService("HTTP/gateway", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/localhost")))
	if err != nil {
		log.Fatal(err)
	}
	defer realm.Close()
	behind := fakeweb.Serve(realm, fakeweb.New(realm, "HTTP/localhost", fakeweb.Options{}), fakeweb.ServerOptions{})
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keytab := filepath.Join(dir, "gateway.keytab")
	if err := os.WriteFile(keytab, realm.Keytab("HTTP/gateway"), 0o600); err != nil {
		log.Fatal(err)
	}

	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	tokens := issuer{"https://login.example", "gateway", public}
	// Whom a subject is in the realm, the gateway says: not every subject is a user's name.
	users := map[string]string{"248289761001": "alice", "248289761002": "bob"}

	service, err := kerberos.FromKeytab(keytab, kerberos.SourceOptions{
		Principal: "HTTP/gateway", Krb5ConfText: realm.Config(), // Principal alone in earnest
	})
	if err != nil {
		log.Fatal(err)
	}
	rt, err := client.NewTransport(client.Options{Source: kerberos.NewImpersonator(service)})
	if err != nil {
		log.Fatal(err)
	}
	defer (&http.Client{Transport: rt}).CloseIdleConnections()
	upstream, err := url.Parse(behind.URL())
	if err != nil {
		log.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: rt, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.Out.Header.Del("Authorization") // it is for us
		r.Out.Header.Del("Cookie")
	}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		subject, err := tokens.verify(token, time.Now())
		user, known := users[subject]
		if err != nil || !known {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r.WithContext(kerberos.AsUser(r.Context(), user)))
	}))
	defer front.Close()

	alice := claims{tokens.name, tokens.audience, "248289761001", time.Now().Add(time.Hour).Unix()}
	bob, late, stranger := alice, alice, alice
	bob.Subject, late.Expires, stranger.Subject = "248289761002", time.Now().Unix(), "root"
	_, another, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, token := range []string{signedToken(private, alice), signedToken(private, bob), signedToken(private, late), signedToken(private, stranger), signedToken(another, alice), ""} {
		r, err := http.NewRequest(http.MethodGet, front.URL, nil)
		if err != nil {
			log.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := front.Client().Do(r)
		if err != nil {
			log.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Printf("%d %s", resp.StatusCode, b)
	}
	// Output:
	// 200 hello alice@A.EXAMPLE
	// 200 hello bob@A.EXAMPLE
	// 401 who are you?
	// 401 who are you?
	// 401 who are you?
	// 401 who are you?
}
