package kerberos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// TestUnknownServicesAreForgotten: that a KDC did not know a service stands for a minute to
// the instant, and not before it was said, as when a clock was set back; and of however
// many services it was, the memory stays within bounds, and holds the last.
func TestUnknownServicesAreForgotten(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	unknown := &middleware.Error{Code: krb.CodeServerUnknown}
	for after, want := range map[time.Duration]error{0: unknown, time.Minute - 1: unknown, time.Minute: nil, -1: nil} {
		var u unknowns
		u.note("alice", "HTTP/a", now, unknown)
		if got := u.about("alice", "HTTP/a", now.Add(after)); got != want {
			t.Errorf("after %v: %v", after, got)
		}
		if want == nil && len(u.told) > 0 {
			t.Errorf("after %v it is kept", after)
		}
		if got := u.about("bob", "HTTP/a", now); got != nil {
			t.Errorf("another session: %v", got)
		}
	}
	var u unknowns
	u.note("alice", "HTTP/a", now, &middleware.Error{Code: krb.CodePolicy})
	for i := range 3 * maxUnknown {
		u.note("alice", fmt.Sprint("HTTP/", i), now, unknown)
		if i > 0 && i < maxUnknown && u.about("alice", fmt.Sprint("HTTP/", i-1), now) == nil {
			t.Fatalf("%d is forgotten", i-1)
		}
		if n := len(u.told); n > maxUnknown {
			t.Fatalf("%d are kept", n)
		}
	}
	if n := len(u.told); u.about("alice", fmt.Sprint("HTTP/", 3*maxUnknown-1), now) == nil || u.about("alice", "HTTP/a", now) != nil {
		t.Errorf("%d are kept", n)
	}
}

// TestStaleTicketsAreForgotten: tickets that no server takes are remembered within bounds.
func TestStaleTicketsAreForgotten(t *testing.T) {
	var s ticketSet
	for i := range 3 * maxStale {
		s.add(fmt.Append(nil, i))
		if !s.has(fmt.Append(nil, i)) || i > 0 && i < maxStale && !s.has(fmt.Append(nil, i-1)) {
			t.Fatalf("%d or the one before is forgotten", i)
		}
		if n := len(s.hashes); n > maxStale {
			t.Fatalf("%d are kept", n)
		}
	}
}

