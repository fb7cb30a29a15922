package krb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/kerbchain/kerbchain/internal/dertest"
)

// agree compares what the Writer and the encoder of old write.
func agree(t *testing.T, what string, write func(*Writer), old func(*cryptobyte.Builder)) {
	t.Helper()
	var w Writer
	write(&w)
	got, err := w.Result()
	b := cryptobyte.NewBuilder(nil)
	old(b)
	want, wrong := b.Bytes()
	if (err != nil) != (wrong != nil) || !bytes.Equal(got, want) {
		t.Errorf("%s: %x, %v, want %x, %v", what, got, err, want, wrong)
	}
}

func TestWriterFields(t *testing.T) {
	for shift := range 64 {
		for _, v := range []int64{1 << shift, 1<<shift - 1, 1<<shift + 1, -1 << shift, -1<<shift - 1, -1<<shift + 1} {
			agree(t, "integer", func(w *Writer) { w.Int(3, v) }, func(b *cryptobyte.Builder) { dertest.AddInt(b, 3, v) })
		}
	}
	for _, n := range []int{0, 1, 100, 120, 127, 128, 129, 253, 255, 256, 65533, 65536, 1 << 20} {
		v := pattern(n)
		agree(t, "octets", func(w *Writer) { w.Octets(2, v) }, func(b *cryptobyte.Builder) { dertest.AddOctets(b, 2, v) })
		agree(t, "string", func(w *Writer) { w.String(0, string(v)) }, func(b *cryptobyte.Builder) { dertest.AddString(b, 0, string(v)) })
		agree(t, "sequence", func(w *Writer) { w.Sequence(func() { w.Raw(v) }) },
			func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(v) })
			})
	}
	for _, v := range []time.Time{
		someDay, someDay.Add(999 * time.Millisecond), someDay.In(time.FixedZone("", 5*3600+1800)),
		{}, time.Unix(0, 0), time.Unix(-1, 0), time.Unix(1<<33, 0),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 12, 31, 23, 59, 59, 0, time.UTC),
	} {
		agree(t, v.String(), func(w *Writer) { w.Time(5, v) }, func(b *cryptobyte.Builder) { dertest.AddTime(b, 5, v) })
	}
	for _, v := range []uint32{0, 1, 1 << 31, 0x12345678, 1<<32 - 1} {
		agree(t, "flags", func(w *Writer) { w.Flags(4, v) }, func(b *cryptobyte.Builder) { dertest.AddFlags(b, 4, v) })
	}
	for _, p := range []Principal{{}, alice, webHost, krbtgt, {Type: -1, Components: []string{"", "b", string(pattern(300))}}} {
		agree(t, p.Name(), func(w *Writer) { w.Name(9, p) }, func(b *cryptobyte.Builder) { dertest.AddName(b, 9, p.Type, p.Components...) })
	}
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		agree(t, "key", func(w *Writer) { w.Key(0, key) }, func(b *cryptobyte.Builder) { dertest.AddKey(b, 0, key.Etype(), key.Bytes()) })
	})
}

// A failure sticks, and nothing of what was written is given out or left.
func TestWriterFails(t *testing.T) {
	var w Writer
	first := errors.New("first")
	w.Octets(0, pattern(40))
	w.Fail(first)
	w.Fail(errors.New("second"))
	w.Time(1, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC))
	w.Key(2, Key{})
	if b, err := w.Result(); b != nil || err != first {
		t.Errorf("%x, %v", b, err)
	}
	if len(bytes.Trim(w.buf, "\x00")) != 0 {
		t.Errorf("%x is left", w.buf)
	}
	w = Writer{}
	w.Sealed(0, Key{}, 0, UsageAPReqAuth, func() { w.Octets(0, pattern(40)) })
	if b, err := w.Result(); b != nil || !errors.Is(err, errNoKey) {
		t.Errorf("sealed without a key: %x, %v", b, err)
	}
}

// Memory that became too small holds nothing any more: a subkey may have been there.
func TestWriterWipes(t *testing.T) {
	w := NewWriter(16)
	small := w.buf
	w.Raw(pattern(16))
	w.Raw([]byte{1})
	if len(bytes.Trim(small, "\x00")) != 0 {
		t.Errorf("%x is left", small)
	}
	sameBytes(t, "what was written", w.Bytes(), append([]byte{1}, pattern(16)...))
}

