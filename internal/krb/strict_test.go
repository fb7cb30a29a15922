package krb

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A node is one element of a message. What holds others has children.
type node struct {
	tag      asn1.Tag
	content  []byte
	children []*node
}

// tree reads all elements of b; nil if it is no sequence of them.
func tree(b []byte) []*node {
	var out []*node
	s := cryptobyte.String(b)
	for !s.Empty() {
		var content cryptobyte.String
		var tag asn1.Tag
		if !s.ReadAnyASN1(&content, &tag) {
			return nil
		}
		n := &node{tag: tag, content: content}
		if tag&0x20 != 0 {
			n.children = tree(content)
		}
		out = append(out, n)
	}
	return out
}

func (n *node) build(b *cryptobyte.Builder) {
	b.AddASN1(n.tag, func(b *cryptobyte.Builder) {
		if n.children == nil {
			b.AddBytes(n.content)
		}
		for _, c := range n.children {
			c.build(b)
		}
	})
}

// each calls f with every node and the way to it.
func each(path string, nodes []*node, f func(path string, n *node)) {
	for i, n := range nodes {
		at := fmt.Sprintf("%s/%d:%02x", path, i, uint8(n.tag))
		f(at, n)
		each(at, n.children, f)
	}
}

// unread are fields that decoders pass over or pass on as they are: the last requests,
// the key's expiry and the addresses of a reply, authorization data of an authenticator,
// time and microseconds of a KRB-CRED, what identifies the algorithms of tokens.
var unread = regexp.MustCompile(`^(KDC reply part /0:(79|7a)/0:30/\d+:(a1|a3|ab)|authenticator /0:62/0:30/\d+:a8|KRB-CRED part /0:7d/0:30/\d+:(a2|a3)|OTP challenge /0:30/\d+:a2/\d+:30/\d+:a7/|OTP request /0:30/\d+:a3)`)

// open are sequences of which more fields are passed over, since acceptors of
// credentials need to know of some only.
var open = regexp.MustCompile(`^KRB-CRED part /0:7d/0:30(/0:a0/0:30/0:30)?$`)

