package fakekdc_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// meet shows a login over TCP that meets a fault in its first exchange, of a
// user who needs no pre-authentication. A client that gives up does so at once,
// one that goes on finds the KDC well.
func meet(f fakekdc.Fault) {
	realm := newRealm(fakekdc.WithUser("bob", "secret", fakekdc.NoPreauth()))
	defer realm.Close()
	realm.FailNext(fakekdc.AS, f)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, _ = source(realm, "bob", "secret", "udp_preference_limit = 1").ServiceTicket(ctx, "HTTP/localhost")
	fmt.Println(realm.Exchanges()[0])
}

// order shows a fault that would make the example wait.
func order(f fakekdc.Fault) {
	realm := newRealm()
	defer realm.Close()
	realm.FailNext(fakekdc.Any, f)
	fmt.Println("ordered:", f, realm.PendingFaults())
}

func ExampleReplyError() {
	const unavailable = 29
	meet(fakekdc.ReplyError(unavailable, nil))
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: KDC_ERR_SVC_UNAVAILABLE [KDC_ERR_SVC_UNAVAILABLE]
}

func ExampleGarbageEData() {
	meet(fakekdc.GarbageEData())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: KDC_ERR_PREAUTH_REQUIRED [garbage e-data]
}

func ExampleEmptyEData() {
	meet(fakekdc.EmptyEData())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: KDC_ERR_PREAUTH_REQUIRED [empty e-data]
}

func ExampleDrop() {
	meet(fakekdc.Drop())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [drop]
}

func ExampleReset() {
	meet(fakekdc.Reset())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [reset]
}

func ExampleTruncate() {
	meet(fakekdc.Truncate())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [truncate]
}

func ExampleHugeFrame() {
	meet(fakekdc.HugeFrame())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [huge frame]
}

func ExampleGarbage() {
	meet(fakekdc.Garbage())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: no ticket [garbage]
}

func ExampleWrongNonce() {
	meet(fakekdc.WrongNonce())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong nonce]
}

func ExampleWrongRealm() {
	meet(fakekdc.WrongRealm())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong realm]
}

func ExampleWrongClient() {
	meet(fakekdc.WrongClient())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong client]
}

func ExampleWrongServer() {
	meet(fakekdc.WrongServer())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong server]
}

func ExampleWrongKey() {
	meet(fakekdc.WrongKey())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong key]
}

func ExampleShortCipher() {
	meet(fakekdc.ShortCipher())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [short cipher]
}

func ExampleEarlierTicket() {
	meet(fakekdc.EarlierTicket())
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [earlier ticket]
}

func ExampleDelay() {
	meet(fakekdc.Delay(time.Millisecond))
	// Output: AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [delay]
}

func ExampleSilence() {
	order(fakekdc.Silence())
	// Output: ordered: silence 1
}

func ExampleTimes() {
	realm := newRealm()
	defer realm.Close()
	realm.FailNext(fakekdc.AS, fakekdc.Times(3, fakekdc.Silence())...)
	fmt.Println(realm.PendingFaults())
	// Output: 3
}

func ExampleTooBig() {
	realm := newRealm()
	defer realm.Close()
	realm.FailNext(fakekdc.TGS, fakekdc.TooBig())
	fmt.Println(login(realm, "alice", "secret"))
	for _, e := range realm.Exchanges()[2:] {
		fmt.Println(e)
	}
	// Output:
	// ok
	// TGS/udp alice@A.EXAMPLE for HTTP/localhost@A.EXAMPLE: KRB_ERR_RESPONSE_TOO_BIG [too big]
	// TGS/tcp alice@A.EXAMPLE for HTTP/localhost@A.EXAMPLE: aes256-cts-hmac-sha1-96
}

func ExampleHold() {
	realm := newRealm()
	defer realm.Close()
	release := make(chan struct{})
	realm.FailNext(fakekdc.TGS, fakekdc.Hold(release))
	tickets := source(realm, "alice", "secret", "udp_preference_limit = 1")
	done := make(chan error)
	go func() {
		_, err := tickets.ServiceTicket(context.Background(), "HTTP/localhost")
		done <- err
	}()
	// Here is the time to let other things happen.
	close(release)
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	fmt.Println("went on")
	// Output: went on
}
