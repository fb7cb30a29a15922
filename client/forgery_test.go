package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/internal/dertest"
	"github.com/kerbchain/kerbchain/internal/gss"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
	"github.com/kerbchain/kerbchain/internal/testmain"
	"github.com/kerbchain/kerbchain/middleware"
	"github.com/kerbchain/kerbchain/middleware/mutual"
	"github.com/kerbchain/kerbchain/middleware/preemptive"
)

const otherSPN = "HTTP/other.example"

// A forgery is one way to answer a token, and what is to be made of it. What is
// genuine has the reason none; what counts as no token at all has NoToken.
type forgery struct {
	lines  func(*visitor) []string
	reason middleware.Reason
	code   int32
}

// rep changes the AP-REP.
func ofRep(reason middleware.Reason, changes ...func(*visitor, *rep)) forgery {
	return forgery{lines: func(v *visitor) []string {
		return v.with(v.apRep(func(r *rep) {
			for _, change := range changes {
				change(v, r)
			}
		}))
	}, reason: reason}
}

// ofResp changes the NegTokenResp.
func ofResp(reason middleware.Reason, change func(*visitor, *spnego.Resp)) forgery {
	return forgery{lines: func(v *visitor) []string {
		return line(v.resp(func(r *spnego.Resp) { change(v, r) }))
	}, reason: reason}
}

// ofToken changes the bytes of the whole token.
func ofToken(reason middleware.Reason, change func(*visitor, []byte) []byte) forgery {
	return forgery{lines: func(v *visitor) []string { return line(change(v, v.resp())) }, reason: reason}
}

// ofLines changes the header.
func ofLines(reason middleware.Reason, lines func(v *visitor, genuine string) []string) forgery {
	return forgery{lines: func(v *visitor) []string { return lines(v, text(v.resp())) }, reason: reason}
}

