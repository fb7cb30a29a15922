package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// What is asked for stands in an AS-REQ, and nothing else does, as gokrb5 reads it.
func TestASRequestWire(t *testing.T) {
	for bits := range 16 {
		forwardable, proxiable, renewable, canonicalize := bits&1 != 0, bits&2 != 0, bits&4 != 0, bits&8 != 0
		t.Run(fmt.Sprintf("%04b", bits), func(t *testing.T) {
			k := newScripted(t, realmA)
			k.now = func() time.Time { return epoch }
			k.start()
			r := ASRequest{Client: alice, Keys: known(alice, k.password), Forwardable: forwardable, Proxiable: proxiable, Canonicalize: canonicalize, Lifetime: 3 * time.Hour}
			if renewable {
				r.RenewLife = 50 * time.Hour
			}
			if _, err := client(Options{Now: k.now}, k).AS(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			for i, req := range k.seen() {
				b := req.fields.ReqBody
				for bit, want := range map[int]bool{1: forwardable, 3: proxiable, 8: renewable, 15: canonicalize} {
					if req.option(bit) != want {
						t.Errorf("request %d: option %d is %v", i, bit, !want)
					}
				}
				if want := epoch.Add(3 * time.Hour).Truncate(time.Second); !b.Till.Equal(want) {
					t.Errorf("request %d: till %v", i, b.Till)
				}
				if want := map[bool]time.Time{true: epoch.Add(50 * time.Hour).Truncate(time.Second)}[renewable]; !b.RTime.Equal(want) {
					t.Errorf("request %d: renew till %v, want %v", i, b.RTime, want)
				}
				var kinds []int32
				for _, p := range req.fields.PAData {
					kinds = append(kinds, p.PADataType)
				}
				var want []int32
				if canonicalize {
					want = append(want, 149)
				}
				if i == 1 {
					want = append(want, 2)
				}
				if !slices.Equal(kinds, want) {
					t.Errorf("request %d: pre-authentication %v, want %v", i, kinds, want)
				}
				if i < 1 {
					continue
				}
				var ed types.EncryptedData
				var ts types.PAEncTSEnc
				if err := ed.Unmarshal(req.fields.PAData[len(want)-1].PADataValue); err != nil {
					t.Fatal(err)
				}
				plain, err := crypto.DecryptEncPart(ed, k.clientKey(ed.EType), krb.UsagePAEncTimestamp)
				if err == nil {
					err = ts.Unmarshal(plain)
				}
				if err != nil {
					t.Fatal(err)
				}
				if at := ts.PATimestamp.Add(time.Duration(ts.PAUSec) * time.Microsecond); at.Sub(epoch).Abs() > time.Millisecond || ts.PAUSec < 678 {
					t.Errorf("timestamp %v and %d µs, want %v", ts.PATimestamp, ts.PAUSec, epoch)
				}
			}
			if n := len(k.seen()); n != 2 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// told is what a KDC says of the salt of a key, in one of the ways that there are.
func told(t *testing.T, how string, etype int32, salt string) types.PADataSequence {
	t.Helper()
	var kind int32
	var v any
	switch how {
	case "nothing":
		return nil
	case "PW-SALT":
		return types.PADataSequence{{PADataType: 3, PADataValue: []byte(salt)}}
	case "ETYPE-INFO":
		kind, v = 11, types.ETypeInfo{{EType: etype, Salt: []byte(salt)}}
	case "ETYPE-INFO2":
		kind, v = 19, types.ETypeInfo2{{EType: 23, Salt: "not for this type"}, {EType: etype, Salt: salt}}
	}
	b, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return types.PADataSequence{{PADataType: kind, PADataValue: b}}
}

// The salt is what the KDC says of it, in the reply rather than in its demand for
// pre-authentication, if it says so no less well; and the default where it says nothing.
func TestSaltOfTheReply(t *testing.T) {
	ways := []string{"nothing", "PW-SALT", "ETYPE-INFO", "ETYPE-INFO2"}
	for before, first := range append(ways, "no demand") {
		for after, second := range ways {
			for _, canonicalize := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, then %s, canonicalize %v", first, second, canonicalize), func(t *testing.T) {
					k := newScripted(t, realmA)
					k.etypes = []int32{18}
					name := "alice"
					if first == "no demand" {
						k.preauth, before = false, -1
					} else if first != "nothing" {
						k.salt = "the first salt"
					}
					salt := k.salt
					if canonicalize {
						name = "alice.true"
					}
					switch {
					case after > 0 && after >= before:
						salt = "the second salt"
					case before <= 0:
						salt = realmA + name // the default of who it is
					}
					k.padata = func(*request) []byte {
						b, err := asn1.Marshal(append(told(t, first, 18, k.salt), types.PAData{PADataType: 2}))
						if err != nil {
							t.Error(err)
						}
						return b
					}
					k.change = func(a *answer) {
						key, err := keyOfPassword{18, k.password, salt}.key()
						if err != nil {
							t.Error(err)
						}
						a.key = theirKey(key)
						a.fields.PAData = told(t, second, 18, "the second salt")
						a.fields.CName.NameString = []string{name}
					}
					k.start()
					got, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: known(alice, k.password), Canonicalize: canonicalize})
					if err != nil || got.Client.Components[0] != name {
						t.Errorf("%v, %v", got, err)
					}
				})
			}
		}
	}
}

