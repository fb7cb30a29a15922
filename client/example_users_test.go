package client_test

import (
	"container/list"
	"log"
	"net/http"
	"sync"

	"github.com/kerbchain/kerbchain/client"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
)

// Users are the clients of a server that acts for many users: one for each, since a
// connection that was authenticated belongs to one principal. Of more than max users
// the one who asked longest ago gives way, and logs in again when needed.
type Users struct {
	max  int
	make func(principal string) (*http.Client, error)

	mu    sync.Mutex
	order *list.List // of *user, the latest first
	known map[string]*list.Element
}

type user struct {
	principal string
	client    *http.Client
	calls     int  // under way
	gone      bool // gave way
}

// NewUsers returns a keeper of up to max clients, at least one.
func NewUsers(max int, make func(principal string) (*http.Client, error)) *Users {
	return &Users{max: max, make: make, order: list.New(), known: map[string]*list.Element{}}
}

// Do calls f with the client of one user, which f must not keep, and reads and closes
// the body of what it gets. The principal is the user's whole one as the program knows
// it after it let the user in, never what a visitor says.
func (u *Users) Do(principal string, f func(*http.Client) error) error {
	who, err := u.take(principal)
	if err != nil {
		return err
	}
	defer u.release(who)
	return f(who.client)
}

func (u *Users) take(principal string) (*user, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	e, ok := u.known[principal]
	if !ok {
		c, err := u.make(principal) // opens no connection, and asks no KDC yet
		if err != nil {
			return nil, err
		}
		e = u.order.PushFront(&user{principal: principal, client: c})
		u.known[principal] = e
	}
	u.order.MoveToFront(e)
	for u.order.Len() > max(u.max, 1) {
		u.forget(u.order.Back())
	}
	who := e.Value.(*user)
	who.calls++
	return who, nil
}

func (u *Users) release(who *user) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if who.calls--; who.gone && who.calls == 0 {
		who.client.CloseIdleConnections()
	}
}

// forget drops a user. Calls that are under way go on; the last closes what is left.
func (u *Users) forget(e *list.Element) {
	who := u.order.Remove(e).(*user)
	delete(u.known, who.principal)
	who.gone = true
	who.client.CloseIdleConnections()
}

// Forget ends what is kept of a user, as when the user logs out.
func (u *Users) Forget(principal string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if e, ok := u.known[principal]; ok {
		u.forget(e)
	}
}

// Close forgets everybody.
func (u *Users) Close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.order.Len() > 0 {
		u.forget(u.order.Back())
	}
}

// A server acts for many users, each with a credential cache of their own. The service
// behind authenticates connections, and still nobody is taken for another.
func ExampleNew_manyUsers() {
	intranet := newIntranet("HTTP/localhost", fakeweb.Options{ConnectionBound: true})
	defer intranet.close()
	caches := map[string]string{}
	for _, name := range []string{"bob", "carol"} {
		if err := intranet.realm.AddUser(name, "secret"); err != nil {
			log.Fatal(err)
		}
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		caches[name+"@EXAMPLE.COM"] = intranet.file("krb5cc_"+name, intranet.realm.CCache(name))
	}

	users := NewUsers(2, func(principal string) (*http.Client, error) {
		o := intranet.options // client.Options{} in earnest
		o.CCache = caches[principal]
		o.Principal = principal // a cache that is another's is an error
		return client.New(o)
	})
	defer users.Close()
	for _, principal := range []string{"alice@EXAMPLE.COM", "bob@EXAMPLE.COM", "alice@EXAMPLE.COM", "carol@EXAMPLE.COM", "bob@EXAMPLE.COM"} {
		err := users.Do(principal, func(c *http.Client) error {
			show(c.Get(intranet.url))
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 200 hello alice@EXAMPLE.COM
	// 200 hello bob@EXAMPLE.COM
	// 200 hello alice@EXAMPLE.COM
	// 200 hello carol@EXAMPLE.COM
	// 200 hello bob@EXAMPLE.COM
}