func forgeries() map[string]forgery {
	const (
		none      = middleware.ReasonNone
		noToken   = middleware.ReasonNoToken
		malformed = middleware.ReasonMalformed
		wrongKey  = middleware.ReasonWrongKey
		wrongTime = middleware.ReasonWrongTime
		wrongMech = middleware.ReasonWrongMechanism
		refused   = middleware.ReasonRefused
	)
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			b = bytes.Clone(b)
			b[(at+len(b))%len(b)] ^= 1
			return b
		}
	}
	all := map[string]forgery{
		// What a server may say.
		"genuine":                           ofRep(none),
		"genuine, without subkey":           ofRep(none, func(_ *visitor, r *rep) { r.subkey = nil }),
		"genuine, no state":                 ofResp(none, func(_ *visitor, r *spnego.Resp) { r.State = spnego.StateAbsent }),
		"genuine, no mechanism":             ofResp(none, func(_ *visitor, r *spnego.Resp) { r.SupportedMech = "" }),
		"genuine, the token alone":          ofResp(none, func(_ *visitor, r *spnego.Resp) { r.State, r.SupportedMech = spnego.StateAbsent, "" }),
		"genuine, Microsoft's name":         ofResp(none, func(_ *visitor, r *spnego.Resp) { r.SupportedMech = spnego.MSKRB5 }),
		"genuine, with a mechListMIC":       ofResp(none, func(v *visitor, r *spnego.Resp) { r.MechListMIC = v.mic(ourMechs()) }),
		"genuine, token for a mechListMIC":  ofResp(none, func(_ *visitor, r *spnego.Resp) { r.MechListMIC = r.ResponseToken }), // Windows 2000
		"genuine, not SPNEGO's":             {lines: func(v *visitor) []string { return line(v.rep) }},
		"genuine, scheme in upper case":     ofLines(none, func(_ *visitor, s string) []string { return []string{"NEGOTIATE " + s} }),
		"genuine, scheme in lower case":     ofLines(none, func(_ *visitor, s string) []string { return []string{"negotiate " + s} }),
		"genuine, after another scheme":     ofLines(none, func(_ *visitor, s string) []string { return []string{`Basic realm="x", Negotiate ` + s} }),
		"genuine, on the second line":       ofLines(none, func(_ *visitor, s string) []string { return []string{"NTLM", "Negotiate " + s} }),
		"genuine, twice":                    ofLines(none, func(_ *visitor, s string) []string { return []string{"Negotiate " + s, "Negotiate " + s} }),
		"genuine, behind a quoted decoy":    ofLines(none, func(_ *visitor, s string) []string { return []string{`Basic realm="Negotiate oQ==", Negotiate ` + s} }),
		"genuine, an unknown member beside": ofToken(none, func(v *visitor, _ []byte) []byte { return v.members(field(4, 0x04, "new")) }),

		// AP-REP: time.
		"a second later":              ofRep(wrongTime, func(_ *visitor, r *rep) { r.ctime = r.ctime.Add(time.Second) }),
		"a second earlier":            ofRep(wrongTime, func(_ *visitor, r *rep) { r.ctime = r.ctime.Add(-time.Second) }),
		"a microsecond later":         ofRep(wrongTime, func(_ *visitor, r *rep) { r.cusec = (r.cusec + 1) % 1_000_000 }),
		"a microsecond earlier":       ofRep(wrongTime, func(_ *visitor, r *rep) { r.cusec = (r.cusec + 999_999) % 1_000_000 }),
		"microseconds negative":       ofRep(malformed, func(_ *visitor, r *rep) { r.cusec = -r.cusec - 1 }),
		"microseconds too many":       ofRep(malformed, func(_ *visitor, r *rep) { r.cusec += 1_000_000 }),
		"microseconds by 2^32":        ofRep(malformed, func(_ *visitor, r *rep) { r.cusec += 1 << 32 }),
		"an hour's zone":              ofRep(wrongTime, func(_ *visitor, r *rep) { r.ctime = r.ctime.Add(time.Hour) }),
		"no seconds":                  ofRep(malformed, func(_ *visitor, r *rep) { r.noTime = true }),
		"no microseconds":             ofRep(malformed, func(_ *visitor, r *rep) { r.noSusec = true }),
		"the epoch":                   ofRep(wrongTime, func(_ *visitor, r *rep) { r.ctime, r.cusec = time.Unix(0, 0).UTC(), 0 }),
		"time of the AP-REQ's server": ofRep(wrongTime, func(_ *visitor, r *rep) { r.ctime = r.ctime.AddDate(1, 0, 0) }),

		// AP-REP: keys.
		"random key":               ofRep(wrongKey, func(v *visitor, r *rep) { r.key = v.fresh() }),
		"client's subkey":          ofRep(wrongKey, func(v *visitor, r *rep) { r.key = v.auth.Subkey }),
		"acceptor's subkey":        ofRep(wrongKey, func(v *visitor, r *rep) { r.key = v.acceptor }),
		"service's key":            ofRep(wrongKey, func(v *visitor, r *rep) { r.key = v.service }),
		"key of zeros":             ofRep(wrongKey, func(v *visitor, r *rep) { r.key = zeros(v) }),
		"key of another service":   ofRep(wrongKey, func(v *visitor, r *rep) { r.key = v.f.keys[otherSPN] }),
		"sealed as authenticators": ofRep(wrongKey, func(_ *visitor, r *rep) { r.usage = krb.UsageAPReqAuth }),
		"sealed as tickets":        ofRep(wrongKey, func(_ *visitor, r *rep) { r.usage = krb.UsageTicket }),
		"sealed as messages":       ofRep(wrongKey, func(_ *visitor, r *rep) { r.usage = krb.UsageAcceptorSeal }),
		"sealed as KDC's replies":  ofRep(wrongKey, func(_ *visitor, r *rep) { r.usage = krb.UsageTGSRepSessionKey }),
		"labelled RC4":             ofRep(wrongKey, func(_ *visitor, r *rep) { r.etype = krb.RC4HMAC }),
		"labelled another AES": ofRep(wrongKey, func(v *visitor, r *rep) {
			r.etype = krb.AES128SHA256
			if v.session.Etype() == r.etype {
				r.etype = krb.AES128SHA1
			}
		}),
		"labelled no encryption":    ofRep(wrongKey, func(_ *visitor, r *rep) { r.etype = 0 }),
		"labelled as unknown":       ofRep(wrongKey, func(_ *visitor, r *rep) { r.etype = -1 }),
		"first byte changed":        ofRep(wrongKey, func(_ *visitor, r *rep) { r.change = flip(0) }),
		"middle byte changed":       ofRep(wrongKey, func(_ *visitor, r *rep) { r.change = flip(30) }),
		"last byte changed":         ofRep(wrongKey, func(_ *visitor, r *rep) { r.change = flip(-1) }),
		"sealed part cut":           ofRep(wrongKey, func(_ *visitor, r *rep) { r.change = func(b []byte) []byte { return b[:len(b)-1] } }),
		"sealed part prolonged":     ofRep(wrongKey, func(_ *visitor, r *rep) { r.change = func(b []byte) []byte { return append(b, 0) } }),
		"sealed part is a checksum": ofRep(malformed, func(_ *visitor, r *rep) { r.change = func(b []byte) []byte { return b[:12] } }),
		"sealed part is a byte":     ofRep(malformed, func(_ *visitor, r *rep) { r.change = func(b []byte) []byte { return b[:1] } }),
		"sealed part is empty":      ofRep(malformed, func(_ *visitor, r *rep) { r.change = func([]byte) []byte { return nil } }),
		"sealed part in clear": ofRep(wrongKey, func(v *visitor, r *rep) {
			r.change = func([]byte) []byte { return bytes.Repeat([]byte{0x7b}, 64) }
		}),
		"the client's authenticator": ofRep(wrongKey, func(v *visitor, r *rep) {
			r.change = func([]byte) []byte { return v.req.Authenticator.Cipher }
		}),
		"the client's ticket": ofRep(wrongKey, func(v *visitor, r *rep) {
			r.change = func([]byte) []byte { return v.req.Ticket.EncPart.Cipher }
		}),

		// AP-REP: shape.
		"version 4":                 ofRep(malformed, func(_ *visitor, r *rep) { r.vno = 4 }),
		"type of an AP-REQ":         ofRep(malformed, func(_ *visitor, r *rep) { r.kind = 14 }),
		"tag of an AP-REQ":          ofRep(malformed, func(_ *visitor, r *rep) { r.outer = 14 }),
		"tag of a KRB-ERROR":        ofRep(malformed, func(_ *visitor, r *rep) { r.outer = 30 }),
		"sealed as another message": ofRep(malformed, func(_ *visitor, r *rep) { r.inner = 25 }),
		"something after the part":  ofRep(malformed, func(_ *visitor, r *rep) { r.tail = []byte{5, 0} }),
		"something after AP-REP":    ofRep(malformed, func(_ *visitor, r *rep) { r.after = []byte{5, 0} }),
		"a second AP-REP after it":  ofRep(malformed, func(v *visitor, r *rep) { r.after = inner(v.rep) }),
		"identifier of AP-REQs":     ofRep(malformed, func(_ *visitor, r *rep) { r.tokID = spnego.TokAPReq }),
		"identifier of KRB-ERRORs":  ofRep(malformed, func(_ *visitor, r *rep) { r.tokID = spnego.TokKRBError }),
		"identifier of MICs":        ofRep(malformed, func(_ *visitor, r *rep) { r.tokID = 0x0404 }),
		"subkey of an unknown kind": ofRep(wrongKey, func(_ *visitor, r *rep) { r.subkey = rawKey(99, 16) }),
		"subkey of a wrong length":  ofRep(malformed, func(_ *visitor, r *rep) { r.subkey = rawKey(krb.AES256SHA1, 16) }),
		"subkey of no length":       ofRep(malformed, func(_ *visitor, r *rep) { r.subkey = rawKey(krb.AES256SHA1, 0) }),
		"subkey is text":            ofRep(malformed, func(_ *visitor, r *rep) { r.subkey = func(b *cryptobyte.Builder) { dertest.AddString(b, 2, "key") } }),

		// AP-REP of others.
		"replayed":               {lines: func(v *visitor) []string { return v.with(v.f.before(0).rep) }, reason: wrongTime},
		"replayed, much older":   {lines: func(v *visitor) []string { return v.with(v.f.before(3).rep) }, reason: wrongTime},
		"replayed, all of it":    {lines: func(v *visitor) []string { return line(v.f.before(1).resp()) }, reason: wrongTime},
		"replayed, not SPNEGO's": {lines: func(v *visitor) []string { return line(v.f.before(1).rep) }, reason: wrongTime},
		"of another service":     {lines: func(v *visitor) []string { return v.with(v.f.strangers[otherSPN].rep) }, reason: wrongKey},
		"of another client":      {lines: func(v *visitor) []string { return v.with(v.f.strangers["bob"].rep) }, reason: wrongKey},
		"sealed for another, our time": {lines: func(v *visitor) []string {
			s := v.f.strangers["bob"]
			return v.with(v.apRep(func(r *rep) { r.key = s.session }))
		}, reason: wrongKey},

		// Our own tokens.
		"the client's token":                   {lines: func(v *visitor) []string { return line(v.token) }, reason: malformed},
		"the client's AP-REQ":                  {lines: func(v *visitor) []string { return line(v.framed) }, reason: malformed},
		"the client's AP-REQ in an answer":     {lines: func(v *visitor) []string { return v.with(v.framed) }, reason: malformed},
		"the client's AP-REQ called an AP-REP": {lines: func(v *visitor) []string { return v.with(spnego.Frame(spnego.TokAPRep, inner(v.framed))) }, reason: malformed},
		"the client's own offer as an answer":  {lines: func(v *visitor) []string { return v.with(v.token) }, reason: wrongMech},

		// NegTokenResp: states and mechanisms.
		"rejected, with proof":   ofResp(refused, func(_ *visitor, r *spnego.Resp) { r.State = spnego.Reject }),
		"rejected":               ofResp(refused, func(_ *visitor, r *spnego.Resp) { r.State, r.ResponseToken = spnego.Reject, nil }),
		"rejected, nothing else": ofResp(refused, func(_ *visitor, r *spnego.Resp) { *r = spnego.Resp{State: spnego.Reject} }),
		"rejected, forged": ofResp(refused, func(v *visitor, r *spnego.Resp) {
			r.State, r.ResponseToken = spnego.Reject, v.apRep(func(r *rep) { r.key = v.fresh() })
		}),
		"completed without proof":     ofResp(noToken, func(_ *visitor, r *spnego.Resp) { r.ResponseToken = nil }),
		"completed with an empty one": ofResp(noToken, func(_ *visitor, r *spnego.Resp) { r.ResponseToken = []byte{} }),
		"incomplete without proof":    ofResp(noToken, func(_ *visitor, r *spnego.Resp) { r.State, r.ResponseToken = spnego.AcceptIncomplete, nil }),
		"MIC wanted without proof":    ofResp(noToken, func(_ *visitor, r *spnego.Resp) { r.State, r.ResponseToken = spnego.RequestMIC, nil }),
		"no state and no proof":       ofResp(noToken, func(_ *visitor, r *spnego.Resp) { *r = spnego.Resp{SupportedMech: spnego.KRB5} }),
		"nothing at all":              ofResp(noToken, func(_ *visitor, r *spnego.Resp) { *r = spnego.Resp{} }),
		"a MIC in place of proof":     ofResp(noToken, func(v *visitor, r *spnego.Resp) { r.ResponseToken, r.MechListMIC = nil, v.mic(ourMechs()) }),
		"a MIC as proof":              ofResp(malformed, func(v *visitor, r *spnego.Resp) { r.ResponseToken = v.mic(ourMechs()) }),
		"NTLM chosen":                 ofResp(wrongMech, func(_ *visitor, r *spnego.Resp) { r.SupportedMech = spnego.NTLM }),
		"NegoEx chosen":               ofResp(wrongMech, func(_ *visitor, r *spnego.Resp) { r.SupportedMech = spnego.NegoEx }),
		"SPNEGO chosen":               ofResp(wrongMech, func(_ *visitor, r *spnego.Resp) { r.SupportedMech = spnego.SPNEGO }),
		"unknown mechanism chosen":    ofResp(wrongMech, func(_ *visitor, r *spnego.Resp) { r.SupportedMech = "\x2a\x03\x04" }),
		"user-to-user chosen":         ofResp(wrongMech, func(_ *visitor, r *spnego.Resp) { r.SupportedMech = spnego.KRB5 + "\x03" }),

		// NegTokenResp: mechListMIC.
		"MIC of another list": ofResp(wrongKey, func(v *visitor, r *spnego.Resp) {
			r.MechListMIC = v.mic(spnego.AppendMechList(nil, []spnego.OID{spnego.NTLM, spnego.KRB5}))
		}),
		"MIC of no list": ofResp(wrongKey, func(v *visitor, r *spnego.Resp) { r.MechListMIC = v.mic(nil) }),
		"MIC with another key": ofResp(wrongKey, func(v *visitor, r *spnego.Resp) {
			r.MechListMIC = v.mic(ourMechs(), func(p *gss.Params) { p.AcceptorSubkey = v.fresh() })
		}),
		"MIC with the client's key": ofResp(wrongKey, func(v *visitor, r *spnego.Resp) {
			r.MechListMIC = v.mic(ourMechs(), func(p *gss.Params) { p.AcceptorSubkey = krb.Key{} })
		}),
		"MIC as the client": ofResp(wrongKey, func(v *visitor, r *spnego.Resp) {
			r.MechListMIC = v.mic(ourMechs(), func(p *gss.Params) { p.Acceptor = false })
		}),
		"MIC out of order": ofResp(wrongKey, func(v *visitor, r *spnego.Resp) {
			r.MechListMIC = v.mic(ourMechs(), func(p *gss.Params) { p.SendSeq++ })
		}),
		"MIC changed":              ofResp(wrongKey, func(v *visitor, r *spnego.Resp) { r.MechListMIC = flip(-1)(v.mic(ourMechs())) }),
		"MIC cut":                  ofResp(wrongKey, func(v *visitor, r *spnego.Resp) { r.MechListMIC = v.mic(ourMechs())[:10] }),
		"MIC of random bytes":      ofResp(wrongKey, func(_ *visitor, r *spnego.Resp) { r.MechListMIC = []byte("0123456789abcdefghijklmnopqr") }),
		"MIC of an earlier answer": ofResp(wrongKey, func(v *visitor, r *spnego.Resp) { r.MechListMIC = v.f.before(0).mic(ourMechs()) }),

		// NegTokenResp: encoding.
		"state 4": ofToken(malformed, func(v *visitor, _ []byte) []byte { return v.raw(field(0, 0x0a, "\x04"), field(2, 0x04, string(v.rep))) }),
		"state of two bytes": ofToken(malformed, func(v *visitor, _ []byte) []byte {
			return v.raw(field(0, 0x0a, "\x00\x00"), field(2, 0x04, string(v.rep)))
		}),
		"state is an integer": ofToken(malformed, func(v *visitor, _ []byte) []byte { return v.raw(field(0, 0x02, "\x00"), field(2, 0x04, string(v.rep))) }),
		"state is empty":      ofToken(malformed, func(v *visitor, _ []byte) []byte { return v.raw(field(0, 0x0a, ""), field(2, 0x04, string(v.rep))) }),
		"token is text":       ofToken(malformed, func(v *visitor, _ []byte) []byte { return v.raw(field(2, 0x0c, string(v.rep))) }),
		"token twice": ofToken(malformed, func(v *visitor, _ []byte) []byte {
			return v.raw(field(2, 0x04, string(v.rep)), field(2, 0x04, string(v.rep)))
		}),
		"forged token first": ofToken(malformed, func(v *visitor, _ []byte) []byte {
			return v.raw(field(2, 0x04, string(v.apRep(func(r *rep) { r.key = v.fresh() }))), field(2, 0x04, string(v.rep)))
		}),
		"members in disorder":   ofToken(malformed, func(v *visitor, _ []byte) []byte { return v.raw(field(2, 0x04, string(v.rep)), field(0, 0x0a, "\x00")) }),
		"two elements in one":   ofToken(malformed, func(v *visitor, _ []byte) []byte { return v.raw(tlv(0xa2, tlv(0x04, v.rep), tlv(0x05))) }),
		"mechanism without end": ofToken(malformed, func(v *visitor, _ []byte) []byte { return v.raw(field(1, 0x06, ""), field(2, 0x04, string(v.rep))) }),
		"mechanism is huge": ofToken(malformed, func(v *visitor, _ []byte) []byte {
			return v.raw(field(1, 0x06, strings.Repeat("\x01", 5000)), field(2, 0x04, string(v.rep)))
		}),
		"sequence is a set": ofToken(malformed, func(v *visitor, _ []byte) []byte { return tlv(0xa1, tlv(0x31, field(2, 0x04, string(v.rep)))) }),
		"called an offer":   ofToken(malformed, func(v *visitor, _ []byte) []byte { return tlv(0xa0, tlv(0x30, field(2, 0x04, string(v.rep)))) }),
		"trailing zero":     ofToken(malformed, func(_ *visitor, b []byte) []byte { return append(b, 0) }),
		"trailing token":    ofToken(malformed, func(_ *visitor, b []byte) []byte { return append(b, b...) }),
		"leading zero":      ofToken(malformed, func(_ *visitor, b []byte) []byte { return append([]byte{0}, b...) }),
		"indefinite length": ofToken(malformed, func(_ *visitor, b []byte) []byte { return slices.Concat([]byte{0xa1, 0x80}, contents(b), []byte{0, 0}) }),
		"indefinite length inside": ofToken(malformed, func(_ *visitor, b []byte) []byte {
			return tlv(0xa1, []byte{0x30, 0x80}, contents(contents(b)), []byte{0, 0})
		}),
		"length with leading zeros": ofToken(malformed, func(_ *visitor, b []byte) []byte {
			c := contents(b)
			return slices.Concat([]byte{0xa1, 0x83, 0, byte(len(c) >> 8), byte(len(c))}, c)
		}),
		"length of 2^31": ofToken(malformed, func(_ *visitor, b []byte) []byte {
			return slices.Concat([]byte{0xa1, 0x84, 0x80, 0, 0, 0}, contents(b))
		}),
		"length of 2^32": ofToken(malformed, func(_ *visitor, b []byte) []byte {
			return slices.Concat([]byte{0xa1, 0x85, 1, 0, 0, 0, 0}, contents(b))
		}),
		"length of 126 octets": ofToken(malformed, func(_ *visitor, b []byte) []byte {
			return slices.Concat([]byte{0xa1, 0xfe}, bytes.Repeat([]byte{1}, 126), b)
		}),
		"length one too long":    ofToken(malformed, func(_ *visitor, b []byte) []byte { b = bytes.Clone(b); b[2]++; return b }),
		"length one too short":   ofToken(malformed, func(_ *visitor, b []byte) []byte { b = bytes.Clone(b); b[2]--; return b }),
		"tag of many bytes":      ofToken(malformed, func(_ *visitor, b []byte) []byte { return slices.Concat([]byte{0xbf, 0x81, 0x01}, b[1:]) }),
		"framed as SPNEGO":       ofToken(malformed, func(_ *visitor, b []byte) []byte { return frame(spnego.SPNEGO, b) }),
		"framed as Kerberos":     ofToken(malformed, func(_ *visitor, b []byte) []byte { return frame(spnego.KRB5, b) }),
		"an answer in an answer": {lines: func(v *visitor) []string { return v.with(v.resp()) }, reason: malformed},

		// Frames.
		"genuine, frame of Microsoft's":    {lines: func(v *visitor) []string { return v.with(frame(spnego.MSKRB5, body(v.rep))) }},
		"frame of SPNEGO":                  {lines: func(v *visitor) []string { return v.with(frame(spnego.SPNEGO, body(v.rep))) }, reason: wrongMech},
		"frame of NTLM":                    {lines: func(v *visitor) []string { return v.with(frame(spnego.NTLM, body(v.rep))) }, reason: wrongMech},
		"frame of nobody":                  {lines: func(v *visitor) []string { return v.with(tlv(0x60, body(v.rep))) }, reason: malformed},
		"no frame":                         {lines: func(v *visitor) []string { return v.with(inner(v.rep)) }, reason: malformed},
		"no frame, bare":                   {lines: func(v *visitor) []string { return line(inner(v.rep)) }, reason: malformed},
		"frame without a token":            {lines: func(v *visitor) []string { return v.with(frame(spnego.KRB5, nil)) }, reason: malformed},
		"frame with something after it":    {lines: func(v *visitor) []string { return v.with(append(bytes.Clone(v.rep), 0)) }, reason: malformed},
		"not SPNEGO's, something after it": {lines: func(v *visitor) []string { return line(append(bytes.Clone(v.rep), 0)) }, reason: malformed},
		"not SPNEGO's, forged":             {lines: func(v *visitor) []string { return line(v.apRep(func(r *rep) { r.key = v.fresh() })) }, reason: wrongKey},
		"not SPNEGO's, frame of NTLM":      {lines: func(v *visitor) []string { return line(frame(spnego.NTLM, body(v.rep))) }, reason: malformed},
		"not SPNEGO's, sealed message": {lines: func(*visitor) []string {
			return line([]byte("\x05\x04\x07\xff\x00\x00\x00\x1c\x00\x00\x00\x00\x00\x00\x12\x67"))
		}, reason: malformed},

		// Other mechanisms.
		"NTLM": {lines: func(*visitor) []string {
			return line([]byte("NTLMSSP\x00\x02\x00\x00\x00" + strings.Repeat("\x00", 44)))
		}, reason: wrongMech},
		"NTLM in an answer": {lines: func(v *visitor) []string {
			return v.with([]byte("NTLMSSP\x00\x02\x00\x00\x00" + strings.Repeat("\x00", 44)))
		}, reason: wrongMech},
		"NegoEx":               {lines: func(*visitor) []string { return line([]byte("NEGOEXTS" + strings.Repeat("\x00", 64))) }, reason: wrongMech},
		"the acceptor's hints": {lines: func(*visitor) []string { return line(hints()) }, reason: malformed},
		"garbage":              {lines: func(*visitor) []string { return line([]byte("\x00no token of any kind\xff")) }, reason: malformed},
		"a byte":               {lines: func(*visitor) []string { return line([]byte{0xa1}) }, reason: malformed},
		"64 KiB of nothing":    {lines: func(*visitor) []string { return line(make([]byte, 48<<10)) }, reason: malformed},

		// KRB-ERROR.
		"error, damaged": {lines: func(v *visitor) []string {
			return v.with(spnego.Frame(spnego.TokKRBError, flip(6)(inner(v.krbError(41)))))
		}, reason: malformed},
		"error, cut": {lines: func(v *visitor) []string {
			b := inner(v.krbError(41))
			return v.with(spnego.Frame(spnego.TokKRBError, b[:len(b)-1]))
		}, reason: malformed},
		"error, empty":           {lines: func(v *visitor) []string { return v.with(spnego.Frame(spnego.TokKRBError, nil)) }, reason: malformed},
		"error called an AP-REP": {lines: func(v *visitor) []string { return v.with(spnego.Frame(spnego.TokAPRep, inner(v.krbError(41)))) }, reason: malformed},
		"error without a frame":  {lines: func(v *visitor) []string { return line(inner(v.krbError(41))) }, reason: malformed},
		"error, not SPNEGO's":    {lines: func(v *visitor) []string { return line(v.krbError(41)) }, reason: middleware.ReasonKRBError, code: 41},
		"error and proof":        {lines: func(v *visitor) []string { return append(v.with(v.krbError(41)), line(v.resp())...) }, reason: middleware.ReasonKRBError, code: 41},
		"error, then more of it": {lines: func(v *visitor) []string { return v.with(append(v.krbError(41), 0)) }, reason: malformed},

		// The header.
		"no header":       {lines: func(*visitor) []string { return nil }, reason: noToken},
		"empty header":    {lines: func(*visitor) []string { return []string{""} }, reason: noToken},
		"no token":        {lines: func(*visitor) []string { return []string{"Negotiate"} }, reason: noToken},
		"no token, twice": {lines: func(*visitor) []string { return []string{"Negotiate", "negotiate "} }, reason: noToken},
		"forged, then genuine": ofLines(wrongKey, func(v *visitor, s string) []string {
			return append(v.with(v.apRep(func(r *rep) { r.key = v.fresh() })), "Negotiate "+s)
		}),
		"replayed, then genuine": ofLines(wrongTime, func(v *visitor, s string) []string { return append(v.with(v.f.before(0).rep), "Negotiate "+s) }),
		"forged, then genuine, in a list": ofLines(wrongKey, func(v *visitor, s string) []string {
			return []string{v.with(v.apRep(func(r *rep) { r.key = v.fresh() }))[0] + ", Negotiate " + s}
		}),
		"not base64, then genuine": ofLines(malformed, func(_ *visitor, s string) []string { return []string{"Negotiate ~~~", "Negotiate " + s} }),
		"not base64":               {lines: func(*visitor) []string { return []string{"Negotiate ~~~not~base64~~~"} }, reason: malformed},
		"base64 without padding":   ofLines(malformed, func(_ *visitor, s string) []string { return []string{"Negotiate " + strings.TrimRight(s, "=") + "A"} }),
		"base64 with a blank":      ofLines(malformed, func(_ *visitor, s string) []string { return []string{"Negotiate " + s[:40] + " " + s[40:]} }),
		"base64 cut":               ofLines(malformed, func(_ *visitor, s string) []string { return []string{"Negotiate " + s[:len(s)-5]} }),
		"base64 of URLs": ofLines(malformed, func(v *visitor, s string) []string {
			for !strings.ContainsAny(s, "+/") {
				s = text(v.resp(func(r *spnego.Resp) { r.ResponseToken = v.apRep() })) // sealed anew, so other bytes
			}
			return []string{"Negotiate " + strings.NewReplacer("+", "-", "/", "_").Replace(s)}
		}),
		"base64 twice":             ofLines(malformed, func(_ *visitor, s string) []string { return []string{"Negotiate " + s + s} }),
		"base64 of base64":         ofLines(malformed, func(_ *visitor, s string) []string { return line([]byte(s)) }),
		"hexadecimal":              ofLines(malformed, func(v *visitor, _ string) []string { return []string{fmt.Sprintf("Negotiate %x", v.resp())} }),
		"quoted":                   ofLines(malformed, func(_ *visitor, s string) []string { return []string{`Negotiate "` + s + `"`} }),
		"as a parameter":           ofLines(noToken, func(_ *visitor, s string) []string { return []string{`Negotiate token="` + s + `"`} }),
		"in a quoted string":       ofLines(noToken, func(_ *visitor, s string) []string { return []string{`Basic realm="Negotiate ` + s + `"`} }),
		"in the scheme Kerberos":   ofLines(noToken, func(_ *visitor, s string) []string { return []string{"Kerberos " + s} }),
		"in the scheme NTLM":       ofLines(noToken, func(_ *visitor, s string) []string { return []string{"NTLM " + s} }),
		"in a scheme much like it": ofLines(noToken, func(_ *visitor, s string) []string { return []string{"Negotiate2 " + s} }),
		"in no scheme":             ofLines(noToken, func(_ *visitor, s string) []string { return []string{s} }),
		"in the proxy's header": ofLines(noToken, func(v *visitor, s string) []string {
			v.w.Header().Set("Proxy-Authenticate", "Negotiate "+s)
			return nil
		}),
		"in Authentication-Info": ofLines(noToken, func(v *visitor, s string) []string {
			v.w.Header().Set("Authentication-Info", "Negotiate "+s)
			return nil
		}),
		"in Authorization": ofLines(noToken, func(v *visitor, s string) []string { v.w.Header().Set("Authorization", "Negotiate "+s); return nil }),
		"in a trailer": ofLines(noToken, func(v *visitor, s string) []string {
			v.trailer = http.Header{"Www-Authenticate": {"Negotiate " + s}}
			return nil
		}),
		"in the body": ofLines(noToken, func(v *visitor, s string) []string { return nil }),
	}
	// Every code that a peer may name (RFC 4120 section 7.5.9), and some beyond.
	for code := range int32(94) {
		f := forgery{reason: middleware.ReasonKRBError, code: code}
		f.lines = func(v *visitor) []string { return v.with(v.krbError(code)) }
		if code%2 == 1 {
			f.lines = func(v *visitor) []string {
				return line(v.resp(func(r *spnego.Resp) { *r = spnego.Resp{State: spnego.Reject, ResponseToken: v.krbError(code)} }))
			}
		}
		all[fmt.Sprint("error ", code)] = f
	}
	return all
}