// An error says once what was wanted, of whom, why it failed and what to try.
func TestErrorText(t *testing.T) {
	refusal := &krb.KRBError{Code: krb.CodePolicy}
	late := &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
	of := func(edit func(e *Error)) *Error {
		e := &Error{Exchange: "AS", Principal: alice, Server: tgsA, Realm: realmA, Path: []string{realmA}, Err: errors.New("why")}
		edit(e)
		return e
	}
	for want, e := range map[string]*Error{
		`AS exchange for alice@A.TEST, realm "A.TEST": why`:                                          of(func(*Error) {}),
		`AS exchange for alice@A.TEST, realm "A.TEST": why; try this`:                                of(func(e *Error) { e.Hint = "try this" }),
		`AS exchange for alice@A.TEST, service HTTP/www.a.test@A.TEST, realm "A.TEST": why`:          of(func(e *Error) { e.Server = web }),
		`TGS exchange for alice@A.TEST, service krbtgt/A.TEST@A.TEST, realm "A.TEST": why`:           of(func(e *Error) { e.Exchange = "TGS" }),
		`AS exchange for alice@A.TEST, by way of realms "A.TEST" > "B.TEST": why`:                    of(func(e *Error) { e.Path = []string{realmA, realmB} }),
		`AS exchange for alice@A.TEST, realm "A.TEST": `:                                             of(func(e *Error) { e.Err = nil }),
		`AS exchange for alice@A.TEST, realm "A.TEST": why: the KDC's clock is 1h0m0s ahead of ours`: of(func(e *Error) { e.Skew = time.Hour }),
		`AS exchange for alice@A.TEST, realm "A.TEST": why: the KDC's clock is 2s behind ours`:       of(func(e *Error) { e.Skew = -1900 * time.Millisecond }),
		`AS exchange for alice@A.TEST, realm "A.TEST": why (KDCs asked: a:88/udp replied)`:           of(func(e *Error) { e.KDCs = []Attempt{{"a:88", "udp", nil}} }),
		`AS exchange for alice@A.TEST, realm "A.TEST": why (KDCs asked: a:88/udp replied, b:88/tcp gone); try this`: of(func(e *Error) {
			e.KDCs, e.Hint = []Attempt{{"a:88", "udp", nil}, {"b:88", "tcp", errors.New("gone")}}, "try this"
		}),
		`AS exchange for alice@A.TEST, realm "A.TEST": ` + refusal.Error() + ` (KDCs asked: a:88/udp answered so)`: of(func(e *Error) { e.Err, e.KDCs = refusal, []Attempt{{"a:88", "udp", refusal}} }),
		`AS exchange for alice@A.TEST, realm "A.TEST": why; asked for in vain: HTTP/www.a.test@A.TEST []`:          of(func(e *Error) { e.Candidates = []Candidate{{web, nil}} }),
		`AS exchange for alice@A.TEST, realm "A.TEST": why; asked for in vain: HTTP/www.a.test@A.TEST [why], krbtgt/A.TEST@A.TEST [why]; try this`: of(func(e *Error) {
			e.Candidates, e.Hint = []Candidate{{web, of(func(*Error) {})}, {tgsA, of(func(*Error) {})}}, "try this"
		}),
	} {
		if got := e.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	e := of(func(e *Error) {
		e.KDCs = []Attempt{{"a", "udp", nil}, {"b", "udp", late}}
		e.Candidates = []Candidate{{web, nil}, {tgsA, of(func(e *Error) { e.Err = refusal })}}
	})
	if all := e.Unwrap(); len(all) != 3 || slices.Contains(all, nil) || !errors.Is(e, late) || !errors.Is(e, refusal) {
		t.Errorf("wraps %v", all)
	}
	for name, tc := range map[string]struct {
		e                                *Error
		temporary, timeout, dead, client bool
	}{
		"none":                   {of(func(*Error) {}), false, false, false, false},
		"busy":                   {of(func(e *Error) { e.Kind, e.Code = KindRefused, krb.CodeUnavailable }), true, false, false, false},
		"busy, and another kind": {of(func(e *Error) { e.Kind, e.Code = KindReply, krb.CodeUnavailable }), false, false, false, false},
		"refused":                {of(func(e *Error) { e.Kind, e.Code = KindRefused, krb.CodePolicy }), false, false, false, false},
		"unreachable":            {of(func(e *Error) { e.Kind = KindUnreachable }), true, false, false, false},
		"late":                   {of(func(e *Error) { e.Kind, e.Err = KindUnreachable, late }), true, true, false, false},
		"one of them late":       {of(func(e *Error) { e.Kind, e.KDCs = KindUnreachable, []Attempt{{"a", "udp", nil}, {"b", "udp", late}} }), true, true, false, false},
		"late, and yet refused":  {of(func(e *Error) { e.Kind, e.KDCs = KindRefused, []Attempt{{"b", "udp", late}} }), false, false, false, false},
		"cancelled":              {of(func(e *Error) { e.Kind, e.Err = KindUnreachable, context.Canceled }), false, false, false, false},
		"no KDC":                 {of(func(e *Error) { e.Kind = KindNoKDC }), false, false, false, false},
		"no KDC, DNS late":       {of(func(e *Error) { e.Kind, e.Err = KindNoKDC, &net.DNSError{IsTimeout: true} }), true, false, false, false},
		"no KDC, DNS busy":       {of(func(e *Error) { e.Kind, e.Err = KindNoKDC, &net.DNSError{IsTemporary: true} }), true, false, false, false},
		"no KDC, DNS says so":    {of(func(e *Error) { e.Kind, e.Err = KindNoKDC, &net.DNSError{IsNotFound: true} }), false, false, false, false},
		"a candidate's KDC is busy": {of(func(e *Error) {
			e.Candidates = []Candidate{{web, nil}, {web, of(func(e *Error) { e.Kind = KindUnreachable })}}
		}), true, false, false, false},
		"expired ticket":          {of(func(e *Error) { e.Exchange, e.Kind, e.Code = "TGS", KindRefused, krb.CodeTicketExpired }), false, false, true, true},
		"expired ticket, renewed": {of(func(e *Error) { e.Kind, e.Code = KindRefused, krb.CodeTicketExpired }), false, false, false, true},
		"expired, of another realm": {of(func(e *Error) {
			e.Exchange, e.Kind, e.Code, e.Path = "TGS", KindRefused, krb.CodeTicketExpired, []string{realmA, realmB}
		}), false, false, false, true},
		"expired, said by nobody": {of(func(e *Error) { e.Exchange, e.Kind, e.Code = "TGS", KindSkew, krb.CodeTicketExpired }), false, false, false, false},
		"the realm's key changed": {of(func(e *Error) { e.Exchange, e.Kind, e.Code = "TGS", KindRefused, krb.CodeBadIntegrity }), false, false, true, false},
		"a wrong key":             {of(func(e *Error) { e.Kind, e.Code = KindKey, krb.CodePreauthFailed }), false, false, false, true},
	} {
		if got := [4]bool{tc.e.Temporary(), tc.e.Timeout(), tc.e.DeadTicket(), tc.e.Credentials()}; got != [4]bool{tc.temporary, tc.timeout, tc.dead, tc.client} {
			t.Errorf("%s: temporary, timeout, dead ticket, credentials: %v", name, got)
		}
	}
	if !strings.Contains(of(func(e *Error) { e.Realm = "A\x1b[1m" }).Error(), `"A\x1b[1m"`) {
		t.Error("a name is written as it stands")
	}
}
