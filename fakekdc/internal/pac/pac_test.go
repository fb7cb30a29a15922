package pac

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMalformedPAC(t *testing.T) {
	le := binary.LittleEndian
	head := func(n, version uint32, more ...uint64) []byte {
		b := le.AppendUint32(le.AppendUint32(nil, n), version)
		for i := 0; i+2 < len(more); i += 3 {
			b = le.AppendUint64(le.AppendUint32(le.AppendUint32(b, uint32(more[i])), uint32(more[i+1])), more[i+2])
		}
		return b
	}
	for name, b := range map[string][]byte{
		"empty": {}, "version": head(0, 1), "many": head(MaxBuffers+1, 0), "short": head(2, 0, 1, 0, 40),
		"before": head(1, 0, 1, 0, 8), "behind": head(1, 0, 1, 0, 1000), "too long": head(1, 0, 1, 1, 24), "overflow": head(1, 0, 1, 1<<32-1, 1<<64-1),
		"twice": head(2, 0, 1, 0, 40, 1, 0, 40),
	} {
		if list, err := Parse(b); err == nil {
			t.Errorf("%s: %v", name, list)
		}
	}
	list, err := Parse(head(2, 0, 1, 0, 40, 9, 0, 40))
	if err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestDelegationInfo(t *testing.T) {
	for name, d := range map[string]Delegation{
		"nobody": {Target: "HTTP/x"},
		"two":    {Target: "HTTP/ä", Via: []string{"a@R", "HTTP/lönger@R.EXAMPLE"}},
		"empty":  {Target: "", Via: []string{""}},
	} {
		b := d.Marshal()
		got, err := ParseDelegation(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, *got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for i := range len(b) - 8 {
			if _, err := ParseDelegation(b[:i]); err == nil {
				t.Errorf("%s: %d bytes are enough", name, i)
			}
		}
	}
	var long Delegation
	for range MaxVia + 1 {
		long.Via = append(long.Via, "x")
	}
	if _, err := ParseDelegation(long.Marshal()); err == nil {
		t.Error("no bound")
	}
}

// FuzzParse: what is read is written as it was read.
func FuzzParse(f *testing.F) {
	logon := LogonInfo{Time: time.Unix(1, 0), Name: "alice", Groups: []uint32{513}}
	info := (&Delegation{Target: "x", Via: []string{"y", ""}}).Marshal()
	whole, placed := Marshal([]Buffer{{KindLogonInfo, logon.Marshal()}, {KindClientInfo, ClientInfo("alice", time.Unix(1, 0))}, {KindDelegation, info}})
	if len(placed) != 3 {
		f.Fatal("empty seed corpus")
	}
	f.Add(whole, info)
	f.Add(whole[:len(whole)/2], info[:len(info)/2])
	f.Add(ClientInfo("carol@C.EXAMPLE", time.Unix(1, 0)), info)
	f.Fuzz(func(t *testing.T, raw, info []byte) {
		if list, err := Parse(raw); err == nil {
			whole, placed := Marshal(list)
			again, err := Parse(whole)
			if err != nil || len(again) != len(list) {
				t.Fatalf("%v: %v", err, list)
			}
			for i := range again {
				if again[i].Kind != list[i].Kind || !bytes.Equal(again[i].Data, list[i].Data) || !bytes.Equal(placed[i].Data, list[i].Data) {
					t.Fatalf("buffer %d", i)
				}
			}
		}
		if name, err := ClientName(raw); err == nil {
			if again, err := ClientName(ClientInfo(name, time.Unix(1, 0))); err != nil || again != name {
				t.Fatalf("client %q, %q, %v", name, again, err)
			}
		}
		if d, err := ParseDelegation(info); err == nil {
			again, err := ParseDelegation(d.Marshal())
			if err != nil || again.Target != d.Target || !slices.Equal(again.Via, d.Via) {
				t.Fatalf("%+v, %+v, %v", d, again, err)
			}
		}
	})
}
