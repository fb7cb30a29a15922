package dnslookup

import (
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// seeds are answers to the query number 1 for realm.
func seeds() [][]byte {
	q := query{id: 1, name: realm, qtype: 256}
	one := uriRR(realm, 3600, 10, 1, "krb5srv:m:tcp:kdc.example.com")
	out := [][]byte{
		q.reply(0, one),
		q.reply(0, one, one, newRR(realm, 1, 1, 1, []byte{192, 0, 2, 1})),
		q.reply(0, cnameRR(realm, "b.test"), cnameRR("b.test", "c.test"), uriRR("c.test", 1, 1, 1, "x")),
		q.reply(0, cnameRR(realm, realm)),
		q.reply(0, newRR(realm, 256, 1, 1, []byte{0, 1})),
		q.reply(bitTruncated, one), q.reply(3), q.reply(2), q.reply(1), {}, {0, 1, 0x80},
	}
	// An owner that points back at the question.
	b := q.reply(0, append(rr{0xc0, 12}, one[len(wireName(realm)):]...))
	return append(out, b, b[:len(b)-3])
}

func FuzzParse(f *testing.F) {
	if len(seeds()) == 0 {
		f.Fatal("nothing to start from")
	}
	for _, b := range seeds() {
		f.Add(b)
	}
	name, _ := wholeName(realm)
	q := dnsmessage.Question{Name: name, Type: typeURI, Class: dnsmessage.ClassINET}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parse(b, 1, q)
		if err != nil && (len(a.records) > 0 || a.code != 0) {
			t.Fatalf("%+v and %v", a, err)
		}
		total := 0
		for _, r := range a.records {
			if r.Target == "" {
				t.Fatal("a record without a target")
			}
			total += len(r.Target)
		}
		if total > len(b) || a.ttl < 0 || a.ttl > (1<<31)*time.Second || len(a.records) == 0 && a.ttl != 0 {
			t.Fatalf("%d bytes of targets of %d, ttl %v", total, len(b), a.ttl)
		}
	})
}

func TestCompressedOwner(t *testing.T) {
	name, _ := wholeName(realm)
	q := dnsmessage.Question{Name: name, Type: typeURI, Class: dnsmessage.ClassINET}
	all := seeds()
	if a, err := parse(all[len(all)-2], 1, q); err != nil || len(a.records) != 1 || a.records[0].Priority != 10 {
		t.Error(a, err)
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, text := range []string{"", "nameserver 192.0.2.1\noptions timeout:1 attempts:3\n", "nameserver fe80::1%eth0\r\n", "#\n;\n\nsearch a b\n", "options timeout:99999999999999999999"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := parseConfig(text)
		if len(c.servers) == 0 || len(c.servers) > maxServers || c.timeout < time.Second || c.timeout > maxTimeout || c.attempts < 1 || c.attempts > maxAttempts {
			t.Fatalf("%+v", c)
		}
		for _, s := range c.servers {
			if host, port, err := net.SplitHostPort(s); err != nil || port != "53" || host == "" || strings.ContainsAny(host, " \n") {
				t.Fatalf("%q: %v", s, err)
			}
		}
	})
}
