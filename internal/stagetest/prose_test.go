package stagetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProse(t *testing.T) {
	for text, want := range map[string][]string{
		"kerberos: no usable Kerberos credentials (principal alice@X): read FILE:/x: no such file; run kinit": nil,
		"dial 127.0.0.1:88: connection refused (KDCs asked: 127.0.0.1:88/udp, 127.0.0.1:88/tcp)":              nil,
		"no cache: no such file; run kinit, or set KRB5CCNAME; run kinit, or name it":                         {`"run kinit" is said twice`},
		"waiting: context deadline exceeded\ncontext deadline exceeded":                                       {`"context deadline exceeded" is said twice`},
		"401 from h, which offers ":      {`it ends in "offers"`},
		"401 from h, which offers":       {`it ends in "offers"`},
		"read x: ":                       {`it ends in "x:"`},
		"principal : unknown":            nil,
		"a: : b":                         {`words are missing at ": :"`},
		"asked ()":                       {`words are missing at "()"`},
		"got %!d(string=x)":              {`words are missing at "%!d"`},
		"cause <nil>":                    {`words are missing at "<nil>"`},
		"; run kinit":                    {`words are missing at ";"`},
		"":                               {"it is empty"},
		"bad thing (x: bad thing there)": nil,
		"no KDC answered (KDCs asked: a dial udp: connection refused, b dial tcp: connection refused)":        nil,
		"asked for in vain: x [unknown (KDCs asked: y answered so)], z [unknown (KDCs asked: y answered so)]": nil,
		"which realm the host belongs to": nil,
		"it is old (the key): it is old":  {`"it is old" is said twice`},
	} {
		if d := cmp.Diff(want, Prose(text)); d != "" {
			t.Errorf("%q: %s", text, d)
		}
	}
}