// An attempt is a client, and what is to be seen of it.
type attempt struct {
	mode   mutual.Mode
	signs  preemptive.Policy
	status int
}

// want says what becomes of an answer, by the table of modes.
func (tr attempt) want(f forgery) string {
	switch {
	case tr.mode == mutual.Disabled:
		return fmt.Sprintf("%d whole", tr.status)
	case f.reason == middleware.ReasonNone:
		return fmt.Sprintf("%d whole verified", tr.status)
	case f.reason == middleware.ReasonNoToken && tr.mode == mutual.Optional:
		return fmt.Sprintf("%d whole", tr.status)
	case f.reason == middleware.ReasonNoToken && tr.status >= 400:
		return fmt.Sprintf("%d empty", tr.status)
	}
	return fmt.Sprintf("%v %d", f.reason, f.code)
}

// got makes a call and says what became of it.
func (tr attempt) got(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true // an answer without a token is another thing on a used connection
	resp, err := c.Do(r)
	if err != nil {
		var known *middleware.Error
		if !errors.As(err, &known) {
			return err.Error()
		}
		if !errors.Is(err, middleware.ErrNotVerified) || known.Stage != "mutual" || known.SPN == "" || known.Hint == "" && known.Reason.Hint() == "" && known.Reason != middleware.ReasonKRBError {
			t.Errorf("the error does not say what it should: %#v", known)
		}
		return fmt.Sprintf("%v %d", known.Reason, known.Code)
	}
	out := fmt.Sprint(resp.StatusCode)
	switch b := readPage(t, resp); b {
	case fmt.Sprint("page ", resp.StatusCode):
		out += " whole"
	case "":
		out += " empty"
	default:
		out += " " + b
	}
	if sc := middleware.SecurityOf(resp.Request); sc != nil && sc.Verified() {
		out += " verified"
	}
	return out
}

