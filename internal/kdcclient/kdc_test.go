package kdcclient

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jcmturner/gofork/encoding/asn1"
	"github.com/jcmturner/gokrb5/v8/crypto"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/testmain"
)

func TestMain(m *testing.M) { testmain.Run(m) }

const (
	realmA = "A.TEST"
	realmB = "B.TEST"
)

var (
	alice = krb.NewPrincipal(realmA, "alice")
	tgsA  = krb.TGS(realmA, realmA)
	web   = krb.NewPrincipal(realmA, "HTTP", "www.a.test")
	epoch = time.Date(2030, 1, 2, 3, 4, 5, 678000, time.UTC)
)

// A request is what the scripted KDC read, with gokrb5's own decoder.
type request struct {
	network string
	number  int // from 1, over all networks
	raw     []byte
	kind    uint8
	fields  messages.KDCReqFields
	auth    types.Authenticator // of a TGS-REQ
}

func (r *request) option(bit int) bool {
	return types.IsFlagSet(&r.fields.ReqBody.KDCOptions, bit)
}

// An answer is what the KDC is about to send, before it is sealed and encoded
// by gokrb5.
type answer struct {
	request *request
	fields  messages.KDCRepFields
	part    messages.EncKDCRepPart
	etype   int32 // of the reply key
	key     types.EncryptionKey
	usage   uint32
}

// scripted is a KDC of one realm: right by default, wrong to order. It is made
// of gokrb5's types and crypto alone.
type scripted struct {
	tb       testing.TB
	realm    string
	now      func() time.Time
	password string
	salt     string
	etypes   []int32 // of the client's keys
	preauth  bool
	kvno     int               // of the client's keys, 0 is not told
	services map[string]bool   // name without realm; TGS names too
	moved    map[string]string // clients that belong to another realm
	aliases  map[string]bool   // other names of alice, such as those of type NT-ENTERPRISE

	// before may take a request over: what it returns is sent as it is.
	before func(r *request) (replies [][]byte, taken bool)
	// change may spoil an answer.
	change func(a *answer)
	// padata is the METHOD-DATA of a KDC_ERR_PREAUTH_REQUIRED; nil is right.
	padata func(r *request) []byte

	addr     KDC
	hooks    sync.Mutex // held while the fields above are used after start
	mu       sync.Mutex // for what follows
	sealed   []*answer
	tickets  *sync.Map // cipher: *granted
	requests []*request
	told     int // how many of them asked has told of
}

// granted stands for the content of a ticket.
type granted struct {
	client types.PrincipalName
	crealm string
	server string
	key    types.EncryptionKey
	end    time.Time
}

func newScripted(tb testing.TB, realm string) *scripted {
	return &scripted{
		tb: tb, realm: realm, now: time.Now, password: "correct horse", salt: realm + "alice",
		etypes: []int32{18, 17, 20, 19}, preauth: true,
		services: map[string]bool{"krbtgt/" + realm: true, "HTTP/www.a.test": true},
		tickets:  new(sync.Map),
	}
}

// start listens on loopback, the same port for UDP and TCP, until the test
// ends.
func (k *scripted) start() *scripted {
	k.tb.Helper()
	var l net.Listener
	var p net.PacketConn
	for try := 0; ; try++ {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			k.tb.Fatal(err)
		}
		if p, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			break
		}
		l.Close()
		if try == 20 {
			k.tb.Fatal(err)
		}
	}
	k.addr = KDC{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1<<16)
		for {
			n, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, reply := range k.handle("udp", slices.Clone(buf[:n])) {
				_, _ = p.WriteTo(reply, from)
			}
		}
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				var head [4]byte
				if _, err := io.ReadFull(conn, head[:]); err != nil {
					return
				}
				b := make([]byte, binary.BigEndian.Uint32(head[:])&0xffff)
				if _, err := io.ReadFull(conn, b); err != nil {
					return
				}
				replies := k.handle("tcp", b)
				for _, reply := range replies {
					_, _ = conn.Write(reply)
				}
				if len(replies) == 0 { // silent, but there
					_, _ = io.Copy(io.Discard, conn)
				}
			})
		}
	})
	k.tb.Cleanup(func() {
		l.Close()
		p.Close()
		wg.Wait()
	})
	return k
}

