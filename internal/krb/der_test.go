package krb

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/kerbchain/kerbchain/internal/dertest"
)

// seq puts a SEQUENCE around raw bytes.
func seq(b ...byte) []byte { return append([]byte{0x30, byte(len(b))}, b...) }

func TestFieldsFlags(t *testing.T) {
	for name, tc := range map[string]struct {
		in   []byte
		want uint32
		bad  bool
	}{
		"32 bits":             {seq(0xa0, 7, 3, 5, 0, 0x50, 0x80, 0, 1), 0x50800001, false},
		"8 bits":              {seq(0xa0, 4, 3, 2, 0, 0x40), 0x40000000, false},
		"none":                {seq(0xa0, 3, 3, 1, 0), 0, false},
		"more than 32":        {seq(0xa0, 8, 3, 6, 0, 0x40, 0, 0, 0, 0xff), 0x40000000, false},
		"shortened, as DER":   {seq(0xa0, 4, 3, 2, 5, 0x20), 0x20000000, false},
		"no count of unused":  {seq(0xa0, 2, 3, 0), 0, true},
		"seven unused":        {seq(0xa0, 4, 3, 2, 7, 0x80), 0x80000000, false},
		"eight unused":        {seq(0xa0, 4, 3, 2, 8, 0x80), 0, true},
		"nine unused":         {seq(0xa0, 4, 3, 2, 9, 0x20), 0, true},
		"unused of nothing":   {seq(0xa0, 3, 3, 1, 1), 0, true},
		"an octet string":     {seq(0xa0, 7, 4, 5, 0, 0, 0, 0, 0), 0, true},
		"another field":       {seq(0xa1, 7, 3, 5, 0, 0, 0, 0, 0), 0, true},
		"two in one":          {seq(0xa0, 6, 3, 1, 0, 3, 1, 0), 0, true},
		"no explicit content": {seq(0xa0, 0), 0, true},
	} {
		f := OpenFields("x", tc.in)
		got := f.Flags(0)
		err := f.Err(true)
		if got != tc.want || (err != nil) != tc.bad || tc.bad && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %#x, %v", name, got, err)
		}
	}
}

