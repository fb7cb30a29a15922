package kdcclient

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A forgery is a reply to a service that asks for a user's ticket, in all its parts.
type forgery struct {
	Clear struct { // which anybody on the way can change
		Client krb.Principal
		Ticket krb.TicketFields
		Sealed krb.EncryptedData
		Type   int32 // of the padata
		UserID string
		Sum    krb.Checksum
		Gone   bool // the padata is taken out
	}
	User    krb.S4UUserID     // which the KDC signs
	Part    krb.EncKDCRepPart // which it seals
	Options uint32            // PA-PAC-OPTIONS in the part
	Kind    int32             // of these
	Inside  bool              // PA-S4U-X509-USER there, too
}

var (
	gateway = krb.NewPrincipal(realmA, "HTTP", "gateway.test")
	atB     = krb.Principal{Type: krb.NTEnterprise, Components: []string{"HTTP/gateway.test@" + realmA}, Realm: "B.TEST"}
	bob     = krb.NewPrincipal("B.TEST", "bob")
	backToA = krb.TGS(realmA, "B.TEST")
)

// An errand is what was asked for, and what an honest KDC says.
type errand struct {
	realm string // that is asked
	asked wanted
	given krb.Principal // what the ticket is for
	whose krb.Principal // outside
	user  krb.Principal // signed; zero where it is no S4U2Self
	rbcd  bool
}

var errands = map[string]errand{
	"self": {realmA, wanted{server: gateway, canonicalize: true, s4u: s4u{self: true, user: alice}}, gateway, alice, alice, false},
	"self by an enterprise name": {realmA, wanted{server: gateway, canonicalize: true, s4u: s4u{self: true, learn: true,
		user: krb.Principal{Type: krb.NTEnterprise, Components: []string{"alice@corp"}, Realm: realmA}}}, gateway, alice, alice, false},
	"self by certificate": {realmA, wanted{server: gateway, canonicalize: true, s4u: s4u{self: true, learn: true, certificate: []byte("DER"),
		user: krb.Principal{Realm: realmA}}}, gateway, alice, alice, false},
	"self, on the way":                 {"B.TEST", wanted{server: atB, canonicalize: true, s4u: s4u{self: true, user: bob}}, backToA, gateway, bob, false},
	"self, on the way, by certificate": {"B.TEST", wanted{server: atB, canonicalize: true, s4u: s4u{self: true, learn: true, certificate: []byte("DER"), user: krb.Principal{Realm: "B.TEST"}}}, backToA, gateway, bob, false},
	"self, back home":                  {realmA, wanted{server: gateway, canonicalize: true, s4u: s4u{self: true, user: bob}}, gateway, bob, bob, false},
	"proxy":                            {realmA, wanted{server: web, canonicalize: true, s4u: s4u{evidence: &krb.Ticket{}, of: alice}}, web, alice, krb.Principal{}, true},
	"proxy, on the way":                {realmA, wanted{server: web, canonicalize: true, s4u: s4u{evidence: &krb.Ticket{}, of: alice}}, krb.TGS("B.TEST", realmA), gateway, krb.Principal{}, true},
	"proxy, at the end": {"B.TEST", wanted{server: krb.NewPrincipal("B.TEST", "HTTP", "far.test"), canonicalize: true,
		s4u: s4u{evidence: &krb.Ticket{}, of: alice, across: true}}, krb.NewPrincipal("B.TEST", "HTTP", "far.test"), alice, krb.Principal{}, true},
}

const forgedNonce = 4711

var forgedTill = epoch.Add(10 * time.Hour)

// honest is what a KDC makes of an errand.
func (e *errand) honest() *forgery {
	f := &forgery{User: krb.S4UUserID{Nonce: forgedNonce, User: clonePrincipal(e.user), Options: krb.S4UReplyUsage}, Kind: krb.PAPACOptions}
	f.Part = krb.EncKDCRepPart{
		Key: fuzzKey, Nonce: forgedNonce, Flags: krb.FlagForwardable, AuthTime: epoch.Truncate(time.Second), StartTime: epoch.Truncate(time.Second),
		EndTime: forgedTill.Truncate(time.Second), Server: clonePrincipal(e.given),
	}
	if e.rbcd {
		f.Options = krb.PACOptionRBCD
	}
	return f
}

func clonePrincipal(p krb.Principal) krb.Principal {
	p.Components = slices.Clone(p.Components)
	return p
}

