package fakekdc_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/kerbchain/kerbchain/client/clienttest"
	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/kerberos"
	"github.com/kerbchain/kerbchain/middleware"
)

// A mail server authenticates its user over a connection of its own protocol, as SASL
// does: tokens go to and fro, each behind its length.
func ExampleRealm_Accept() {
	realm := newRealm(fakekdc.WithoutSockets(), fakekdc.WithService("imap/mail.example"))
	defer realm.Close()
	near, far := net.Pipe()
	defer near.Close()

	go func() { // the server
		defer far.Close()
		sc, err := realm.Accept(readToken(far), fakekdc.AcceptOptions{Service: "imap/mail.example"})
		if no, ok := errors.AsType[*fakekdc.AcceptError](err); ok {
			writeToken(far, no.Response) // tells the client why
			return
		}
		writeToken(far, sc.Response())
		fmt.Fprintf(far, "welcome %s", sc.Caller().Name)
	}()

	in, err := kerberos.NewInitiator(clienttest.TicketSource(nil, realm, "alice"), kerberos.InitiatorOptions{Service: "imap", Bindings: kerberos.BindingsOff})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	sc, err := in.Initiate(ctx, middleware.Target{Host: "mail.example"})
	if err != nil {
		log.Fatal(err)
	}
	token, err := sc.Step(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	writeToken(near, token)
	if _, err := sc.Step(ctx, readToken(near)); err != nil {
		log.Fatal(err)
	}
	greeting, err := io.ReadAll(near)
	fmt.Println(sc.Verified(), string(greeting), err)
	// Output: true welcome alice@A.EXAMPLE <nil>
}

func writeToken(w io.Writer, token []byte) {
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(token))), token...)); err != nil {
		log.Fatal(err)
	}
}

func readToken(r io.Reader) []byte {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		log.Fatal(err)
	}
	token := make([]byte, min(binary.BigEndian.Uint32(head[:]), 1<<16))
	if _, err := io.ReadFull(r, token); err != nil {
		log.Fatal(err)
	}
	return token
}