// TestCrossRealmTicketsAreForgotten: of however many realms a KDC gives tickets, those that
// are kept stay within bounds, and the last is among them.
func TestCrossRealmTicketsAreForgotten(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s, err := FromPassword(NewSecret("x"), SourceOptions{
		Principal: "alice@R.TEST", Krb5ConfText: "[libdefaults]\n", Now: func() time.Time { return now }, Getenv: func(string) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	key, err := krb.GenerateKey(krb.AES256SHA1)
	if err != nil {
		t.Fatal(err)
	}
	alice := krb.NewPrincipal("R.TEST", "alice")
	o := s.crossOptions(t.Context(), &session{client: alice, tgt: &krb.Ticket{Client: alice, Server: krb.TGS("R.TEST", "R.TEST"), Key: key}})
	for i := range 3 * maxCrossings {
		realm := fmt.Sprintf("R%d.TEST", i)
		o.Keep(&krb.Ticket{Client: alice, Server: krb.TGS(realm, "R.TEST"), Key: key, StartTime: now, EndTime: now.Add(time.Hour)})
		if o.Held(realm) == nil || i == 1 && o.Held("R0.TEST") == nil || len(s.cross) > maxCrossings {
			t.Fatalf("the last of %d is not held, or %d are", i, len(s.cross))
		}
	}
}

// TestServiceTicketsAreForgotten: of however many services, a source keeps no more tickets than
// it may; those that have ended go first, and the last is among them. A ticket that is at hand
// is its client's alone, whoever has the session's name by then, and one that is not valid yet
// is nobody's.
func TestServiceTicketsAreForgotten(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s, err := FromPassword(NewSecret("x"), SourceOptions{
		Principal: "alice@R.TEST", Krb5ConfText: "[libdefaults]\n", Now: func() time.Time { return now }, Getenv: func(string) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	alice := krb.NewPrincipal("R.TEST", "alice")
	tgt := &krb.Ticket{Client: alice, Server: krb.TGS("R.TEST", "R.TEST"), StartTime: now, EndTime: now.Add(24 * time.Hour)}
	of := &session{name: "a cache", client: alice, tgt: tgt}
	s.publish(of)
	keep := func(spn string, life time.Duration, flags uint32) {
		s.keep(spn, newTicket(&krb.Ticket{Client: alice, Server: krb.NewPrincipal("R.TEST", "HTTP", "a"), Flags: flags, StartTime: now, EndTime: now.Add(life)}, "a cache"), of, now)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel() // nobody is asked
	at := func(spn string) bool {
		_, err := s.ServiceTicket(ended, spn)
		return err == nil
	}
	if keep("HTTP/not yet", time.Hour, krb.FlagInvalid); at("HTTP/not yet") {
		t.Error("a ticket that is not valid is at hand")
	}
	keep("HTTP/long", 24*time.Hour, 0)
	s.publish(&session{name: of.name, client: krb.NewPrincipal("R.TEST", "bob"), tgt: tgt})
	if at("HTTP/long") {
		t.Error("alice's ticket is at hand for bob")
	}
	if s.publish(of); !at("HTTP/long") {
		t.Error("alice's ticket is not at hand")
	}
	for i := range maxTickets + 3 {
		spn := fmt.Sprint("HTTP/", i)
		if keep(spn, time.Hour, 0); !at(spn) || s.tickets.Len() > maxTickets {
			t.Fatalf("%d tickets, the last there: %v", s.tickets.Len(), at(spn))
		}
	}
	keep("HTTP/long", 24*time.Hour, 0)
	for i := 0; s.tickets.Len() < maxTickets; i++ { // until it is full again
		keep(fmt.Sprint("HTTP/more", i), time.Hour, 0)
	}
	now = now.Add(2 * time.Hour)
	if keep("HTTP/last", time.Hour, 0); !at("HTTP/long") || !at("HTTP/last") || s.tickets.Len() != 2 {
		t.Errorf("%d tickets, want the two that have not ended", s.tickets.Len())
	}
}

// TestSessionsAreForgotten: of however many caches, a source has no more sessions than it
// may, the last among them, and tickets of those that made room are no longer at hand.
func TestSessionsAreForgotten(t *testing.T) {
	s, err := FromPassword(NewSecret("x"), SourceOptions{Principal: "alice@R.TEST", Krb5ConfText: "[libdefaults]\n", Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	alice := krb.NewPrincipal("R.TEST", "alice")
	var places []*place
	for i := range maxSessions + 3 {
		name := fmt.Sprint("cache ", i)
		s.publish(&session{name: name, client: alice})
		p, there := s.sessions.Get(name)
		if !there || p.session() == nil || s.sessions.Len() > maxSessions || i < maxSessions && s.sessions.Len() != i+1 {
			t.Fatalf("%d sessions after %d, the last there: %v", s.sessions.Len(), i+1, there)
		}
		places = append(places, p)
	}
	live := 0
	for _, p := range places {
		if p.session() != nil {
			live++
		}
	}
	if live != s.sessions.Len() {
		t.Errorf("tickets of %d sessions are at hand, and there are %d", live, s.sessions.Len())
	}
}

// TestEvidenceIsForgotten: of however many users, an impersonator keeps no more tickets for
// the service than it may, the last among them.
func TestEvidenceIsForgotten(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s, err := FromPassword(NewSecret("x"), SourceOptions{
		Principal: "HTTP/gw@R.TEST", Krb5ConfText: "[libdefaults]\n", Now: func() time.Time { return now }, Getenv: func(string) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	in, service := NewImpersonator(s), krb.NewPrincipal("R.TEST", "HTTP", "gw")
	of := &session{client: service, tgt: &krb.Ticket{Client: service, Server: krb.TGS("R.TEST", "R.TEST")}}
	for i := range maxEvidence + 3 {
		name := fmt.Sprint("user", i)
		user := whom{byName, name}
		in.keep(user, &krb.Ticket{Client: krb.NewPrincipal("R.TEST", name), Server: service, StartTime: now, EndTime: now.Add(time.Hour)}, of)
		if _, there := in.evidence.Get(user); !there || in.evidence.Len() > maxEvidence || i < maxEvidence && in.evidence.Len() != i+1 {
			t.Fatalf("%d tickets after %d, the last there: %v", in.evidence.Len(), i+1, there)
		}
	}
}

// TestActingIsForgotten: of however many users and services, an impersonator keeps no more
// tickets than it may; those that have ended go first, and the last is among them.
func TestActingIsForgotten(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	s, err := FromPassword(NewSecret("x"), SourceOptions{
		Principal: "HTTP/gw@R.TEST", Krb5ConfText: "[libdefaults]\n", Now: func() time.Time { return now }, Getenv: func(string) string { return "" },
	})
	if err != nil {
		t.Fatal(err)
	}
	in := NewImpersonator(s)
	keep := func(n int, life time.Duration) acting {
		key := acting{whom{byName, fmt.Sprint("user", n)}, "HTTP/a"}
		in.hold(key, Ticket{t: &krb.Ticket{StartTime: now, EndTime: now.Add(life)}}, now)
		return key
	}
	long := keep(-1, 24*time.Hour)
	for i := range maxActing + 3 {
		key := keep(i, time.Hour)
		if _, there := in.tickets.Get(key); !there || in.tickets.Len() > maxActing || i+2 < maxActing && in.tickets.Len() != i+2 {
			t.Fatalf("%d tickets after %d, the last there: %v", in.tickets.Len(), i+1, there)
		}
	}
	in.hold(long, Ticket{t: &krb.Ticket{StartTime: now, EndTime: now.Add(24 * time.Hour)}}, now)
	for i := maxActing + 3; in.tickets.Len() < maxActing; i++ { // until it is full again
		keep(i, time.Hour)
	}
	now = now.Add(2 * time.Hour)
	last := keep(0, time.Hour)
	for _, key := range []acting{long, last} {
		if _, there := in.tickets.Get(key); !there || in.tickets.Len() != 2 {
			t.Errorf("%d tickets, want the two that have not ended", in.tickets.Len())
		}
	}
}
