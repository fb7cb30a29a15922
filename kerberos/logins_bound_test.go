package kerberos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kerbchain/kerbchain/internal/kdcclient"
	"github.com/kerbchain/kerbchain/internal/krb"
)

func testAccount(in *Logins, name string, now *time.Time) *account {
	return &account{in: in, client: krb.NewPrincipal("R.TEST", name), id: name, now: func() time.Time { return *now }}
}

// A refusal stands for a minute to the instant, and not before it was made, as
// when a clock was set back.
func TestRefusalStandsForAMinute(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := new(Logins)
	a := testAccount(l, "alice", &now)
	of := a.ofPassword(NewSecret("x"))
	why := &kdcclient.Error{Code: krb.CodePreauthFailed}
	for after, want := range map[time.Duration]*kdcclient.Error{0: why, time.Minute - 1: why, time.Minute: nil, -1: nil} {
		a.refuse(of, why)
		begun := now
		now = now.Add(after)
		if got := a.refusal(of); got != want {
			t.Errorf("after %v: %v", after, got)
		}
		if want == nil && len(l.refused) > 0 {
			t.Errorf("after %v it is kept", after)
		}
		now = begun
	}
}

// Digests tell principals, kinds and parts apart, and nothing to those who do not
// know the secret of the process.
func TestDigests(t *testing.T) {
	now := time.Now()
	one, two := new(Logins), new(Logins)
	a, b := testAccount(one, "alice", &now), testAccount(one, "bob", &now)
	if first, second := a.digest("k", []byte("x")), a.digest("k", []byte("x")); first != second {
		t.Error("the same thing has two digests")
	}
	key := func(etype int32) krb.Key {
		k, err := krb.NewKey(etype, make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	seen := map[[32]byte]string{}
	for name, d := range map[string][32]byte{
		"password":        a.ofPassword(NewSecret("x")),
		"another":         a.ofPassword(NewSecret("y")),
		"another's":       b.ofPassword(NewSecret("x")),
		"another process": testAccount(two, "alice", &now).ofPassword(NewSecret("x")),
		"parts":           a.digest("k", []byte("ab"), []byte("c")),
		"other parts":     a.digest("k", []byte("a"), []byte("bc")),
		"kind":            a.digest("ka", []byte("b"), []byte("c")),
		"key":             a.ofKeys(kdcclient.KeyEntry{Key: key(17), Kvno: 1}),
		"version":         a.ofKeys(kdcclient.KeyEntry{Key: key(17), Kvno: 2}),
		"type":            a.ofKeys(kdcclient.KeyEntry{Key: key(19), Kvno: 1}),
		"two keys":        a.ofKeys(kdcclient.KeyEntry{Key: key(17), Kvno: 1}, kdcclient.KeyEntry{Key: key(17), Kvno: 2}),
	} {
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[d] = name
	}
}

// What is kept is bounded, and turns are gone when nobody waits for them.
func TestLoginsAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	l := new(Logins)
	for i := range maxRefused + 500 {
		a := testAccount(l, fmt.Sprint("user", i), &now)
		of := a.digest("k")
		a.refuse(of, &kdcclient.Error{Code: krb.CodePreauthFailed})
		if a.refusal(of) == nil {
			t.Fatal("what is new is not kept")
		}
		a.isNamed(a.client)
		if !a.is(a.client) || len(l.refused) > maxRefused || len(l.names) > maxNames {
			t.Fatalf("%d refusals, %d names", len(l.refused), len(l.names))
		}
	}
	// Old ones go first.
	now = now.Add(time.Hour)
	a := testAccount(l, "alice", &now)
	a.refuse(a.digest("k"), &kdcclient.Error{Code: krb.CodePreauthFailed})
	if len(l.refused) != 1 {
		t.Errorf("%d refusals, want the new one alone", len(l.refused))
	}

	end, err := a.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := fmt.Errorf("enough")
	cancel(why)
	if _, err := a.Begin(ctx); err != why {
		t.Errorf("%v, want the cause", err)
	}
	if l.turns.Len() != 1 {
		t.Errorf("%d turns while one is held", l.turns.Len())
	}
	end()
	if l.turns.Len() != 0 {
		t.Errorf("%d turns that nobody holds", l.turns.Len())
	}
	if end, err = a.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	end()
}

// Changes whose outcome nobody knows are bounded, one for each client.
func TestUnsettledChangesAreBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := new(Logins)
	for i := range maxChanges + 100 {
		a := testAccount(l, fmt.Sprint("user", i), &now)
		for _, fresh := range []string{"b", "c"} {
			a.mayReplace(passwords{old: NewSecret("a"), fresh: NewSecret(fresh)})
		}
		for password, want := range map[string]bool{"a": true, "b": false, "c": true} {
			if change, ok := a.unsettled(NewSecret(password)); ok != want || ok && change.fresh.Reveal() != "c" {
				t.Fatalf("%q: %v", password, ok)
			}
		}
		if len(l.unsettled) > maxChanges {
			t.Fatalf("%d changes", len(l.unsettled))
		}
	}
	a := testAccount(l, "alice", &now)
	a.mayReplace(passwords{old: NewSecret("a"), fresh: NewSecret("b")})
	if testAccount(l, "bob", &now).worked(NewSecret("b")); !a.replacement(NewSecret("a")).fresh.IsZero() {
		t.Error("another's login settles it")
	}
	if a.worked(NewSecret("b")); a.replacement(NewSecret("a")).fresh.Reveal() != "b" {
		t.Error("the new one worked, and does not stand for the old one")
	}
	if _, ok := a.unsettled(NewSecret("b")); ok {
		t.Error("it is not settled")
	}
	a.mayReplace(passwords{old: NewSecret("b"), fresh: NewSecret("c")})
	a.replace(passwords{old: NewSecret("b"), fresh: NewSecret("d")})
	if _, ok := a.unsettled(NewSecret("b")); ok {
		t.Error("a change that happened does not settle the one before")
	}
}

