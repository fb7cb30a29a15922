package fakekdc_test

import (
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/config"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/messages"
	"github.com/jcmturner/gokrb5/v8/service"
	"github.com/jcmturner/gokrb5/v8/types"

	"github.com/kerbchain/kerbchain/fakekdc"
)

// What "kvno -U alice -P HTTP/db" does: a web service acts for a user at the
// database, and the record shows it.
func ExampleTrustedToAuth() {
	realm := newRealm(
		fakekdc.WithService("HTTP/db"),
		fakekdc.WithService("HTTP/web", fakekdc.TrustedToAuth(), fakekdc.AllowedToDelegateTo("HTTP/db")))
	defer realm.Close()
	onBehalf(realm, "HTTP/web", "alice", "HTTP/db")
	// Output:
	// TGS/tcp HTTP/web@A.EXAMPLE for HTTP/web@A.EXAMPLE, S4U2Self for alice@A.EXAMPLE: aes256-cts-hmac-sha1-96
	// TGS/tcp HTTP/web@A.EXAMPLE for HTTP/db@A.EXAMPLE, S4U2Proxy for alice@A.EXAMPLE: aes256-cts-hmac-sha1-96
}

// A service that is not trusted needs a ticket that the user brought.
func ExampleAllowedToDelegateTo() {
	realm := newRealm(
		fakekdc.WithService("HTTP/db"),
		fakekdc.WithService("HTTP/web", fakekdc.AllowedToDelegateTo("HTTP/db")))
	defer realm.Close()
	onBehalf(realm, "HTTP/web", "alice", "HTTP/db")
	// Output:
	// TGS/tcp HTTP/web@A.EXAMPLE for HTTP/web@A.EXAMPLE, S4U2Self for alice@A.EXAMPLE: aes256-cts-hmac-sha1-96
	// TGS/tcp HTTP/web@A.EXAMPLE for HTTP/db@A.EXAMPLE, S4U2Proxy for alice@A.EXAMPLE: KDC_ERR_BADOPTION
}

func ExampleAllowedToDelegateFrom() {
	realm := newRealm(
		fakekdc.WithService("HTTP/web"),
		fakekdc.WithService("HTTP/db", fakekdc.AllowedToDelegateFrom("HTTP/web")))
	defer realm.Close()
	onBehalf(realm, "HTTP/web", "alice", "HTTP/db")
	// Output:
	// TGS/tcp HTTP/web@A.EXAMPLE for HTTP/web@A.EXAMPLE, S4U2Self for alice@A.EXAMPLE: aes256-cts-hmac-sha1-96
	// TGS/tcp HTTP/web@A.EXAMPLE for HTTP/db@A.EXAMPLE, S4U2Proxy for alice@A.EXAMPLE: aes256-cts-hmac-sha1-96
}

func ExampleUserToUserOnly() {
	realm := newRealm(fakekdc.WithUser("bob", "other", fakekdc.UserToUserOnly()))
	defer realm.Close()
	alice, bob := loggedIn(realm, "alice"), loggedIn(realm, "bob")
	ticketFrom(realm, alice, "bob", 0, nil)
	ticketFrom(realm, alice, "bob", toUser, bob)
	fmt.Println(realm.Exchanges())
	// Output:
	// TGS/tcp alice@A.EXAMPLE for bob@A.EXAMPLE: KDC_ERR_MUST_USE_USER2USER
	// TGS/tcp alice@A.EXAMPLE for bob@A.EXAMPLE, user to user: aes256-cts-hmac-sha1-96
}

func ExampleExchanges() {
	realm := newRealm()
	defer realm.Close()
	fmt.Println(realm.Exchanges())
	login(realm, "alice", "secret")
	fmt.Println(realm.Exchanges())
	// Output:
	// no exchanges
	// AS/udp alice@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: KDC_ERR_PREAUTH_REQUIRED
	// AS/udp alice@A.EXAMPLE for krbtgt/A.EXAMPLE@A.EXAMPLE: aes256-cts-hmac-sha1-96
	// TGS/udp alice@A.EXAMPLE for HTTP/localhost@A.EXAMPLE: aes256-cts-hmac-sha1-96
}