// reply seals and signs a forgery, has the clear parts changed, and hands it to a client.
func (e *errand) reply(t testing.TB, f *forgery, change func(*forgery)) (*krb.Ticket, *tgsCall, error) {
	t.Helper()
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	part := f.Part
	if e.rbcd {
		part.PAData = append(slices.Clip(part.PAData), krb.PAData{Type: f.Kind, Value: krb.MarshalPAPACOptions(f.Options)})
	}
	if f.Inside {
		part.PAData = append(slices.Clip(part.PAData), krb.PAData{Type: krb.PAS4UX509User, Value: []byte("more")})
	}
	sealed := must(fuzzKey.Seal(krb.UsageTGSRepSubkey, must(part.Marshal(krb.MsgTGSRep))))
	f.Clear.Client = clonePrincipal(e.whose)
	f.Clear.Ticket = krb.TicketFields{Server: clonePrincipal(e.given), EncPart: krb.EncryptedData{Etype: fuzzKey.Etype(), Kvno: 1, Cipher: []byte("what the service alone can read")}}
	f.Clear.Sealed = krb.EncryptedData{Etype: fuzzKey.Etype(), Cipher: sealed}
	if !e.user.IsZero() {
		id := must(f.User.Marshal())
		f.Clear.Type, f.Clear.UserID = krb.PAS4UX509User, string(id)
		f.Clear.Sum = krb.Checksum{Type: fuzzKey.ChecksumType(), Value: must(fuzzKey.Checksum(krb.UsageS4UX509Reply, id))}
	}
	if change != nil {
		change(f)
	}
	rep := &krb.KDCRep{Client: f.Clear.Client, Ticket: f.Clear.Ticket, RawTicket: []byte("Ticket"), EncPart: f.Clear.Sealed}
	if f.Clear.Type != 0 && !f.Clear.Gone {
		rep.PAData = []krb.PAData{{Type: f.Clear.Type, Value: must(krb.PAS4UX509{UserID: []byte(f.Clear.UserID), Checksum: f.Clear.Sum}.Marshal())}}
	}
	return e.accept(rep)
}

// accept hands a reply to a client that asked for what the errand is.
func (e *errand) accept(rep *krb.KDCRep) (*krb.Ticket, *tgsCall, error) {
	g := &tgsCall{c: New(Options{Now: func() time.Time { return epoch }}), o: TGSOptions{Etypes: krb.DefaultEtypes(false)}, tgt: &krb.Ticket{Client: gateway, Key: fuzzKey}}
	g.call = call{exchange: "TGS", realm: e.realm, client: gateway, server: gateway}
	q := &tgsRequest{wanted: e.asked, body: &krb.KDCReqBody{Nonce: forgedNonce, Till: forgedTill}, subkey: fuzzKey, now: epoch}
	got, err := g.accept(&reply{rep: rep, at: epoch}, q)
	return got, g, err
}

// is verifies that what was accepted is what was asked for.
func (e *errand) is(got *krb.Ticket, g *tgsCall) error {
	if !got.Client.Equal(e.whose) || !got.Server.Equal(e.given) || !e.user.IsZero() && !g.user.Equal(e.user) {
		return fmt.Errorf("%v, of user %v", got, g.user)
	}
	return nil
}

// leaves calls f with every value that v is made of, and how to get there.
func leaves(v reflect.Value, path string, f func(path string, v reflect.Value)) {
	switch v.Interface().(type) {
	case krb.Key, time.Time, []byte:
		f(path, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, f)
		}
	case reflect.Slice:
		f(path, v)
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s.%d", path, i), f)
		}
	default:
		f(path, v)
	}
}

// changes are other values for v.
func changes(v reflect.Value) []any {
	switch x := v.Interface().(type) {
	case krb.Key:
		return nil // whatever the KDC says
	case time.Time:
		return []any{x.Add(24 * time.Hour), x.Add(-24 * time.Hour)}
	case []byte:
		out := []any{append(slices.Clone(x), 0)}
		for i := range x {
			c := slices.Clone(x)
			c[i] ^= 1
			out = append(out, c)
		}
		return append(out, x[:len(x)/2])
	case string:
		out := []any{"MALLORY", x + "x"}
		for i := range min(len(x), 40) {
			c := []byte(x)
			c[i] ^= 1
			out = append(out, string(c))
		}
		return out
	case bool:
		return []any{!x}
	case int32:
		return []any{x + 1, -x - 1}
	case uint32:
		return []any{x + 1, x ^ 1<<31}
	case int64:
		return []any{x + 1, x - 1}
	case []string:
		return []any{append(slices.Clone(x), "more"), []string(nil), []string{"mallory"}, []string{strings.Join(x, "/") + "/"}}
	case []krb.PAData:
		return nil
	}
	panic(v.Type().String())
}