func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// count returns how many requests came, of one kind or of all (0).
func (k *scripted) count(kind uint8) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, r := range k.requests {
		if kind == 0 || r.kind == kind {
			n++
		}
	}
	return n
}

// seen returns the requests that came so far.
func (k *scripted) seen() []*request {
	k.hooks.Lock()
	defer k.hooks.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.requests)
}

func (k *scripted) last() *request {
	all := k.seen()
	return all[len(all)-1]
}

// answered returns the reply that was sent last.
func (k *scripted) answered() *answer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sealed[len(k.sealed)-1]
}

// edit changes the KDC while it runs.
func (k *scripted) edit(f func()) {
	k.hooks.Lock()
	defer k.hooks.Unlock()
	f()
}

func (k *scripted) handle(network string, raw []byte) [][]byte {
	r := &request{network: network, raw: raw}
	switch {
	case raw[0] == byte(krb.App(krb.MsgASReq)):
		var q messages.ASReq
		if err := q.Unmarshal(raw); err != nil {
			k.tb.Errorf("gokrb5 does not read the AS-REQ: %v", err)
			return nil
		}
		r.kind, r.fields = krb.MsgASReq, q.KDCReqFields
	default:
		var q messages.TGSReq
		if err := q.Unmarshal(raw); err != nil {
			k.tb.Errorf("gokrb5 does not read the TGS-REQ: %v", err)
			return nil
		}
		r.kind, r.fields = krb.MsgTGSReq, q.KDCReqFields
	}
	k.mu.Lock()
	k.requests = append(k.requests, r)
	r.number = len(k.requests)
	k.mu.Unlock()
	k.hooks.Lock()
	before := k.before
	k.hooks.Unlock()
	if before != nil {
		if replies, taken := before(r); taken {
			return replies
		}
	}
	k.hooks.Lock()
	reply := k.respond(r)
	k.hooks.Unlock()
	if network == "tcp" {
		reply = framed(reply)
	}
	return [][]byte{reply}
}

func (k *scripted) respond(r *request) []byte {
	if r.kind == krb.MsgASReq {
		return k.as(r)
	}
	return k.tgs(r)
}

// refuse encodes a KRB-ERROR with gokrb5.
func (k *scripted) refuse(r *request, code int32, data []byte, edit ...func(*messages.KRBError)) []byte {
	now := k.now().UTC()
	e := messages.KRBError{
		PVNO: 5, MsgType: 30, STime: now.Truncate(time.Second), Susec: now.Nanosecond() / 1000, ErrorCode: code,
		CRealm: k.realm, CName: r.fields.ReqBody.CName, Realm: k.realm, SName: r.fields.ReqBody.SName, EText: "as ordered", EData: data,
	}
	for _, f := range edit {
		f(&e)
	}
	b, err := e.Marshal()
	if err != nil {
		k.tb.Error(err)
	}
	return b
}

// theirKey returns a key in gokrb5's form.
func theirKey(k krb.Key) types.EncryptionKey {
	return types.EncryptionKey{KeyType: k.Etype(), KeyValue: k.Bytes()}
}

// knownKeys are keys that were made of passwords, which takes as long as a hundred exchanges.
var knownKeys sync.Map // keyOfPassword: krb.Key

type keyOfPassword struct {
	etype          int32
	password, salt string
}

func (of keyOfPassword) key() (krb.Key, error) {
	if key, ok := knownKeys.Load(of); ok {
		return key.(krb.Key), nil
	}
	key, err := krb.StringToKey(of.etype, of.password, of.salt, nil)
	if err == nil {
		knownKeys.Store(of, key)
	}
	return key, err
}

func (k *scripted) clientKey(etype int32) types.EncryptionKey {
	key, err := keyOfPassword{etype, k.password, k.salt}.key()
	if err != nil {
		k.tb.Error(err)
	}
	return theirKey(key)
}