// etypesOfForgeries are the encryption types for which answers are forged.
var etypesOfForgeries = []int32{krb.AES256SHA1, krb.AES128SHA256, krb.AES256SHA384, krb.AES128SHA1, krb.RC4HMAC}

// notOfRC4 are no forgeries with RC4, where an acceptor has no subkey of its own.
var notOfRC4 = []string{"labelled RC4", "MIC with another key", "MIC with the client's key"}

// A forgery is refused, with the right reason, by whoever looks at tokens; and
// what is genuine passes, one step away from what is not.
func TestForgeries(t *testing.T) {
	all := forgeries()
	kinds := 0
	for name, f := range all {
		if f.reason != middleware.ReasonNone && !strings.HasPrefix(name, "error ") {
			kinds++
		}
	}
	if kinds < 60 {
		t.Fatalf("%d kinds of forgeries", kinds)
	}
	for _, etype := range etypesOfForgeries {
		t.Run(krb.EtypeName(etype), func(t *testing.T) {
			t.Parallel()
			lab := newForgeryLab(t, etype)
			attempts := []attempt{
				{mutual.Required, preemptive.Always(), 200},
				{mutual.Optional, nil, 200},
			}
			if etype == krb.AES256SHA1 {
				attempts = append(attempts,
					attempt{mutual.Required, nil, 500},
					attempt{mutual.Optional, preemptive.Always(), 500},
					attempt{mutual.Disabled, preemptive.Always(), 200})
			}
			for _, tr := range attempts {
				c := lab.client(t, "alice", spn, tr)
				for _, name := range slices.Sorted(maps.Keys(all)) {
					if etype == krb.RC4HMAC && slices.Contains(notOfRC4, name) || etype != krb.AES256SHA1 && strings.HasPrefix(name, "error ") {
						continue // an error code is nothing to a key
					}
					f := asSigned(all[name], name, etype)
					lab.f.set(tr.status, f.lines)
					if diff := cmp.Diff(tr.want(f), tr.got(t, c, lab.url)); diff != "" {
						t.Errorf("%s, %v, status %d (-want +got):\n%s", name, tr.mode, tr.status, diff)
					}
				}
			}
			t.Logf("%d answers, %d kinds of them forged", len(all), kinds)
		})
	}
}

