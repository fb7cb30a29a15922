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

// Each is what one login over TCP meets.
func ExampleFault() {
	for _, f := range []fakekdc.Fault{
		fakekdc.ReplyError(fakekdc.CodeUnavailable, nil), fakekdc.ReplyError(fakekdc.CodePreauthRequired, []byte("garbage")), fakekdc.Drop(), fakekdc.ResetConnection(),
		fakekdc.Truncate(), fakekdc.HugeFrame(), fakekdc.Garbage(), fakekdc.WrongNonce(), fakekdc.WrongRealm(), fakekdc.WrongClient(),
		fakekdc.WrongServer(), fakekdc.WrongKey(), fakekdc.ShortCipher(), fakekdc.EarlierTicket(), fakekdc.Delay(time.Millisecond),
	} {
		meet(f)
	}
	// Output:
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: KDC_ERR_SVC_UNAVAILABLE [KDC_ERR_SVC_UNAVAILABLE]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: KDC_ERR_PREAUTH_REQUIRED [KDC_ERR_PREAUTH_REQUIRED]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [drop]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [reset]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [truncate]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [huge frame]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: no ticket [garbage]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong nonce]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong realm]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong client]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong server]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [wrong key]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [short cipher]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [earlier ticket]
	// AS/tcp bob@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96 [delay]
}

func ExampleRepeat() {
	realm := newRealm()
	defer realm.Close()
	realm.FailNext(fakekdc.AS, fakekdc.Repeat(3, fakekdc.Silence())...)
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

func ExampleHoldUntil() {
	realm := newRealm()
	defer realm.Close()
	release := make(chan struct{})
	realm.FailNext(fakekdc.TGS, fakekdc.HoldUntil(release))
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