// known is Password for tests that are about something else: its keys are made once.
func known(client krb.Principal, text string) Keys {
	return knownPassword{Password(client, text), text}
}

type knownPassword struct {
	Keys
	text string
}

func (p knownPassword) Key(ctx context.Context, info krb.EtypeInfo, kvno uint32) (KeyEntry, error) {
	if !info.HasSalt || info.Params != nil {
		return p.Keys.Key(ctx, info, kvno)
	}
	key, err := keyOfPassword{info.Etype, p.text, info.Salt}.key()
	return KeyEntry{Key: key}, err
}

func (k *scripted) methodData(etypes []int32) []byte {
	var infos types.ETypeInfo2
	for _, e := range etypes {
		infos = append(infos, types.ETypeInfo2Entry{EType: e, Salt: k.salt})
	}
	value, err := asn1.Marshal(infos)
	if err != nil {
		k.tb.Error(err)
	}
	b, err := asn1.Marshal(types.PADataSequence{{PADataType: 19, PADataValue: value}, {PADataType: 2, PADataValue: []byte{}}})
	if err != nil {
		k.tb.Error(err)
	}
	return b
}

func (k *scripted) as(r *request) []byte {
	var common []int32
	for _, e := range r.fields.ReqBody.EType {
		if slices.Contains(k.etypes, e) {
			common = append(common, e)
		}
	}
	if len(common) == 0 {
		return k.refuse(r, krb.CodeEtypeNoSupport, nil)
	}
	client := r.fields.ReqBody.CName
	name := client.PrincipalNameString()
	switch realm, moved := k.moved[name]; {
	case moved:
		return k.refuse(r, krb.CodeWrongRealm, nil, func(e *messages.KRBError) { e.CRealm = realm })
	case k.aliases[name] && r.option(15):
		client = types.PrincipalName{NameType: 1, NameString: []string{"alice"}}
	case name != "alice":
		return k.refuse(r, krb.CodeClientUnknown, nil)
	}
	etype := common[0]
	if k.preauth {
		i := slices.IndexFunc(r.fields.PAData, func(p types.PAData) bool { return p.PADataType == 2 })
		if i < 0 {
			data := k.methodData(common)
			if k.padata != nil {
				data = k.padata(r)
			}
			return k.refuse(r, krb.CodePreauthRequired, data)
		}
		var ed types.EncryptedData
		if err := ed.Unmarshal(r.fields.PAData[i].PADataValue); err != nil {
			k.tb.Errorf("gokrb5 does not read the encrypted timestamp: %v", err)
			return nil
		}
		etype = ed.EType
		plain, err := crypto.DecryptEncPart(ed, k.clientKey(etype), krb.UsagePAEncTimestamp)
		if err != nil {
			return k.refuse(r, krb.CodePreauthFailed, k.methodData(common))
		}
		var ts types.PAEncTSEnc
		if err := ts.Unmarshal(plain); err != nil {
			k.tb.Errorf("gokrb5 does not read the timestamp: %v", err)
			return nil
		}
		if at := ts.PATimestamp.Add(time.Duration(ts.PAUSec) * time.Microsecond); at.Sub(k.now()).Abs() > 5*time.Minute {
			return k.refuse(r, krb.CodeSkew, nil)
		}
	}
	a := k.answer(r, client, k.realm, k.realm)
	a.etype, a.key, a.usage = etype, k.clientKey(etype), krb.UsageASRepEncPart
	info, err := asn1.Marshal(types.ETypeInfo2{{EType: etype, Salt: k.salt}})
	if err != nil {
		k.tb.Error(err)
	}
	a.fields.PAData = types.PADataSequence{{PADataType: 19, PADataValue: info}}
	return k.seal(a)
}

