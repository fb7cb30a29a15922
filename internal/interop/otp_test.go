//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kerbchain/kerbchain/kerberos"
)

// A radius is a server on loopback that takes each of its one-time passwords once (RFC
// 2865).
type radius struct {
	conn   net.PacketConn
	secret string
	wg     sync.WaitGroup

	mu   sync.Mutex
	good map[string]int    // how often a password may still be used
	seen []string          // user and password, each request once
	sent map[string][]byte // answers to requests, which are repeated
}

func startRadius(t *testing.T, secret string) *radius {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &radius{conn: conn, secret: secret, good: make(map[string]int), sent: make(map[string][]byte)}
	r.wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := r.answer(bytes.Clone(buf[:n])); answer != nil {
				conn.WriteTo(answer, from)
			}
		}
	})
	t.Cleanup(func() { conn.Close(); r.wg.Wait() })
	return r
}

func (r *radius) put(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		r.good[v]++
	}
}

func (r *radius) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.seen
	r.seen = nil
	return out
}

// answer takes an Access-Request, and accepts or rejects it.
func (r *radius) answer(q []byte) []byte {
	if len(q) < 20 || q[0] != 1 || int(binary.BigEndian.Uint16(q[2:])) != len(q) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if again := r.sent[string(q)]; again != nil {
		return again
	}
	auth := q[4:20]
	var user, password string
	signed := false // libkrad of 1.20 knows no Message-Authenticator (RFC 3579), and later ones want it
	for rest := q[20:]; len(rest) >= 2 && int(rest[1]) >= 2 && int(rest[1]) <= len(rest); rest = rest[rest[1]:] {
		value := rest[2:rest[1]]
		switch rest[0] {
		case 1:
			user = string(value)
		case 2:
			password = string(bytes.TrimRight(r.reveal(auth, value), "\x00"))
		case 80:
			signed = true
		}
	}
	r.seen = append(r.seen, user+" "+password)
	code := byte(3)
	if r.good[password] > 0 {
		r.good[password]--
		code = 2
	}
	a := append([]byte{code, q[1], 0, 20}, auth...)
	if signed {
		a[3] += 18
		a = append(append(a, 80, 18), make([]byte, 16)...)
		m := hmac.New(md5.New, []byte(r.secret))
		m.Write(a)
		copy(a[22:], m.Sum(nil))
	}
	sum := md5.Sum(append(bytes.Clone(a), r.secret...))
	copy(a[4:], sum[:])
	r.sent[string(q)] = a
	return a
}

// reveal opens a User-Password (RFC 2865 section 5.2).
func (r *radius) reveal(auth, hidden []byte) (plain []byte) {
	for before := auth; len(hidden) >= 16; before, hidden = hidden[:16], hidden[16:] {
		mask := md5.Sum(append([]byte(r.secret), before...))
		for i := range 16 {
			plain = append(plain, hidden[i]^mask[i])
		}
	}
	return plain
}