// A forgeryLab is a realm with two users, two services, and one forger who
// answers for both.
type forgeryLab struct {
	realm  *fakekdc.Realm
	f      *forger
	server *fakeweb.Server
	url    string
}

func newForgeryLab(t *testing.T, etype int32) *forgeryLab {
	t.Helper()
	realm := fakekdc.Start(t, fakekdc.WithEtypes(etype), fakekdc.WithService(spn), fakekdc.WithService(otherSPN),
		fakekdc.WithUser("alice", password), fakekdc.WithUser("bob", password))
	lab := &forgeryLab{realm: realm, f: newForger(t, realm, spn, otherSPN)}
	// The stages can tell connections of sockets from one another, and not those in memory.
	lab.server = fakeweb.Serve(realm, lab.f, fakeweb.ServerOptions{InMemory: etype != krb.AES256SHA1})
	lab.url = lab.server.URL()
	// What others were answered, and what went before.
	tr := attempt{mutual.Required, preemptive.Always(), 200}
	lab.f.set(200, func(v *visitor) []string { return line(v.resp()) })
	for name, user := range map[string]string{"bob": "bob", otherSPN: "alice"} {
		service := spn
		if name == otherSPN {
			service = otherSPN
		}
		if got := tr.got(t, lab.client(t, user, service, tr), lab.url); got != "200 whole verified" {
			t.Fatal(got)
		}
		lab.f.strangers[name] = lab.f.before(0)
	}
	c := lab.client(t, "alice", spn, tr)
	for range 4 {
		if got := tr.got(t, c, lab.url); got != "200 whole verified" {
			t.Fatal(got)
		}
	}
	return lab
}