// answer prepares a right reply.
func (k *scripted) answer(r *request, client types.PrincipalName, crealm, realm string) *answer {
	now := k.now().UTC().Truncate(time.Second)
	end := now.Add(10 * time.Hour)
	if till := r.fields.ReqBody.Till; till.Before(end) {
		end = till
	}
	var session krb.Key
	for _, e := range r.fields.ReqBody.EType {
		if krb.Supported(e) {
			var err error
			if session, err = krb.GenerateKey(e); err != nil {
				k.tb.Error(err)
			}
			break
		}
	}
	a := &answer{request: r}
	a.part = messages.EncKDCRepPart{
		Key: theirKey(session), LastReqs: []messages.LastReq{{LRType: 0, LRValue: now}}, Nonce: r.fields.ReqBody.Nonce,
		Flags: types.NewKrbFlags(), AuthTime: now, StartTime: now, EndTime: end, SRealm: realm, SName: r.fields.ReqBody.SName,
	}
	if !r.fields.ReqBody.RTime.IsZero() {
		a.part.RenewTill = r.fields.ReqBody.RTime
	}
	for _, bit := range []int{1, 8} {
		if r.option(bit) {
			types.SetFlag(&a.part.Flags, bit)
		}
	}
	a.fields = messages.KDCRepFields{PVNO: 5, CRealm: crealm, CName: client,
		Ticket: messages.Ticket{TktVNO: 5, Realm: realm, SName: r.fields.ReqBody.SName}}
	return a
}

func (k *scripted) seal(a *answer) []byte {
	if k.change != nil {
		k.change(a)
	}
	k.mu.Lock()
	k.sealed = append(k.sealed, a)
	k.mu.Unlock()
	id := fmt.Sprintf("%032d", a.request.number) // long enough to pass for a cipher
	a.fields.Ticket.EncPart = types.EncryptedData{EType: 18, KVNO: 1, Cipher: []byte(k.realm + id)}
	k.tickets.Store(k.realm+id, &granted{client: a.fields.CName, crealm: a.fields.CRealm, server: a.part.SName.PrincipalNameString(), key: a.part.Key, end: a.part.EndTime})
	plain, err := a.part.Marshal()
	if err != nil {
		k.tb.Error(err)
		return nil
	}
	if a.fields.EncPart, err = crypto.GetEncryptedData(plain, a.key, a.usage, k.kvno); err != nil {
		k.tb.Error(err)
		return nil
	}
	if a.etype != 0 {
		a.fields.EncPart.EType = a.etype
	}
	var b []byte
	if a.request.kind == krb.MsgASReq {
		a.fields.MsgType = int(krb.MsgASRep)
		b, err = (&messages.ASRep{KDCRepFields: a.fields}).Marshal()
	} else {
		a.fields.MsgType = int(krb.MsgTGSRep)
		b, err = (&messages.TGSRep{KDCRepFields: a.fields}).Marshal()
	}
	if err != nil {
		k.tb.Error(err)
	}
	return b
}

// share lets two realms open one another's cross-realm tickets.
func share(realms ...*scripted) {
	for _, r := range realms {
		r.tickets = realms[0].tickets
	}
}