// TestOTPOfMIT: MIT's KDC takes from us, as from kinit -T, one-time passwords that a RADIUS
// server verifies, each once; a wrong one is sent once, by us; and without armour, or
// somebody to ask, the error says what is missing.
func TestOTPOfMIT(t *testing.T) {
	t.Parallel()
	rad := startRadius(t, "of RADIUS")
	k := &kdc{name: "OTP.TEST", addr: freePorts(t, 1)[0], dir: filepath.Join(tempDir(t), "kdc")}
	text := soloConfig(k.name, "kdc = "+k.addr) + fmt.Sprintf("[otp]\n\tDEFAULT = {\n\t\tserver = %s\n\t\tsecret = %s\n\t\ttimeout = 30\n\t\tretries = 2\n\t\tstrip_realm = true\n\t}\n", rad.conn.LocalAddr(),
		write(t, filepath.Join(t.TempDir(), "secret"), rad.secret))
	k.start(t, text, "addprinc -clearpolicy +requires_preauth -nokey otto", `set_string otto otp "[{""type"":""DEFAULT""}]"`,
		"addprinc -clearpolicy +requires_preauth -pw secret alice", `set_string alice otp "[{""type"":""DEFAULT"",""username"":""al""}]"`,
		"addprinc -clearpolicy +requires_preauth +requires_hwauth -pw secret hugo",
		"addprinc -clearpolicy -randkey host/armor", "addprinc -clearpolicy -randkey HTTP/localhost", "ktadd -k "+k.path("host.keytab")+" host/armor")
	conf := write(t, k.path("client.conf"), text)
	env := environment{"KRB5_CONFIG": conf, "HOME": k.dir, "KRB5CCNAME": "FILE:" + k.path("cc"), "KRB5_TRACE": k.path("trace")}
	showOnFailure(t, k.path("trace"))
	must(t, env, "", tool(t, "kinit"), "-c", k.path("armor"), "-k", "-t", k.path("host.keytab"), "host/armor")
	o := kerberos.SourceOptions{Krb5Conf: []string{conf}, Getenv: func(string) string { return "" }}
	host, err := kerberos.FromCCache("FILE:"+k.path("armor"), o)
	if err != nil {
		t.Fatal(err)
	}
	ticket := func(t *testing.T, user, password string, armor *kerberos.Source, otp func(context.Context, kerberos.OTPChallenge) (kerberos.OTPAnswer, error)) error {
		t.Helper()
		secret := kerberos.Secret{}
		if password != "" {
			secret = kerberos.NewSecret(password)
		}
		s, err := kerberos.FromPassword(secret, kerberos.SourceOptions{Principal: user, Krb5Conf: o.Krb5Conf, Getenv: o.Getenv, Armor: armor, OTP: otp, Logins: new(kerberos.Logins)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.ServiceTicket(t.Context(), "HTTP/localhost")
		return err
	}
	for _, user := range []string{"otto", "alice"} {
		as := map[string]string{"otto": "otto", "alice": "al"}[user]
		for value, works := range map[string]bool{"123456": true, "a long one-time password, longer than one block": true, "654321": false} {
			t.Run(user+" "+value, func(t *testing.T) {
				if works {
					rad.put(value, value)
				}
				rad.requests()
				kinit := run(t, env, value+"\n", tool(t, "kinit"), "-T", k.path("armor"), user)
				theirs := rad.requests()
				asked := 0
				err := ticket(t, user, "", host, func(_ context.Context, c kerberos.OTPChallenge) (kerberos.OTPAnswer, error) {
					asked++
					if c.Principal != user+"@"+k.name || len(c.Tokens) != 1 {
						t.Errorf("asked for %+v", c)
					}
					return kerberos.OTPAnswer{Value: kerberos.NewSecret(value)}, nil
				})
				ours := rad.requests()
				if (kinit.code == 0) != works || (err == nil) != works || asked != 1 || len(ours) != 1 || ours[0] != as+" "+value || len(theirs) != 1 || theirs[0] != ours[0] {
					t.Errorf("%v, %q; kinit -T: %v, %q", err, ours, kinit, theirs)
				}
				if err != nil && !strings.Contains(err.Error(), "KDC_ERR_PREAUTH_FAILED") {
					t.Error(err)
				}
			})
		}
	}
	otp := func(context.Context, kerberos.OTPChallenge) (kerberos.OTPAnswer, error) {
		return kerberos.OTPAnswer{}, errors.New("nobody is there")
	}
	for name, tc := range map[string]struct {
		user, password string
		armor          *kerberos.Source
		otp            func(context.Context, kerberos.OTPChallenge) (kerberos.OTPAnswer, error)
		says           string
	}{
		"nobody asked":         {"otto", "secret", host, nil, "set OTP"},
		"no armour":            {"otto", "secret", nil, nil, "set Armor"},
		"nobody there":         {"otto", "", host, otp, "nobody is there"},
		"the password will do": {"alice", "secret", host, nil, ""},
		"hardware":             {"hugo", "secret", nil, nil, "set Armor"},
		"hardware, armoured":   {"hugo", "secret", host, nil, "requires_hwauth"},
	} {
		t.Run(name, func(t *testing.T) {
			err := ticket(t, tc.user, tc.password, tc.armor, tc.otp)
			if (err == nil) != (tc.says == "") || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Error(err)
			}
			if rad.requests() != nil {
				t.Error("something was sent")
			}
		})
	}
}