// client returns one for a user and a service. A user's clients have one ticket
// for a service, and so one session key.
func (lab *forgeryLab) client(t *testing.T, user, service string, tr attempt) *http.Client {
	t.Helper()
	if lab.f.caches[user] == "" {
		lab.f.caches[user] = testmain.File(t, "krb5cc", lab.realm.CCache(user, spn, otherSPN))
	}
	o := bare(lab.realm)
	o.CCache, o.ReadOnlyCache = lab.f.caches[user], true
	o.Mutual, o.Preemptive, o.Transport = tr.mode, tr.signs, lab.server.Transport()
	if service != spn {
		o.HostOverride = strings.TrimPrefix(service, "HTTP/")
	}
	return newClient(t, signing(t, lab.realm, o.CCache, o))
}

// Answers to parallel requests that are swapped on the way, in any order, are
// all refused.
func TestSwappedAnswers(t *testing.T) {
	const n = 5
	lab := newForgeryLab(t, krb.AES256SHA1)
	for _, mode := range []mutual.Mode{mutual.Required, mutual.Optional} {
		for shift := range n {
			tr := attempt{mode, preemptive.Always(), 200}
			c := lab.client(t, "alice", spn, tr)
			var mu sync.Mutex
			var here []*visitor
			all := make(chan struct{})
			lab.f.set(200, func(v *visitor) []string {
				mu.Lock()
				at := len(here)
				if here = append(here, v); len(here) == n {
					close(all)
				}
				mu.Unlock()
				<-all
				return line(here[(at+shift)%n].resp())
			})
			want := "200 whole verified"
			if shift > 0 {
				want = "wrong time 0"
			}
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					if got := tr.got(t, c, lab.url); got != want {
						t.Errorf("%v, shifted by %d: %s, want %s", mode, shift, got, want)
					}
				})
			}
			wg.Wait()
		}
	}
}