// Whatever is sealed, what stands around it is as it was to the byte, and what stands
// within is what is found there.
func TestSealedMessagesAsOfOld(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		session, sub := testKey(etype), testKey(AES256SHA384)
		sealedOf := func(kind string, n, field uint8, b []byte) []byte {
			f := OpenApp(kind, n, b)
			for i := range field {
				f.Optional(i)
			}
			return f.Encrypted(field).Cipher
		}
		for name, a := range sampleAuthenticators() {
			want := must(oldAuthenticator(a))
			sameBytes(t, name, must(a.Marshal()), want)
			ticket := &Ticket{Client: a.Client, Raw: rawTicket(webHost, AES256SHA1, 2, pattern(900)), Key: session}
			req := must(MakeAPReq(ticket, a, UsageAPReqAuth, APMutualRequired))
			sealed := sealedOf("AP-REQ", 14, 4, req)
			sameBytes(t, name+": AP-REQ", req, must(oldAPReq(ticket, sealed, APMutualRequired)))
			sameBytes(t, name+": sealed", must(session.Open(UsageAPReqAuth, sealed)), want)
		}
		for name, p := range map[string]*EncAPRepPart{
			"least": {CTime: someDay},
			"full":  {CTime: someDay, Cusec: 999999, Subkey: sub, Seq: 1<<32 - 1, HasSeq: true},
		} {
			rep := must(MakeAPRep(session, p))
			sealed := sealedOf("AP-REP", 15, 2, rep)
			sameBytes(t, name+": AP-REP", rep, must(oldAPRep(session, sealed)))
			sameBytes(t, name+": sealed", must(session.Open(UsageAPRepEncPart, sealed)), must(oldEncAPRepPart(p)))
		}
		for name, ticket := range map[string]*Ticket{
			"least": {Client: alice, Server: krbtgt, Raw: pattern(10), Key: sub, AuthTime: someDay, EndTime: someDay},
			"full":  {Client: alice, Server: krbtgt, Raw: pattern(3000), Key: sub, Flags: 1 << 30, AuthTime: someDay, StartTime: someDay, EndTime: someDay.Add(1), RenewTill: someDay},
		} {
			cred := must(MakeKRBCred(session, ticket, someDay))
			sealed := sealedOf("KRB-CRED", 22, 3, cred)
			sameBytes(t, name+": KRB-CRED", cred, must(oldKRBCred(session, ticket, sealed)))
			sameBytes(t, name+": sealed", must(session.Open(UsageKRBCred, sealed)), must(oldEncKrbCredPart(ticket, someDay)))
		}
	})
}

// The version of a key is written where there is one, however large.
func TestWriterKvno(t *testing.T) {
	for _, kvno := range []uint32{0, 1, 2, 127, 128, 255, 256, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		agree(t, "EncryptedData", func(w *Writer) { w.Encrypted(3, EncryptedData{AES256SHA1, kvno, pattern(50)}) },
			func(b *cryptobyte.Builder) { dertest.AddEncrypted(b, 3, AES256SHA1, kvno, pattern(50)) })
		var w Writer
		w.Sequence(func() { w.Sealed(3, testKey(AES128SHA256), kvno, UsageTicket, func() { w.Raw(pattern(40)) }) })
		sealed := must(w.Result())
		f := OpenFields("x", sealed)
		got := f.Encrypted(3)
		if err := f.Err(true); err != nil {
			t.Fatal(kvno, err)
		}
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { dertest.AddEncrypted(b, 3, AES128SHA256, kvno, got.Cipher) })
		sameBytes(t, "sealed", sealed, must(b.Bytes()))
		sameBytes(t, "opened", must(testKey(AES128SHA256).OpenData(UsageTicket, got)), pattern(40))
	}
}

// FuzzWriter makes authenticators of its input.
func FuzzWriter(f *testing.F) {
	seeds := sampleAuthenticators()
	if len(seeds) == 0 {
		f.Fatal("empty seed corpus")
	}
	for _, a := range seeds {
		f.Add(a.Client.Realm, a.Client.Components[0], a.Client.Type, a.Checksum.Value, a.CTime.Unix(), a.Cusec, a.Seq, a.HasSeq, a.AuthData)
	}
	f.Fuzz(func(t *testing.T, realm, name string, kind int32, sum []byte, ctime int64, cusec int, seq uint32, hasSeq bool, data []byte) {
		a := &Authenticator{
			Client:   Principal{kind, []string{name, realm}, realm},
			Checksum: Checksum{kind, sum}, CTime: time.Unix(ctime, 0), Cusec: cusec, Seq: seq, HasSeq: hasSeq, AuthData: data,
			Subkey: testKey(allEtypes[uint32(kind)%uint32(len(allEtypes))]),
		}
		got, err := a.Marshal()
		want, wrong := oldAuthenticator(a)
		if (err != nil) != (wrong != nil) || !bytes.Equal(got, want) {
			t.Errorf("%x, %v, want %x, %v", got, err, want, wrong)
		}
	})
}

// Keys of one seal are used by many at once, each of whom gets its own state.
func TestSealConcurrently(t *testing.T) {
	forEtypes(t, func(t *testing.T, etype int32) {
		key := testKey(etype)
		done := make(chan error)
		for g := range 4 {
			go func() {
				rng := rand.New(rand.NewPCG(uint64(g), 1))
				var err error
				for range 200 {
					plain := binary.BigEndian.AppendUint64(pattern(rng.IntN(100)), rng.Uint64())
					sealed, wrong := key.Seal(UsageAPReqAuth, plain)
					back, bad := key.Open(UsageAPReqAuth, sealed)
					if err = errors.Join(wrong, bad); err == nil && !bytes.Equal(back, plain) {
						err = errors.New("another plaintext")
					}
					if err != nil {
						break
					}
				}
				done <- err
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}
