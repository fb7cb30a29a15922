package hints_test

import (
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/hints"
)

func TestJoin(t *testing.T) {
	for want, all := range map[string][]string{
		"":        nil,
		"a":       {"a"},
		"b":       {"", "b", ""},
		"a; b; c": {"a", "b", "", "c"},
		"a? b; c": {"a?", "b", "c"},
	} {
		if got := hints.Join(all...); got != want {
			t.Errorf("%q: got %q, want %q", all, got, want)
		}
	}
}

// TestUnreachable: the ports are those that were asked, not those that are usual.
func TestUnreachable(t *testing.T) {
	for want, asked := range map[string][]hints.At{
		"is the KDC up, and does a firewall let port 88 through, UDP and TCP?":           nil,
		"is the KDC up, and does a firewall let port 7788 through, UDP and TCP?":         {{"udp", "192.0.2.1:7788"}, {"tcp", "[::1]:7788"}},
		"is the KDC up, and does a firewall let ports 88 and 1088 through, UDP and TCP?": {{"udp", "a.test:88 [192.0.2.1]"}, {"tcp", "b.test:1088"}},
		"is the KDC up, and does a firewall let port 443 through?":                       {{"https", "proxy.test:443"}},
		"is the KDC up?": {{"unix", "/run/kdc"}},
		"is it up, and does a firewall let port 464 through? The password is the old one still":  nil,
		"is it up, and does a firewall let port 7464 through? The password is the old one still": {{"tcp", "192.0.2.1:7464"}},
	} {
		say := hints.Unreachable
		if strings.HasSuffix(want, "still") {
			say = hints.NoChange
		}
		if got := say(asked...); got != want {
			t.Errorf("%v: got %q, want %q", asked, got, want)
		}
	}
}

func TestNoKDC(t *testing.T) {
	for realm, want := range map[string][]string{
		"A.TEST": {"add `A.TEST = { kdc = host }`", "_kerberos._udp.A.TEST", "is the realm spelled right?"},
		"a.test": {"write the realm in capitals: A.TEST; or add `a.test = { kdc = host }`"},
	} {
		got := hints.NoKDC(realm)
		for _, part := range want {
			if strings.Count(got, part) != 1 {
				t.Errorf("%s: %q says %q %d times", realm, got, part, strings.Count(got, part))
			}
		}
	}
}