// No decoder takes a message in which something stands behind what a field holds, or
// in which a field holds something of another type or nothing.
func TestNothingElseInAField(t *testing.T) {
	null := &node{tag: asn1.NULL}
	for name, tc := range allParsers() {
		t.Run(name, func(t *testing.T) {
			tried := 0
			for i, good := range tc.good {
				if err := tc.parse(good); err != nil {
					t.Fatal(err)
				}
				nodes := tree(good)
				refused := func(path, how string) {
					t.Helper()
					b := cryptobyte.NewBuilder(nil)
					for _, n := range nodes {
						n.build(b)
					}
					tried++
					if err := tc.parse(b.BytesOrPanic()); !errors.Is(err, ErrMalformed) {
						t.Errorf("sample %d, at %s %s: %v", i, path, how, err)
					}
				}
				each("", nodes, func(path string, n *node) {
					if n.children == nil || unread.MatchString(name+" "+path) {
						return
					}
					was := n.children
					n.children = append(was[:len(was):len(was)], null)
					if !open.MatchString(name + " " + path) {
						refused(path, "an element more")
					}
					n.children = []*node{null}
					refused(path, "another element")
					if n.tag != asn1.SEQUENCE { // which may be one of no elements
						n.children = []*node{}
						refused(path, "nothing")
					}
					n.children = was
				})
			}
			if tried == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

// allParsers returns messageParsers and those of what two messages seal.
func allParsers() map[string]struct {
	good  [][]byte
	parse func([]byte) error
} {
	parsers := messageParsers()
	session := testKey(AES256SHA384)
	rep := OpenApp("AP-REP", 15, parsers["AP-REP"].good[0])
	rep.Int32(0)
	rep.Int32(1)
	cred := OpenApp("KRB-CRED", 22, parsers["KRB-CRED"].good[0])
	cred.Int32(0)
	cred.Int32(1)
	cred.Raw(2)
	type entry = struct {
		good  [][]byte
		parse func([]byte) error
	}
	parsers["AP-REP part"] = entry{
		[][]byte{must(session.OpenData(UsageAPRepEncPart, rep.Encrypted(2)))},
		func(b []byte) error { _, err := OpenAPRep(session, wrapAPRep(session, b)); return err },
	}
	parsers["KRB-CRED part"] = entry{
		[][]byte{must(session.OpenData(UsageKRBCred, cred.Encrypted(3)))},
		func(b []byte) error {
			_, err := OpenKRBCred(wrapKRBCred(session, rawTicket(krbtgt, RC4HMAC, 0, pattern(30)), b), session)
			return err
		},
	}
	return parsers
}

// mayLack are the fields that RFC 4120 has as optional, by the tags on the way to them,
// and those of KRB-CRED's part that are not read.
var mayLack = map[string]string{
	"ticket":         "/61/30/a3/30/a1",
	"AP-REQ":         "/6e/30/a3/61/30/a3/30/a1",
	"authenticator":  "/62/30/a3 /62/30/a6 /62/30/a7 /62/30/a8",
	"AP-REP part":    "/7b/30/a2 /7b/30/a3",
	"AS-REP":         "/6b/30/a2 /6b/30/a5/61/30/a3/30/a1 /6b/30/a6/30/a1",
	"TGS-REP":        "/6d/30/a2 /6d/30/a5/61/30/a3/30/a1 /6d/30/a6/30/a1",
	"KDC reply part": "/79/30/a3 /79/30/a6 /79/30/a8 /79/30/ab /79/30/ac /7a/30/a3 /7a/30/a6 /7a/30/a8 /7a/30/ab /7a/30/ac",
	"KRB-ERROR":      "/7e/30/a2 /7e/30/a3 /7e/30/a7 /7e/30/a8 /7e/30/ab /7e/30/ac",
	"ETYPE-INFO2":    "/30/30/a1 /30/30/a2",
	"KRB-CRED":       "/76/30/a2/30/61/30/a3/30/a1",
	"FAST request":   "/a0/30/a0 /a0/30/a2/30/a1",
	"FAST reply":     "/a0/30/a0/30/a1",
	"FAST response":  "/30/a1 /30/a2",
	"OTP challenge":  "/30/a2/30/a7",
	"OTP request":    "/30/a3",
	"KRB-CRED part":  "/7d/30/a0/30/30/a4 /7d/30/a0/30/30/a5 /7d/30/a0/30/30/a7 /7d/30/a2 /7d/30/a3",
}

// A message that lacks a field is refused, but for those that may be left out.
func TestFieldsThatAreMissing(t *testing.T) {
	for name, tc := range allParsers() {
		t.Run(name, func(t *testing.T) {
			for i, good := range tc.good {
				nodes := tree(good)
				each("", nodes, func(path string, n *node) {
					if n.tag != asn1.SEQUENCE || unread.MatchString(name+" "+path) {
						return
					}
					was := n.children
					for j, c := range was {
						if c.tag&0xe0 != 0xa0 {
							continue
						}
						n.children = append(append([]*node{}, was[:j]...), was[j+1:]...)
						b := cryptobyte.NewBuilder(nil)
						for _, n := range nodes {
							n.build(b)
						}
						err := tc.parse(b.BytesOrPanic())
						may := strings.Contains(" "+mayLack[name]+" ", " "+shape(path, c)+" ")
						if (err == nil) != may || err != nil && !errors.Is(err, ErrMalformed) {
							t.Errorf("sample %d without %s: %v", i, shape(path, c), err)
						}
					}
					n.children = was
				})
			}
		})
	}
}

// shape is the way to a field by tags alone.
func shape(path string, field *node) string {
	return regexp.MustCompile(`/\d+:`).ReplaceAllString(path, "/") + fmt.Sprintf("/%02x", uint8(field.tag))
}

// The version of a message is 5, and its type is that of its tag.
func TestVersionsAndTypes(t *testing.T) {
	types := map[string]int64{"AP-REQ": 14, "AP-REP": 15, "AS-REP": 11, "TGS-REP": 13, "KRB-CRED": 22, "KRB-ERROR": 30}
	version := map[string]bool{"ticket": true, "authenticator": true}
	tried := 0
	for name, tc := range messageParsers() {
		for i, good := range tc.good {
			nodes := tree(good)
			each("", nodes, func(path string, n *node) {
				if len(n.children) != 1 || n.children[0].tag != asn1.INTEGER || strings.Count(path, "/") != 3 {
					return
				}
				value := n.children[0]
				if (n.tag != Ctx(0) || types[name] == 0 && !version[name]) && (n.tag != Ctx(1) || types[name] == 0) {
					return
				}
				tried++
				if n.tag == Ctx(1) && (len(value.content) != 1 || int64(value.content[0]) != types[name]) {
					t.Errorf("%s: type %x", name, value.content)
				}
				was := value.content
				for _, v := range []byte{was[0] - 1, was[0] + 1, 0, 0x7f} {
					value.content = []byte{v}
					b := cryptobyte.NewBuilder(nil)
					for _, n := range nodes {
						n.build(b)
					}
					if err := tc.parse(b.BytesOrPanic()); !errors.Is(err, ErrMalformed) {
						t.Errorf("%s, sample %d, %d at %s: %v", name, i, v, path, err)
					}
				}
				value.content = was
			})
		}
	}
	if tried == 0 {
		t.Error("nothing was tried")
	}
}

// Only times that there are can be read.
func TestTimesThatAreNone(t *testing.T) {
	read := func(tag byte, text string) bool {
		var at time.Time
		return readTime(append([]byte{tag, byte(len(text))}, text...), &at)
	}
	for _, text := range []string{"20260228235959Z", "20240229000000Z", "19700101000000Z", "20260101000000Z"} {
		if !read(0x18, text) {
			t.Errorf("%s is no time", text)
		}
		if read(0x17, text) || read(0x16, text) {
			t.Errorf("%s is a time in another type", text)
		}
	}
	for _, text := range []string{
		"20260229000000Z", "20260431000000Z", "20261301000000Z", "20260001000000Z", "20260100000000Z", "20260132000000Z",
		"20260101240000Z", "20260101236000Z", "20260101235960Z", "2026010100000:Z", "20260101000:00Z", "2026010100000/Z", "20260101000/00Z",
		"20260101000000z", "2026010100000Z", "202601010000000Z", "", "Z",
	} {
		if read(0x18, text) {
			t.Errorf("%s is a time", text)
		}
	}
	for _, b := range []string{"\x18\x0e20260101000000Z", "\x18\x1020260101000000Z", "\x18\x0f20260101000000ZZ"} {
		var at time.Time
		if readTime([]byte(b), &at) {
			t.Errorf("%q is a time", b)
		}
	}
}

// Credentials are opened under the first key that fits, of those that are there.
func TestKeysOfKRBCred(t *testing.T) {
	right, wrong := testKey(AES256SHA384), testKey(AES128SHA1)
	other := must(GenerateKey(AES256SHA384))
	cred := messageParsers()["KRB-CRED"].good[0]
	for name, tc := range map[string]struct {
		keys []Key
		want error
	}{
		"the first":              {[]Key{right, wrong}, nil},
		"the last":               {[]Key{{}, wrong, other, right}, nil},
		"before one that is not": {[]Key{right, other, {}}, nil},
		"another type":           {[]Key{wrong}, ErrEtype},
		"another key":            {[]Key{other}, ErrIntegrity},
		"no key":                 {[]Key{{}}, errNoKey},
		"none at all":            {nil, errNoKey},
	} {
		got, err := OpenKRBCred(cred, tc.keys...)
		if !errors.Is(err, tc.want) || (got == nil) != (tc.want != nil) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// More elements than any KDC sends are refused, however small they are.
func TestManyPADatas(t *testing.T) {
	many := func(n int) error {
		list := make([]PAData, n)
		_, err := ParsePADatas(must(MarshalPADatas(list)))
		return err
	}
	if err := many(maxPAData); err != nil {
		t.Error(err)
	}
	if err := many(maxPAData + 1); !errors.Is(err, ErrMalformed) {
		t.Errorf("one more than %d: %v", maxPAData, err)
	}
	infos := func(n int) error {
		list := make([]EtypeInfo, n)
		_, err := ParseEtypeInfo2(must(MarshalEtypeInfo2(list)))
		return err
	}
	if err := infos(maxPAData); err != nil {
		t.Error(err)
	}
	if err := infos(maxPAData + 1); !errors.Is(err, ErrMalformed) {
		t.Errorf("one more than %d keys: %v", maxPAData, err)
	}
}