func ExampleSessionEtypes() {
	// A service of Active Directory with a password of old.
	realm := newRealm(fakekdc.WithService("HTTP/old", fakekdc.Etypes(fakekdc.RC4HMAC), fakekdc.SessionEtypes(fakekdc.AES256SHA1)))
	defer realm.Close()
	ticketFrom(realm, loggedIn(realm, "alice"), "HTTP/old", 0, nil)
	fmt.Println(realm.Exchanges())
	// Output: TGS/tcp alice@A.EXAMPLE for HTTP/old@A.EXAMPLE: aes256-cts-hmac-sha1-96
}

func ExampleTicketFlags() {
	// A service whose tickets cannot be used before they are validated.
	realm := newRealm(fakekdc.WithService("HTTP/later", fakekdc.TicketFlags(fakekdc.FlagInvalid, 0)))
	defer realm.Close()
	alice := loggedIn(realm, "alice")
	for _, service := range []string{"HTTP/localhost", "HTTP/later"} {
		ticket := ticketFrom(realm, alice, service, 0, nil)
		fmt.Println(ticket.Server, "invalid:", ticket.Flags&fakekdc.FlagInvalid != 0)
	}
	// Output:
	// HTTP/localhost@A.EXAMPLE invalid: false
	// HTTP/later@A.EXAMPLE invalid: true
}

func ExampleWithEncPARep() {
	realm := newRealm(fakekdc.WithEncPARep())
	defer realm.Close()
	c := gokrb5Client(realm, "alice", "secret")
	defer c.Destroy()
	fmt.Println(c.Login())
	// Output: <nil>
}

func gokrb5Client(realm *fakekdc.Realm, user, password string) *client.Client {
	conf, err := config.NewFromString(realm.Config())
	if err != nil {
		log.Fatal(err)
	}
	return client.NewWithPassword(user, realm.Name(), password, conf)
}

func ExampleWithKpasswd() {
	realm := newRealm(fakekdc.WithKpasswd(func(_, password string) error {
		if len(password) < 8 {
			return errors.New("eight letters at least")
		}
		return nil
	}))
	defer realm.Close()
	c := gokrb5Client(realm, "alice", "secret")
	defer c.Destroy()
	for _, password := range []string{"short", "long enough"} {
		_, err := c.ChangePasswd(password)
		fmt.Println(err == nil, login(realm, "alice", password))
	}
	for _, e := range realm.Exchanges() {
		if e.Kind == fakekdc.Kpasswd {
			fmt.Println(e)
		}
	}
	// Output:
	// false refused
	// true ok
	// kpasswd/udp alice@A.EXAMPLE for alice@A.EXAMPLE: eight letters at least
	// kpasswd/udp alice@A.EXAMPLE for alice@A.EXAMPLE: changed
}

// groups logs a user in and lets gokrb5's acceptor tell of what groups.
func groups(realm *fakekdc.Realm, user string) {
	c := gokrb5Client(realm, user, "secret")
	defer c.Destroy()
	if err := c.Login(); err != nil {
		log.Fatal(err)
	}
	ticket, key, err := c.GetServiceTicket("HTTP/localhost")
	if err != nil {
		log.Fatal(err)
	}
	auth, err := types.NewAuthenticator(realm.Name(), c.Credentials.CName())
	if err != nil {
		log.Fatal(err)
	}
	req, err := messages.NewAPReq(ticket, key, auth)
	if err != nil {
		log.Fatal(err)
	}
	keys := keytab.New()
	if err := keys.Unmarshal(realm.Keytab("HTTP/localhost")); err != nil {
		log.Fatal(err)
	}
	ok, caller, err := service.VerifyAPREQ(&req, service.NewSettings(keys))
	if !ok {
		log.Fatal(err)
	}
	for _, sid := range caller.GetADCredentials().GroupMembershipSIDs {
		fmt.Println(sid[strings.LastIndexByte(sid, '-')+1:])
	}
}

func ExampleGroups() {
	const admins = 512
	realm := newRealm(fakekdc.WithPAC(), fakekdc.WithUser("root", "secret", fakekdc.Groups(admins, 2000)))
	defer realm.Close()
	groups(realm, "root")
	// Output:
	// 513
	// 512
	// 2000
}