// TestS4UForgedFields changes every field of every reply, what is clear and what a KDC
// would have to seal: none is accepted, but for what the table excuses.
func TestS4UForgedFields(t *testing.T) {
	// What nothing is compared with, or no one but the service can judge.
	excused := map[string]string{
		".Clear.Client.Type":           "a hint (RFC 4120 section 6.2)",
		".Clear.Ticket.Server.Type":    "likewise",
		".User.User.Type":              "likewise",
		".Part.Server.Type":            "likewise",
		".Clear.Ticket.EncPart.Etype":  "the service's",
		".Clear.Ticket.EncPart.Kvno":   "the service's",
		".Clear.Ticket.EncPart.Cipher": "the service's: whose it is was sealed for us beside it",
		".Clear.Sealed.Kvno":           "of a session key",
		".User.Certificate":            "the name counts",
		".User.Options":                "says how it is signed, and the test signs in one way",
		".Part.Flags":                  "the KDC's to say",
		".Part.AuthTime":               "likewise",
		".Part.RenewTill":              "likewise",
		".Part.Addresses":              "likewise",
		".Part.Key":                    "likewise",
		".Part.PAData":                 "see Options and Inside",
	}
	for name, e := range errands {
		t.Run(name, func(t *testing.T) {
			got, g, err := e.reply(t, e.honest(), nil)
			if err != nil {
				t.Fatalf("an honest KDC: %v", err)
			}
			if err := e.is(got, g); err != nil {
				t.Fatal(err)
			}
			tried := 0
			for _, clear := range []bool{true, false} {
				var paths []string
				probe := e.honest()
				if _, _, err := e.reply(t, probe, nil); err != nil { // so that the clear part is there
					t.Fatal(err)
				}
				leaves(reflect.ValueOf(probe).Elem(), "", func(path string, _ reflect.Value) {
					if strings.HasPrefix(path, ".Clear") == clear {
						paths = append(paths, path)
					}
				})
				for _, path := range paths {
					if _, ok := excused[path]; ok || !e.has(path) {
						continue
					}
					for i := 0; ; i++ {
						done, what := false, ""
						set := func(f *forgery) {
							leaves(reflect.ValueOf(f).Elem(), "", func(p string, v reflect.Value) {
								if p != path || what != "" {
									return
								}
								list := changes(v)
								if i >= len(list) {
									done = true
									return
								}
								what = fmt.Sprintf("%v in place of %v", list[i], v.Interface())
								v.Set(reflect.ValueOf(list[i]))
							})
						}
						f := e.honest()
						var got *krb.Ticket
						var err error
						if clear {
							got, _, err = e.reply(t, f, set)
						} else {
							set(f)
							got, _, err = e.reply(t, f, nil)
						}
						if done {
							break
						}
						if tried++; err == nil && !e.harmless(path, i) {
							t.Errorf("%s: %s: accepted %v", path, what, got)
						}
					}
				}
			}
			if tried < 100 {
				t.Errorf("%d changes were tried", tried)
			}
		})
	}
}

// has reports whether a field plays a part in the errand.
func (e *errand) has(path string) bool {
	switch {
	case strings.HasPrefix(path, ".User"), path == ".Clear.Type", path == ".Clear.UserID", strings.HasPrefix(path, ".Clear.Sum"), path == ".Clear.Gone", path == ".Inside":
		return !e.user.IsZero() && (path != ".Inside")
	case path == ".Options", path == ".Kind":
		return e.rbcd && (e.asked.across || !e.given.SameName(e.asked.server))
	}
	return true
}

// harmless are single changes that a KDC may make: a ticket that began earlier, and
// further options beside the one that counts. Whose a certificate is, the user's realm
// says, and nobody after it.
func (e *errand) harmless(path string, i int) bool {
	return path == ".Part.StartTime" && i == 1 || path == ".Options" ||
		e.asked.learn && e.whose.Equal(gateway) && (path == ".User.User.Components.0" || path == ".User.User.Components" && i != 1)
}