func (k *scripted) tgs(r *request) []byte {
	i := slices.IndexFunc(r.fields.PAData, func(p types.PAData) bool { return p.PADataType == 1 })
	if i < 0 {
		k.tb.Error("TGS-REQ without PA-TGS-REQ")
		return nil
	}
	var ap messages.APReq
	if err := ap.Unmarshal(r.fields.PAData[i].PADataValue); err != nil {
		k.tb.Errorf("gokrb5 does not read the AP-REQ: %v", err)
		return nil
	}
	v, ok := k.tickets.Load(string(ap.Ticket.EncPart.Cipher))
	g, _ := v.(*granted)
	if !ok || g.server != "krbtgt/"+k.realm && !r.option(30) {
		return k.refuse(r, krb.CodeNotUs, nil)
	}
	plain, err := crypto.DecryptEncPart(ap.EncryptedAuthenticator, g.key, krb.UsageTGSReqAuth)
	if err != nil {
		return k.refuse(r, krb.CodeBadIntegrity, nil)
	}
	if err := r.auth.Unmarshal(plain); err != nil {
		k.tb.Errorf("gokrb5 does not read the authenticator: %v", err)
		return nil
	}
	if r.auth.CRealm != g.crealm || !r.auth.CName.Equal(g.client) {
		return k.refuse(r, krb.CodeBadMatch, nil)
	}
	var outer struct {
		PVNO    int                  `asn1:"explicit,tag:1"`
		MsgType int                  `asn1:"explicit,tag:2"`
		PAData  types.PADataSequence `asn1:"explicit,optional,tag:3"`
		Body    asn1.RawValue        `asn1:"explicit,tag:4"`
	}
	if _, err := asn1.UnmarshalWithParams(r.raw, &outer, "application,explicit,tag:12"); err != nil {
		k.tb.Error(err)
		return nil
	}
	et, err := crypto.GetChksumEtype(r.auth.Cksum.CksumType)
	if err != nil || !et.VerifyChecksum(g.key.KeyValue, outer.Body.Bytes, r.auth.Cksum.Checksum, krb.UsageTGSReqChecksum) {
		k.tb.Error("the checksum does not cover the body")
		return k.refuse(r, krb.CodeModified, nil)
	}
	at := r.auth.CTime.Add(time.Duration(r.auth.Cusec) * time.Microsecond)
	if at.Sub(k.now()).Abs() > 5*time.Minute {
		return k.refuse(r, krb.CodeSkew, nil)
	}
	if !k.now().Before(g.end) {
		return k.refuse(r, krb.CodeTicketExpired, nil)
	}
	if !k.services[r.fields.ReqBody.SName.PrincipalNameString()] {
		return k.refuse(r, krb.CodeServerUnknown, nil)
	}
	a := k.answer(r, g.client, g.crealm, k.realm)
	a.key, a.usage = r.auth.SubKey, krb.UsageTGSRepSubkey
	if len(a.key.KeyValue) == 0 {
		k.tb.Error("no subkey in the authenticator")
	}
	return k.seal(a)
}

// asked returns the services that were asked for since the last time, with a
// "?" where a referral would do too.
func (k *scripted) asked() []string {
	var out []string
	for _, r := range k.seen()[k.told:] {
		name := r.fields.ReqBody.SName.PrincipalNameString()
		if r.option(15) {
			name += "?"
		}
		if r.kind == krb.MsgTGSReq {
			out = append(out, name)
		}
	}
	k.told = len(k.seen())
	return out
}

// refer makes the answer a referral to another realm.
func refer(a *answer, realm string) {
	name := types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", realm}}
	a.part.SName, a.fields.Ticket.SName = name, name
}

var (
	// hasty gives everyone up soon, for tests in which nobody answers.
	hasty = Pacing{Next: time.Millisecond, Passes: []time.Duration{time.Millisecond, time.Millisecond}, Connected: time.Millisecond}
	// restless asks the next soon, but waits for whoever answers.
	restless = Pacing{Next: time.Millisecond, Passes: []time.Duration{time.Minute}, Connected: time.Millisecond}
	// oneAtATime asks the next only when the first has failed.
	oneAtATime = Pacing{Next: time.Minute}
)

// client returns a client that knows the given realms, UDP first.
func client(o Options, realms ...*scripted) *Client {
	if o.Locate == nil {
		o.Locate = func(_ context.Context, realm string) ([]KDC, error) {
			var out []KDC
			for _, r := range realms {
				if r.realm == realm {
					out = append(out, r.addr)
				}
			}
			return out, nil
		}
	}
	if o.UDPPreferenceLimit == 0 {
		o.UDPPreferenceLimit = DefaultUDPPreferenceLimit
	}
	if o.Pacing.Next == 0 {
		o.Pacing = oneAtATime
	}
	return New(o)
}

func at(kdcs ...KDC) func(context.Context, string) ([]KDC, error) {
	return func(context.Context, string) ([]KDC, error) { return kdcs, nil }
}

func login(tb testing.TB, c *Client) *krb.Ticket {
	tb.Helper()
	tgt, err := c.AS(tb.Context(), ASRequest{Client: alice, Keys: known(alice, "correct horse"), Forwardable: true})
	if err != nil {
		tb.Fatal(err)
	}
	return tgt
}

// failure returns err as the package's type, which it must be.
func failure(tb testing.TB, err error) *Error {
	tb.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		tb.Fatalf("error %v of type %T, want *Error", err, err)
	}
	return e
}
