package gss

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// open decrypts the authenticator of a framed AP-REQ.
func open(t *testing.T, key krb.Key, framed []byte) *krb.Authenticator {
	t.Helper()
	_, id, inner, err := spnego.Unframe(framed)
	if err != nil || id != spnego.TokAPReq {
		t.Fatalf("token %04x, %v", id, err)
	}
	req, err := krb.ParseAPReq(inner)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := key.OpenData(krb.UsageAPReqAuth, req.Authenticator)
	if err != nil {
		t.Fatal(err)
	}
	a, err := krb.ParseAuthenticator(plain)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// An initiator of MIT's that is told so says the same as ours, to the byte.
func TestBindingsAware(t *testing.T) {
	text, err := os.ReadFile("testdata/ap-options.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Etype      int32    `json:"etype"`
		Mutual     bool     `json:"mutual"`
		SessionKey hexBytes `json:"session_key"`
		Bindings   hexBytes `json:"cb_application_data"`
		Bnd        hexBytes `json:"bnd"`
		AuthData   hexBytes `json:"authorization_data"`
		APReqToken hexBytes `json:"ap_req_token"`
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) != 16 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		t.Run(fmt.Sprintf("etype %d, mutual %t, bound %t", v.Etype, v.Mutual, len(v.Bindings) > 0), func(t *testing.T) {
			key, err := krb.NewKey(v.Etype, v.SessionKey)
			if err != nil {
				t.Fatal(err)
			}
			theirs := open(t, key, v.APReqToken)
			if len(v.AuthData) == 0 || !bytes.Equal(theirs.AuthData, v.AuthData) || !bytes.Equal(theirs.Checksum.Value[4:20], v.Bnd) {
				t.Fatalf("the vector is not what it says: %x", theirs.AuthData)
			}
			// Their ticket is in the token; any one will do for ours.
			ticket := &krb.Ticket{Client: theirs.Client, Key: key, Raw: ticketOf(t, v.APReqToken)}
			for _, aware := range []bool{true, false} {
				o := Options{Flags: FlagInteg, BindingsAware: aware, Now: time.Now()}
				if len(v.Bindings) > 0 {
					o.Bindings = new(cbt.Hash(v.Bindings))
				}
				if v.Mutual {
					o.Flags |= FlagMutual
				}
				_, req, err := Init(ticket, o)
				if err != nil {
					t.Fatal(err)
				}
				ours := open(t, key, spnego.Frame(spnego.TokAPReq, req))
				want := []byte(v.AuthData)
				if !aware {
					want = nil
				}
				if !bytes.Equal(ours.AuthData, want) {
					t.Errorf("aware %t: %x, want %x", aware, ours.AuthData, want)
				}
				if !bytes.Equal(ours.Checksum.Value[4:20], v.Bnd) {
					t.Errorf("bindings %x, want %x", ours.Checksum.Value[4:20], v.Bnd)
				}
			}
			if hash := cbt.Hash(nil); len(v.Bindings) == 0 && !bytes.Equal(hash[:], v.Bnd) {
				t.Errorf("no bindings are %x", v.Bnd)
			}
		})
	}
}

func ticketOf(t *testing.T, framed []byte) []byte {
	t.Helper()
	_, _, inner, err := spnego.Unframe(framed)
	if err != nil {
		t.Fatal(err)
	}
	req, err := krb.ParseAPReq(inner)
	if err != nil {
		t.Fatal(err)
	}
	return req.RawTicket
}
