package kdcclient

import (
	"context"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// oneKey gives the same key whatever is asked for.
type oneKey struct{ KeyEntry }

func (oneKey) Etypes() ([]int32, int) { return nil, 0 }

func (k oneKey) Key(context.Context, krb.EtypeInfo, uint32) (KeyEntry, error) { return k.KeyEntry, nil }

// TestReplyKey: a reply is opened with the key that passed the pre-authentication if it is of the
// type that the reply is sealed with, and with one of that type otherwise.
func TestReplyKey(t *testing.T) {
	var keys []KeyEntry
	for _, etype := range []int32{17, 18} {
		for kvno := uint32(1); kvno < 3; kvno++ {
			key, err := krb.GenerateKey(etype)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, KeyEntry{Key: key, Kvno: kvno})
		}
	}
	reply := func(etype int32) *krb.KDCRep {
		return &krb.KDCRep{EncPart: krb.EncryptedData{Etype: etype, Kvno: 2}}
	}
	a := &asCall{r: ASRequest{Client: alice, Keys: KeyTable(keys)}, etypes: []int32{17, 18}, key: keys[2]} // 18, an older version
	for etype, want := range map[int32]KeyEntry{18: keys[2], 17: keys[1]} {
		if got, err := a.replyKey(t.Context(), reply(etype)); err != nil || got.Kvno != want.Kvno || !got.Key.Equal(want.Key) {
			t.Errorf("type %d: version %d, type %d, %v", etype, got.Kvno, got.Key.Etype(), err)
		}
	}
	a = &asCall{r: ASRequest{Client: alice, Keys: oneKey{keys[0]}}, etypes: []int32{17, 18}}
	if _, err := a.replyKey(t.Context(), reply(18)); err == nil || !strings.Contains(err.Error(), "was given for aes256-cts-hmac-sha1-96") {
		t.Errorf("a key of another type was taken: %v", err)
	}
	if _, err := a.replyKey(t.Context(), reply(17)); err != nil {
		t.Error(err)
	}
	// Nor does one prove the client.
	k := newScripted(t, realmA)
	k.preauth = true
	k.start()
	_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: oneKey{keys[0]}, Etypes: []int32{18}})
	if e := failure(t, err); !strings.Contains(err.Error(), "was given for aes256-cts-hmac-sha1-96") || k.count(0) != 1 {
		t.Errorf("kind %d after %d requests: %v", e.Kind, k.count(0), err)
	}
}