// Whatever is cut off, the rest is refused; and so is every answer with one bit
// changed in what proves something.
func TestDamagedAnswers(t *testing.T) {
	t.Parallel()
	lab := newForgeryLab(t, krb.AES256SHA1)
	tr := attempt{mutual.Required, preemptive.Always(), 200}
	c := lab.client(t, "alice", spn, tr)
	for name, token := range map[string]func(*visitor) []byte{
		"SPNEGO": func(v *visitor) []byte { return v.resp() },
		"raw":    func(v *visitor) []byte { return v.rep },
	} {
		whole := 0
		lab.f.set(200, func(v *visitor) []string {
			whole = len(token(v))
			return line(token(v))
		})
		if got := tr.got(t, c, lab.url); got != "200 whole verified" || whole < 100 {
			t.Fatal(got, whole)
		}
		for cut := range whole {
			// Numbers in it may make one shorter than another.
			lab.f.set(200, func(v *visitor) []string { b := token(v); return line(b[:min(cut, len(b)-1)]) })
			want := "malformed token 0"
			if cut == 0 {
				want = "no token 0"
			}
			if got := tr.got(t, c, lab.url); got != want {
				t.Errorf("%s, cut to %d bytes: %s, want %s", name, cut, got, want)
			}
		}
		// The AP-REP is at the end, and the sealed part at the end of that.
		for back := range 60 {
			lab.f.set(200, func(v *visitor) []string {
				b := bytes.Clone(token(v))
				b[len(b)-1-back] ^= 1 << (back % 8)
				return line(b)
			})
			if got := tr.got(t, c, lab.url); got != "wrong key 0" {
				t.Errorf("%s, byte %d from the end changed: %s", name, back, got)
			}
		}
	}
}