// TestS4UForgedMore: what is more than one field.
func TestS4UForgedMore(t *testing.T) {
	service := func(f *forgery) { f.User.User = gateway; f.Clear.Client = gateway }
	for name, e := range errands {
		for what, change := range map[string]struct {
			before, after func(*forgery)
			only          func() bool
		}{
			"the service's own ticket":     {service, func(f *forgery) { f.Clear.Client = gateway }, func() bool { return !e.whose.Equal(gateway) }},
			"the service is the user":      {service, nil, func() bool { return !e.user.IsZero() }},
			"no name":                      {func(f *forgery) { f.User.User.Components = nil }, nil, func() bool { return !e.user.IsZero() }},
			"taken out":                    {nil, func(f *forgery) { f.Clear.Gone = true }, func() bool { return !e.user.IsZero() }},
			"taken out, and there inside":  {func(f *forgery) { f.Inside = true }, func(f *forgery) { f.Clear.Gone = true }, func() bool { return !e.user.IsZero() }},
			"the user of another realm":    {func(f *forgery) { f.User.User.Realm = "C.TEST" }, func(f *forgery) { f.Clear.Client.Realm = "C.TEST" }, func() bool { return !e.user.IsZero() && !e.whose.Equal(gateway) }},
			"silent of targets":            {func(f *forgery) { f.Options = 0 }, nil, func() bool { return e.rbcd && (e.asked.across || e.whose.Equal(gateway)) }},
			"a ticket for the asked realm": {func(f *forgery) { f.Part.Server = krb.TGS(e.realm, e.realm) }, func(f *forgery) { f.Clear.Ticket.Server = krb.TGS(e.realm, e.realm) }, func() bool { return true }},
			"the user's ticket, referred":  {func(f *forgery) { f.Part.Server = krb.TGS("C.TEST", e.realm) }, func(f *forgery) { f.Clear.Ticket.Server = krb.TGS("C.TEST", e.realm) }, func() bool { return !e.whose.Equal(gateway) }},
			"our request's signature": {nil, func(f *forgery) {
				sum, err := fuzzKey.Checksum(krb.UsageS4UX509Request, []byte(f.Clear.UserID))
				if err != nil {
					t.Fatal(err)
				}
				f.Clear.Sum.Value = sum
			}, func() bool { return !e.user.IsZero() }},
		} {
			if !change.only() {
				continue
			}
			f := e.honest()
			if change.before != nil {
				change.before(f)
			}
			if got, _, err := e.reply(t, f, change.after); err == nil {
				t.Errorf("%s, %s: accepted %v", name, what, got)
			}
		}
	}
}

// FuzzS4UReply: whatever a KDC signs of the user and seals for the client, a ticket that
// is accepted is the user's, or on the way to another realm the service's.
func FuzzS4UReply(f *testing.F) {
	var names []string
	for name := range errands {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		e := errands[name]
		h := e.honest()
		h.Part.PAData = []krb.PAData{{Type: krb.PAPACOptions, Value: krb.MarshalPAPACOptions(krb.PACOptionRBCD)}}
		id, err := h.User.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		plain, err := h.Part.Marshal(krb.MsgTGSRep)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), id, plain, e.whose.String(), true)
		f.Add(uint8(i), id, plain, gateway.String(), false)
		f.Add(uint8(i), id[:len(id)/2], plain, e.whose.String(), true)
	}
	f.Fuzz(func(t *testing.T, which uint8, id, plain []byte, whose string, signed bool) {
		e := errands[names[int(which)%len(names)]]
		client, err := krb.ParsePrincipal(whose)
		if err != nil {
			return
		}
		part, err := krb.ParseEncKDCRepPart(plain)
		if err != nil {
			part = &krb.EncKDCRepPart{}
		}
		sealed, err := fuzzKey.Seal(krb.UsageTGSRepSubkey, plain)
		if err != nil {
			t.Fatal(err)
		}
		rep := &krb.KDCRep{Client: client, RawTicket: []byte("Ticket"), Ticket: krb.TicketFields{Server: part.Server}, EncPart: krb.EncryptedData{Etype: fuzzKey.Etype(), Cipher: sealed}}
		var user krb.Principal
		if len(id) > 0 {
			usage := krb.UsageS4UX509Reply
			parsed, err := krb.ParseS4UUserID(id)
			if err == nil && parsed.Options&krb.S4UReplyUsage == 0 {
				usage = krb.UsageS4UX509Request
			}
			sum := make([]byte, 12)
			if signed {
				user = parsed.User
				if sum, err = fuzzKey.Checksum(usage, id); err != nil {
					t.Fatal(err)
				}
			}
			if pa, err := (krb.PAS4UX509{UserID: id, Checksum: krb.Checksum{Type: fuzzKey.ChecksumType(), Value: sum}}).Marshal(); err == nil {
				rep.PAData = []krb.PAData{{Type: krb.PAS4UX509User, Value: pa}}
			}
		}
		got, g, err := e.accept(rep)
		if err != nil {
			return
		}
		onward := !got.Server.SameName(e.asked.server)
		switch {
		case onward && (!got.Client.Equal(gateway) || !got.Server.IsTGS() || got.Server.Components[1] == e.realm):
			t.Fatalf("%s: on the way, %v", names[int(which)%len(names)], got)
		case !onward && e.asked.evidence != nil && !got.Client.Equal(e.asked.of):
			t.Fatalf("%v", got)
		case e.asked.self && (!signed || user.IsZero() || !g.user.Equal(user) || user.Realm != e.asked.user.Realm || !e.asked.learn && !user.Equal(e.asked.user)):
			t.Fatalf("%v, of user %v, signed was %v", got, g.user, user)
		case !onward && e.asked.self && (!got.Client.Equal(user) || got.Client.Equal(gateway)):
			t.Fatalf("%v, of user %v", got, user)
		case got.Server.Realm != e.realm || got.EndTime.After(forgedTill):
			t.Fatalf("%v", got)
		}
	})
}
