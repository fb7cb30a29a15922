package hostname

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
)

// dialed returns the host that net/http dials for one: the tables of Unicode that it
// goes by are those of the Go release.
func dialed(t *testing.T, host string) string {
	t.Helper()
	var dialed string
	tr := &http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
		dialed, _, _ = net.SplitHostPort(address)
		return nil, errors.New("no network")
	}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := tr.RoundTrip(r); err == nil {
		resp.Body.Close()
		t.Error("a response without a network")
	}
	if dialed != "strasse.test" && dialed != "xn--strae-oqa.test" { // Unicode 15, 17
		t.Errorf("net/http dials %q for %q", dialed, host)
	}
	return dialed
}

func TestNormal(t *testing.T) {
	long := strings.Repeat("a", 63)
	for host, want := range map[string]string{
		"web.test":                      "web.test",
		"WEB.Test.":                     "web.test",
		"web.test.":                     "web.test",
		"under_score":                   "under_score",
		"az-09.AZ":                      "az-09.az",
		"fe80::1%azAZ09":                "fe80::1%azAZ09",
		"b\u00fccher.test":              "xn--bcher-kva.test",
		"B\u00dcCHER.test":              "xn--bcher-kva.test",
		"web\u3002test\u3002":           "web.test",
		"stra\u1e9ee.test":              dialed(t, "stra\u1e9ee.test"), // which is not what lower case makes of it
		"\u212aerberos.test":            "kerberos.test",
		"127.0.0.1":                     "127.0.0.1",
		"\uff11\uff12\uff17.0.0.1":      "127.0.0.1",
		"::1":                           "::1",
		"2001:DB8:0:0::1":               "2001:db8::1",
		"fe80::1%eth0":                  "fe80::1%eth0",
		"fe80::1%Ethernet_1.~-":         "fe80::1%Ethernet_1.~-",
		long + ".test":                  long + ".test",
		strings.Repeat("a.", 126) + "a": strings.Repeat("a.", 126) + "a",
	} {
		got, err := Normal(host)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", host, got, err, want)
		}
	}
	for _, host := range []string{
		"", ".", "..", "%web.test", strings.Repeat("a:", 2500), "web..test", ".web.test", "web.test..", "web.test%", "web.test%.evil.test", "127.0.0.1%eth0", "::1%", "::%]0", "::1%a/b", "::1%a@b", "::1%\x00", "::1%\u00fc", "::1%a%b", "::1.evil.test", "web.test:80", "[::1]",
		"web.test@evil.test", "web.test/evil", "web.test\\evil", "web test", "web.test ", "web.test\x00", "web.test\n", "web\x7f", "web*", "web!", "web.test,evil", "a{b", "a[b", "a`b",
		"\u202etset.bew\u05d0", "xn--\uff0e\u05d0", long + "a.test", strings.Repeat("a.", 127) + "a", strings.Repeat("\u00fc", 600), strings.Repeat("a", 5000),
	} {
		got, err := Normal(host)
		if err == nil {
			t.Errorf("%q was taken for %q", host, got)
		} else if len(err.Error()) > 1000 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
	}
}

func TestNormalPort(t *testing.T) {
	for port, want := range map[string]string{"80": "80", "0080": "80", "65535": "65535", "0": "0", "00": "0", "01": "1"} {
		if got, err := NormalPort(port); err != nil || got != want {
			t.Errorf("%q: %q, %v", port, got, err)
		}
	}
	for _, port := range []string{"", "65536", "+80", "-1", "8 0", "http", "0x50", "99999999999999999999", "8_0", "\uff18\uff10"} {
		if got, err := NormalPort(port); err == nil {
			t.Errorf("%q was taken for %q", port, got)
		}
	}
}

func TestAddresses(t *testing.T) {
	for host, want := range map[string]string{"fe80::1%eth0": "fe80::1", "::1": "::1", "web.test": "web.test", "web.test%eth0": "web.test%eth0", "::ffff:127.0.0.1": "::ffff:127.0.0.1"} {
		if got := WithoutZone(host); got != want {
			t.Errorf("%q without its zone: %q", host, got)
		}
	}
	for host, want := range map[string]bool{"127.0.0.1": true, "::1": true, "fe80::1%eth0": true, "web.test": false, "127.1": false, "": false} {
		if got := IsAddress(host); got != want {
			t.Errorf("%q an address: %t", host, got)
		}
	}
}

// As a transport says it, and no other.
func TestSame(t *testing.T) {
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no network") }}
	for _, host := range []string{"web.test", "WEB.test.", "b\u00fccher.test", "B\u00dcCHER.test", "xn--bcher-kva.test", "[::1]", "[fe80::1%25eth0]", "127.0.0.1", "under_score.test", "stra\u1e9ee.test"} {
		got := ""
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(hostPort string) { got = hostPort }})
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+":01/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := tr.RoundTrip(r); err == nil {
			resp.Body.Close()
			t.Error("a response without a network")
		}
		if got == "" || !Same(got, r.URL.Hostname(), "1") {
			t.Errorf("%s: %q is another one", host, got)
		}
		if Same(got, r.URL.Hostname(), "2") || Same(got, "other.test", "1") || Same(got, "", "1") || Same(got, r.URL.Hostname(), "") {
			t.Errorf("%s: %q is all the same", host, got)
		}
	}
	for _, hop := range []string{"", "web.test", "web.test:", "web%.test:1", "[web.test]"} {
		if Same(hop, "web.test", "1") || Same(hop, "web%.test", "1") {
			t.Errorf("%q is web.test:1", hop)
		}
	}
}

// What is normal stays so, and nothing in it ends a host within a URL or a
// principal.
func FuzzNormal(f *testing.F) {
	for _, s := range []string{"web.test", "WEB.test.", "b\u00fccher.test", "stra\u1e9ee", "::1", "fe80::1%x", "web%.test", "xn--", "a\u3002b", "\u05d0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := Normal(s)
		if err != nil {
			if name != "" {
				t.Errorf("%q: %q and %v", s, name, err)
			}
			return
		}
		if again, err := Normal(name); err != nil || again != name {
			t.Errorf("%q: %q, then %q, %v", s, name, again, err)
		}
		bare := WithoutZone(name)
		if bare == "" || strings.ContainsAny(bare, "%/@\\ \x00[]?#") || strings.Contains(bare, ":") && !IsAddress(bare) {
			t.Errorf("%q: %q", s, bare)
		}
	})
}