// ourMechs is the list that the client offered.
func ourMechs() []byte { return spnego.AppendMechList(nil, []spnego.OID{spnego.KRB5}) }

func zeros(v *visitor) krb.Key {
	key, err := krb.NewKey(v.session.Etype(), make([]byte, len(v.session.Bytes())))
	if err != nil {
		v.f.t.Error(err)
	}
	return key
}

// rawKey adds an EncryptionKey that need not be one.
func rawKey(etype int32, n int) func(*cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(krb.Ctx(2), func(b *cryptobyte.Builder) {
			b.AddBytes(tlv(0x30, tlv(0xa0, tlv(0x02, []byte{byte(etype)})), field(1, 0x04, strings.Repeat("k", n))))
		})
	}
}

// field is member n of a sequence.
func field(n, tag byte, value string) []byte { return tlv(0xa0+n, tlv(tag, []byte(value))) }

// raw returns a NegTokenResp of those members.
func (v *visitor) raw(members ...[]byte) []byte { return tlv(0xa1, tlv(0x30, members...)) }

// members returns a genuine NegTokenResp with more members.
func (v *visitor) members(more ...[]byte) []byte {
	return v.raw(append([][]byte{field(0, 0x0a, "\x00"), field(1, 0x06, string(spnego.KRB5)), field(2, 0x04, string(v.rep))}, more...)...)
}

// contents takes off a tag and a length.
func contents(b []byte) []byte {
	if b[1] < 0x80 {
		return b[2:]
	}
	return b[2+b[1]&0x7f:]
}

// body is what follows the mechanism in a framed token: its identifier and the
// token.
func body(framed []byte) []byte {
	c := contents(framed)
	return c[2+c[1]:]
}

// inner is the token in a frame.
func inner(framed []byte) []byte { return body(framed)[2:] }

func frame(mech spnego.OID, body []byte) []byte {
	return tlv(0x60, tlv(0x06, []byte(mech)), body)
}

// hints is what an acceptor says first, where it is asked to (MS-SPNG section
// 2.2.1).
func hints() []byte {
	return frame(spnego.SPNEGO, tlv(0xa0, tlv(0x30,
		tlv(0xa0, tlv(0x30, tlv(0x06, []byte(spnego.KRB5)))),
		tlv(0xa3, tlv(0x30, tlv(0xa0, tlv(0x1b, []byte("not_defined_in_RFC4178@please_ignore"))))))))
}
