package kdcclient

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/secret"
)

// A recorder is a guard that writes down what it is told.
type recorder struct {
	log   []string
	busy  error             // of Begin
	keeps map[uint32]*Error // by version of the key
}

func (r *recorder) Begin(context.Context) (func(), error) {
	r.log = append(r.log, "begin")
	return func() { r.log = append(r.log, "end") }, r.busy
}

func (r *recorder) Refused(key KeyEntry) *Error {
	r.log = append(r.log, fmt.Sprint("may ", key.Kvno))
	return r.keeps[key.Kvno]
}

func (r *recorder) Refuse(key KeyEntry, why *Error) {
	r.log = append(r.log, fmt.Sprintf("refused %d: %d", key.Kvno, why.Code))
}

func (r *recorder) RefusedOTP(secret.Text) *Error     { return nil }
func (r *recorder) RefuseOTP(_ secret.Text, _ *Error) {}

// A login asks its guard before any timestamp is sent, tells it of each key that a KDC
// turned away for the client's sake, and lets the next one begin at every end.
func TestGuard(t *testing.T) {
	entry := func(kvno uint32, password string) KeyEntry {
		key, err := krb.StringToKey(18, password, realmA+"alice", nil)
		if err != nil {
			t.Fatal(err)
		}
		return KeyEntry{Key: key, Kvno: kvno}
	}
	good, stale := entry(2, "correct horse"), entry(1, "before")
	always := func(code int32) func(k *scripted) {
		return func(k *scripted) {
			k.before = func(r *request) ([][]byte, bool) {
				for _, p := range r.fields.PAData {
					if p.PADataType == krb.PAEncTimestamp {
						return [][]byte{k.refuse(r, code, nil)}, true
					}
				}
				return nil, false
			}
		}
	}
	kept := &Error{Kind: KindRefused, Exchange: "AS", Code: krb.CodePreauthFailed, Err: errors.New("kept")}
	busy := errors.New("busy")
	for name, tc := range map[string]struct {
		key     KeyEntry
		first   func(k *scripted) // how the first KDC behaves
		primary func(k *scripted) // nil: there is none
		guard   recorder
		log     []string
		stamps  int // that were sent, to all
		check   func(e *Error) bool
	}{
		"granted":            {key: good, log: []string{"begin", "may 2", "end"}, stamps: 1},
		"without a question": {key: good, first: func(k *scripted) { k.preauth = false }},
		"refused": {key: stale, log: []string{"begin", "may 1", "refused 1: 24", "end"}, stamps: 1,
			check: func(e *Error) bool { return e.Code == krb.CodePreauthFailed && !e.Kept }},
		"revoked": {key: good, first: always(krb.CodeClientRevoked), log: []string{"begin", "may 2", "refused 2: 18", "end"}, stamps: 1,
			check: func(e *Error) bool { return e.Code == krb.CodeClientRevoked }},
		"expired": {key: good, first: always(krb.CodeClientExpired), log: []string{"begin", "may 2", "refused 2: 1", "end"}, stamps: 1,
			check: func(e *Error) bool { return e.Code == krb.CodeClientExpired }},
		"too old a password": {key: good, first: always(krb.CodeKeyExpired), log: []string{"begin", "may 2", "refused 2: 23", "end"}, stamps: 1,
			check: func(e *Error) bool { return e.Code == krb.CodeKeyExpired }},
		"not the client's fault": {key: good, first: always(krb.CodePolicy), log: []string{"begin", "may 2", "end"}, stamps: 1,
			check: func(e *Error) bool { return e.Code == krb.CodePolicy }},
		"refused before": {key: stale, guard: recorder{keeps: map[uint32]*Error{1: kept}}, log: []string{"begin", "may 1", "end"},
			check: func(e *Error) bool { return e.Kept && errors.Is(e, kept.Err) }},
		"refused before, and not asked of a primary": {key: stale, primary: func(*scripted) {}, guard: recorder{keeps: map[uint32]*Error{1: kept}},
			log: []string{"begin", "may 1", "end"}, check: func(e *Error) bool { return e.Kept }},
		"no turn": {key: good, guard: recorder{busy: busy}, log: []string{"begin"},
			check: func(e *Error) bool { return e.Kind == KindUnreachable && errors.Is(e, busy) }},
		"a replica that is behind": {key: good, first: func(k *scripted) { k.password = "before" }, primary: func(*scripted) {},
			log: []string{"begin", "may 2", "may 2", "end"}, stamps: 2},
		"refused by both": {key: stale, primary: func(*scripted) {},
			log: []string{"begin", "may 1", "may 1", "refused 1: 24", "refused 1: 24", "refused 1: 24", "refused 1: 24", "end"}, stamps: 2,
			check: func(e *Error) bool { return e.Code == krb.CodePreauthFailed && len(e.KDCs) == 2 }},
		"refused for two reasons": {key: good, first: always(krb.CodePreauthFailed), primary: always(krb.CodePolicy),
			log: []string{"begin", "may 2", "may 2", "refused 2: 24", "refused 2: 24", "end"}, stamps: 2,
			check: func(e *Error) bool { return e.Code == krb.CodePolicy }},
	} {
		t.Run(name, func(t *testing.T) {
			kdcs := []*scripted{newScripted(t, realmA)}
			if tc.first != nil {
				tc.first(kdcs[0])
			}
			o := Options{}
			if tc.primary != nil {
				kdcs = append(kdcs, newScripted(t, realmA))
				tc.primary(kdcs[1])
				o.LocatePrimary = at(kdcs[1].start().addr)
			}
			o.Locate = at(kdcs[0].start().addr)
			g := tc.guard
			_, err := client(o).AS(t.Context(), ASRequest{Client: alice, Keys: KeyTable([]KeyEntry{tc.key}), Guard: &g})
			if (err == nil) != (tc.check == nil) || err != nil && !tc.check(failure(t, err)) {
				t.Errorf("%v", err)
			}
			if kept.Kept {
				t.Error("the guard's own error was changed")
			}
			if d := cmp.Diff(tc.log, g.log); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			stamps := 0
			for _, k := range kdcs {
				for _, r := range k.seen() {
					for _, p := range r.fields.PAData {
						if p.PADataType == krb.PAEncTimestamp {
							stamps++
						}
					}
				}
			}
			if stamps != tc.stamps {
				t.Errorf("%d timestamps were sent, want %d", stamps, tc.stamps)
			}
		})
	}
}

