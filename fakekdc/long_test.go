package fakekdc

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// TestAnswersThatTakeLong: a connection is not given up over an answer that a fault delays,
// nor one that a fault leaves open.
func TestAnswersThatTakeLong(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := Start(t, WithoutSockets(), WithUser("alice", "secret", NoPreauth()))
				ask := func(nonce int64, f Fault) error {
					r.FailNext(AS, f)
					c := dialed(t, r, network, r.Addr())
					b := body(r, "alice", AES128SHA1)
					b.Nonce = nonce
					c.send(marshalReq(t, krb.MsgASReq, nil, b))
					if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
						t.Fatal(err)
					}
					_, err := received(c, network)
					return err
				}
				if err := ask(1, Delay(10*idleTimeout)); err != nil {
					t.Errorf("delay: %v", err)
				}
				if err := ask(2, Silence()); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("silence: %v, want an hour of it", err)
				}
			})
		})
	}
}

// TestRepliesTooBigForUDP: what no datagram can bear is asked for over TCP, errors too.
func TestRepliesTooBigForUDP(t *testing.T) {
	login := func(t *testing.T, r *Realm, nonce int64) []byte {
		b := body(r, "alice", AES128SHA1)
		b.Nonce = nonce
		return marshalReq(t, krb.MsgASReq, nil, b)
	}
	r := Start(t, WithUser("alice", "secret", NoPreauth(), TicketPadding(70_000)), WithUDPLimit(1<<30))
	if got := codeOf(t, exchange(t, r, "udp", login(t, r, 1))); got != krb.CodeResponseTooBig {
		t.Errorf("a ticket: %d", got)
	}
	if _, err := krb.ParseKDCRep(exchange(t, r, "tcp", login(t, r, 1)), krb.MsgASRep); err != nil {
		t.Errorf("over TCP: %v", err)
	}
	r.FailNext(AS, ReplyError(krb.CodePreauthRequired, make([]byte, 70_000)))
	if got := codeOf(t, exchange(t, r, "udp", login(t, r, 2))); got != krb.CodeResponseTooBig {
		t.Errorf("an error: %d", got)
	}
}