// A change that happened is forgiven what was refused of its new password, and nothing else;
// such changes are bounded, too.
func TestChangesAreBounded(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := new(Logins)
	why := &kdcclient.Error{Code: krb.CodePreauthFailed}
	a, bob := testAccount(l, "alice", &now), testAccount(l, "bob", &now)
	for name, change := range map[string]func(passwords){"happened": a.replace, "may have": a.mayReplace} {
		fresh, other, bobs := a.ofPassword(NewSecret("new")), a.ofPassword(NewSecret("other")), bob.ofPassword(NewSecret("new"))
		for _, of := range [][32]byte{fresh, other, bobs} {
			a.refuse(of, why)
		}
		key := kdcclient.KeyEntry{Kvno: 7}
		a.with(fresh).Refuse(key, why) // a key that was made of it
		change(passwords{old: NewSecret("old"), fresh: NewSecret("new")})
		if a.refusal(fresh) != nil || a.refusal(a.ofKeys(key)) != nil || a.refusal(other) == nil || a.refusal(bobs) == nil {
			t.Errorf("%s: refused are the new password %v, its key %v, another %v, another's %v", name, a.refusal(fresh), a.refusal(a.ofKeys(key)), a.refusal(other), a.refusal(bobs))
		}
	}
	for i := range maxChanges + 10 {
		testAccount(l, fmt.Sprint("user", i), &now).replace(passwords{old: NewSecret("old"), fresh: NewSecret("new")})
	}
	if len(l.replaced) != maxChanges {
		t.Errorf("%d changes", len(l.replaced))
	}
}

// A login is overtaken by a change of its own password, and by no other.
func TestOvertakenLogins(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	l := new(Logins)
	a := testAccount(l, "alice", &now)
	for name, change := range map[string]func(passwords){"changed": a.replace, "lost": a.mayReplace} {
		a.begun = l.happened
		change(passwords{old: NewSecret("old"), fresh: NewSecret("new")})
		for password, want := range map[string]bool{"old": true, "new": false, "another": false} {
			key := kdcclient.KeyEntry{}
			if why := a.with(a.ofPassword(NewSecret(password))).Refused(key); (why != nil) != want || want && (why.Code != krb.CodeKeyExpired || why.Err == nil) {
				t.Errorf("%s, %q: %v", name, password, why)
			}
		}
		bob := testAccount(l, "bob", &now)
		if bob.with(bob.ofPassword(NewSecret("old"))).overtaken() {
			t.Errorf("%s: another's", name)
		}
	}
}