// TestGuardOfSPAKE: an exchange of SPAKE shows the KDC whether the key is right, and so
// does the timestamp that is sent where the KDC has none of our groups. Neither is sent
// with a key that was refused before, nor out of turn.
func TestGuardOfSPAKE(t *testing.T) {
	kept := &Error{Kind: KindRefused, Exchange: "AS", Code: krb.CodePreauthFailed, Err: errors.New("kept")}
	busy := errors.New("busy")
	for name, tc := range map[string]struct {
		groups bool // the KDC has ours
		guard  recorder
		want   error
		log    []string
	}{
		"refused before":            {true, recorder{keeps: map[uint32]*Error{0: kept}}, kept.Err, []string{"begin", "may 0", "end"}},
		"no turn":                   {true, recorder{busy: busy}, busy, []string{"begin"}},
		"refused before, no groups": {false, recorder{keeps: map[uint32]*Error{0: kept}}, kept.Err, []string{"begin", "may 0", "end"}},
		"no turn, no groups":        {false, recorder{busy: busy}, busy, []string{"begin"}},
	} {
		t.Run(name, func(t *testing.T) {
			k := spakeKDC(t, true)
			script := k.before
			k.before = func(r *request) ([][]byte, bool) {
				m, err := krb.ParseKDCReq(r.raw)
				if err != nil {
					t.Error(err)
					return nil, true
				}
				value, spoken := krb.FindPAData(m.PAData, krb.PASPAKE)
				if s, err := krb.ParseSPAKE(value); spoken && (err != nil || s.Response != nil) {
					t.Errorf("the key was shown: %+v, %v", s, err)
				}
				if _, found := krb.FindPAData(m.PAData, krb.PAEncTimestamp); found {
					t.Error("a timestamp was sent")
				}
				if spoken && !tc.groups {
					return [][]byte{k.refuse(r, krb.CodePreauthFailed, nil)}, true
				}
				return script(r)
			}
			k.start()
			g := tc.guard
			_, err := client(Options{}, k).AS(t.Context(), ASRequest{Client: alice, Keys: Password(alice, k.password), Guard: &g})
			if e := failure(t, err); !errors.Is(err, tc.want) || e.Kept != (tc.want == kept.Err) || k.count(0) != 2 {
				t.Errorf("after %d requests: %v", k.count(0), err)
			}
			if d := cmp.Diff(tc.log, g.log); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}