func TestFieldsInt32(t *testing.T) {
	for name, tc := range map[string]struct {
		in   []byte
		want int32
		bad  bool
	}{
		"zero":                {seq(0xa0, 3, 2, 1, 0), 0, false},
		"negative":            {seq(0xa0, 3, 2, 1, 0xff), -1, false},
		"least":               {seq(0xa0, 6, 2, 4, 0x80, 0, 0, 0), -1 << 31, false},
		"most":                {seq(0xa0, 6, 2, 4, 0x7f, 0xff, 0xff, 0xff), 1<<31 - 1, false},
		"unsigned beyond":     {seq(0xa0, 7, 2, 5, 0, 0xff, 0xff, 0xff, 0xfe), -2, false},
		"33 bits":             {seq(0xa0, 7, 2, 5, 1, 0, 0, 0, 0), 0, true},
		"33 bits, negative":   {seq(0xa0, 7, 2, 5, 0xff, 0x7f, 0xff, 0xff, 0xff), 0, true},
		"longer than needed":  {seq(0xa0, 4, 2, 2, 0, 1), 0, true},
		"empty":               {seq(0xa0, 2, 2, 0), 0, true},
		"beyond 64 bits":      {seq(0xa0, 11, 2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0), 0, true},
		"enumerated":          {seq(0xa0, 3, 10, 1, 0), 0, true},
		"indefinite length":   {seq(0xa0, 0x80, 2, 1, 0, 0, 0), 0, true},
		"something left over": {seq(0xa0, 3, 2, 1, 0, 0xa1, 3, 2, 1, 0), 0, true},
	} {
		f := OpenFields("x", tc.in)
		got := f.Int32(0)
		err := f.Err(true)
		if (err != nil) != tc.bad || !tc.bad && got != tc.want {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}

func TestFieldsFlatInt(t *testing.T) {
	for name, tc := range map[string]struct {
		in   []byte
		want int32
		bad  bool
	}{
		"most":              {seq(0x84, 4, 0x7f, 0xff, 0xff, 0xff), 1<<31 - 1, false},
		"least":             {seq(0x84, 4, 0x80, 0, 0, 0), -1 << 31, false},
		"33 bits":           {seq(0x84, 5, 0, 0x80, 0, 0, 0), 0, true},
		"33 bits, negative": {seq(0x84, 5, 0xff, 0x7f, 0xff, 0xff, 0xff), 0, true},
		"empty":             {seq(0x84, 0), 0, true},
	} {
		f := OpenFields("x", tc.in)
		got := f.flatInt(4)
		if err := f.Err(true); (err != nil) != tc.bad || !tc.bad && (got == nil || *got != tc.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestFieldsText(t *testing.T) {
	for tag, good := range map[byte]bool{
		0x1b: true, 0x16: true, 0x0c: true, 0x13: true, // general, IA5, UTF-8, printable
		0x04: false, 0x14: false, 0x1e: false, 0x1c: false, 0x3b: false,
	} {
		f := OpenFields("x", seq(0xa0, 4, tag, 2, 'O', 'K'))
		got := f.Text(0)
		if err := f.Err(true); (err == nil) != good || good && got != "OK" {
			t.Errorf("tag %#x: %q, %v", tag, got, err)
		}
	}
}

func TestFieldsTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"20261123212309Z":     someDay,
		"19700101000000Z":     time.Unix(0, 0).UTC(),
		"20261123212309":      {},
		"20261123212309.5Z":   {},
		"261123212309Z":       {},
		"20261323212309Z":     {},
		"20261123212361Z":     {},
		":0261123212309Z":     {},
		"2026112321230:Z":     {},
		"":                    {},
		"2026112321230\x009Z": {},
	} {
		f := OpenFields("x", seq(append([]byte{0xa0, byte(len(text) + 2), 0x18, byte(len(text))}, text...)...))
		got := f.Time(0)
		if err := f.Err(true); (err != nil) != want.IsZero() || err == nil && !got.Equal(want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// The first failure sticks, and nothing is read after it.
func TestFieldsAfterAFailure(t *testing.T) {
	f := OpenFields("thing", seq(0xa0, 3, 2, 1, 5, 0xa1, 3, 4, 1, 'x'))
	f.Int(3)
	first := f.Err(false)
	if !errors.Is(first, ErrMalformed) {
		t.Fatal(first)
	}
	if f.Has(0) || f.Int(0) != 0 || f.Int32(0) != 0 || f.Octets(1) != nil || f.Text(0) != "" || f.Flags(0) != 0 ||
		!f.Time(0).IsZero() || !f.Name(0).IsZero() || !f.Key(0).IsZero() || f.Encrypted(0).Cipher != nil || f.Raw(0) != nil || f.Optional(0) != nil {
		t.Error("something was read after a failure")
	}
	if err := f.Err(true); err != first {
		t.Errorf("%v, then %v", first, err)
	}
}

func TestNameIsBounded(t *testing.T) {
	for n, good := range map[int]bool{0: true, 1: true, maxComponents: true, maxComponents + 1: false, 5000: false} {
		p := Principal{Type: 1, Components: make([]string, n)}
		b := cryptobyte.NewBuilder(nil)
		b.AddASN1(0x30, func(b *cryptobyte.Builder) { dertest.AddName(b, 4, p.Type, p.Components...) })
		f := OpenFields("x", must(b.Bytes()))
		got := f.Name(4)
		if err := f.Err(true); (err == nil) != good || good && len(got.Components) != n {
			t.Errorf("%d components: %d, %v", n, len(got.Components), err)
		}
	}
}

func TestMarshalRefusesImpossibleTimes(t *testing.T) {
	for _, at := range []time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if b, err := (&Authenticator{Client: alice, CTime: at}).Marshal(); err == nil {
			t.Errorf("%v: %x", at, b)
		}
		if b, err := MakeAPReq(&Ticket{Raw: rawTicket(webHost, 18, 1, pattern(40)), Key: testKey(18)}, &Authenticator{Client: alice, CTime: at}, 11, 0); err == nil {
			t.Errorf("%v: %x", at, b)
		}
		if b, err := MakeAPRep(testKey(18), &EncAPRepPart{CTime: at}); err == nil {
			t.Errorf("%v: %x", at, b)
		}
	}
	if _, err := MakeAPReq(&Ticket{}, &Authenticator{Client: alice, CTime: someDay}, 11, 0); err == nil {
		t.Error("an AP-REQ without a session key")
	}
}

// Times are written in UTC whatever their zone, fractions cut off.
func TestTimesAreUTC(t *testing.T) {
	local := someDay.Add(999 * time.Millisecond).In(time.FixedZone("", -5*3600))
	got, err := ParseAuthenticator(must((&Authenticator{Client: alice, CTime: local}).Marshal()))
	if err != nil || !got.CTime.Equal(someDay) || got.CTime.Location() != time.UTC {
		t.Errorf("%v, %v", got.CTime, err)
	}
}

// TestMicroseconds: what is no microsecond (RFC 4120 section 5.2.4) is malformed wherever it
// stands, so that no clock is set by it.
func TestMicroseconds(t *testing.T) {
	key := testKey(AES128SHA256)
	for name, read := range map[string]func(usec int) error{
		"authenticator": func(usec int) error {
			_, err := ParseAuthenticator(must((&Authenticator{Client: alice, CTime: someDay, Cusec: usec}).Marshal()))
			return err
		},
		"KRB-ERROR": func(usec int) error {
			_, err := ParseKRBError(must((&KRBError{Code: CodeSkew, STime: someDay, Susec: usec, Server: webHost}).Marshal()))
			return err
		},
		"AP-REP": func(usec int) error {
			_, err := OpenAPRep(key, must(MakeAPRep(key, &EncAPRepPart{CTime: someDay, Cusec: usec})))
			return err
		},
		"encrypted timestamp": func(usec int) error {
			_, err := OpenEncTimestamp(key, must(ParseEncrypted(must(MakeEncTimestamp(key, someDay, usec)))))
			return err
		},
		"encrypted challenge": func(usec int) error {
			_, err := OpenEncChallenge(key, UsageEncChallengeKDC, must(ParseEncrypted(must(MakeEncChallenge(key, UsageEncChallengeKDC, someDay, usec)))))
			return err
		},
		"FAST response": func(usec int) error {
			_, err := ParseFastResponse(must((&FastResponse{Finished: &FastFinished{Time: someDay, Usec: usec, Client: alice, Checksum: Checksum{Type: 1, Value: []byte{1}}}}).Marshal()))
			return err
		},
	} {
		for _, usec := range []int{-1 << 31, -1, 1_000_000, 1<<31 - 1} {
			if err := read(usec); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s with %d microseconds: %v", name, usec, err)
			}
		}
		for _, usec := range []int{0, 999_999} {
			if err := read(usec); err != nil {
				t.Errorf("%s with %d microseconds: %v", name, usec, err)
			}
		}
	}
}

func TestTicketValidAt(t *testing.T) {
	ticket := &Ticket{EndTime: someDay}
	for name, tc := range map[string]struct {
		ticket *Ticket
		now    time.Time
		margin time.Duration
		want   bool
	}{
		"in time":           {ticket, someDay.Add(-time.Second), 0, true},
		"at its end":        {ticket, someDay, 0, false},
		"after it":          {ticket, someDay.Add(time.Second), 0, false},
		"within the margin": {ticket, someDay.Add(-time.Minute), time.Minute, false},
		"before the margin": {ticket, someDay.Add(-time.Minute - 1), time.Minute, true},
		"marked invalid":    {&Ticket{EndTime: someDay, Flags: FlagInvalid}, someDay.Add(-time.Hour), 0, false},
		"other flags":       {&Ticket{EndTime: someDay, Flags: ^FlagInvalid}, someDay.Add(-time.Hour), 0, true},
		"none":              {nil, someDay.Add(-time.Hour), 0, false},
	} {
		if got := tc.ticket.ValidAt(tc.now, tc.margin); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// replaced returns b with the one occurrence of old changed.
func replaced(t *testing.T, b, old, new []byte) []byte {
	t.Helper()
	if n := bytes.Count(b, old); n != 1 {
		t.Fatalf("%x occurs %d times in %x", old, n, b)
	}
	return bytes.Replace(b, old, new, 1)
}

// The version is 5, the message type is the tag's, an AP-REP's encryption type
// is the session key's.
func TestMessageHeaders(t *testing.T) {
	session := testKey(AES128SHA1)
	samples := messageParsers()
	rep := must(MakeAPRep(session, &EncAPRepPart{CTime: someDay}))
	openRep := func(b []byte) error { _, err := OpenAPRep(session, b); return err }
	version := []byte{0xa0, 3, 2, 1, 5}
	for name, tc := range map[string]struct {
		good  []byte
		parse func([]byte) error
		old   []byte
		new   []byte
		want  error
	}{
		"ticket version":        {samples["ticket"].good[0], samples["ticket"].parse, version, []byte{0xa0, 3, 2, 1, 4}, ErrMalformed},
		"authenticator version": {must((&Authenticator{Client: alice, CTime: someDay}).Marshal()), samples["authenticator"].parse, version, []byte{0xa0, 3, 2, 1, 6}, ErrMalformed},
		"AP-REQ type":           {samples["AP-REQ"].good[0], samples["AP-REQ"].parse, []byte{0xa1, 3, 2, 1, 14}, []byte{0xa1, 3, 2, 1, 15}, ErrMalformed},
		"AP-REP version":        {rep, openRep, version, []byte{0xa0, 3, 2, 1, 4}, ErrMalformed},
		"AP-REP type":           {rep, openRep, []byte{0xa1, 3, 2, 1, 15}, []byte{0xa1, 3, 2, 1, 14}, ErrMalformed},
		"AP-REP etype":          {rep, openRep, []byte{0xa0, 3, 2, 1, 17}, []byte{0xa0, 3, 2, 1, 18}, ErrEtype},
		"KRB-ERROR version":     {samples["KRB-ERROR"].good[0], samples["KRB-ERROR"].parse, version, []byte{0xa0, 3, 2, 1, 4}, ErrMalformed},
		"KRB-ERROR type":        {samples["KRB-ERROR"].good[0], samples["KRB-ERROR"].parse, []byte{0xa1, 3, 2, 1, 30}, []byte{0xa1, 3, 2, 1, 31}, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.parse(tc.good); err != nil {
				t.Fatal(err)
			}
			if err := tc.parse(replaced(t, tc.good, tc.old, tc.new)); !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}
