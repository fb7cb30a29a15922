package ccache

import (
	"fmt"
	"testing"

	"github.com/jcmturner/gokrb5/v8/credentials"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// large returns a cache file with n service tickets, such as a crawler of a
// company's servers gathers.
func large(tb testing.TB, n int) []byte {
	tb.Helper()
	c := parse(tb, testFile(tb, 4))
	model := c.Credentials[1]
	for i := range n - len(c.Credentials) {
		cred := model
		cred.Server = krb.NewPrincipal(realm, "HTTP", fmt.Sprintf("host%04d.example.test", i))
		c.Credentials = append(c.Credentials, cred)
	}
	b, err := c.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkParse1000(b *testing.B) {
	file := large(b, 1000)
	b.Run("ccache", func(b *testing.B) {
		b.SetBytes(int64(len(file)))
		b.ReportAllocs()
		for b.Loop() {
			if c, err := Parse(file); err != nil || len(c.Credentials) != 1000 {
				b.Fatal(len(c.Credentials), err)
			}
		}
	})
	b.Run("gokrb5", func(b *testing.B) {
		b.SetBytes(int64(len(file)))
		b.ReportAllocs()
		for b.Loop() {
			c := new(credentials.CCache)
			if err := c.Unmarshal(file); err != nil || len(c.Credentials) != 1002 {
				b.Fatal(len(c.Credentials), err)
			}
		}
	})
}

func BenchmarkLookup1000(b *testing.B) {
	c := parse(b, large(b, 1000))
	last := c.Credentials[len(c.Credentials)-1].Server
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Ticket(last, Query{Now: start}); err != nil {
			b.Fatal(err)
		}
	}
}

// A record is what caches that are no files hand out, one at a time.
func BenchmarkAppendRecord(b *testing.B) {
	file := parse(b, testFile(b, 4))
	record, err := file.Credentials[1].Marshal()
	if err != nil {
		b.Fatal(err)
	}
	c := &Cache{Client: file.Client, Credentials: make([]Credential, 0, 1)}
	b.ReportAllocs()
	for b.Loop() {
		c.Credentials = c.Credentials[:0]
		if err := c.Append(record); err != nil {
			b.Fatal(err)
		}
	}
}
