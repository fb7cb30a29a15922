package fakekdc

import (
	"crypto/fips140"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/lru"
	"github.com/kerbchain/kerbchain/internal/spake"
)

// WithSPAKE makes the KDC offer SPAKE pre-authentication (RFC 9588) beside encrypted
// timestamps, in groups by the names that krb5.conf has for them, preferred first:
// "edwards25519" and "P-256"; without any in edwards25519. It has no second factor. As
// with MIT's KDC, whoever has another group alone is refused.
func WithSPAKE(groups ...string) Option {
	if len(groups) == 0 {
		groups = []string{"edwards25519"}
	}
	return func(s *settings) {
		s.setup = append(s.setup, func(*Realm) error {
			n := len(spake.Groups(groups))
			switch {
			case n == len(groups):
				return nil
			case fips140.Enforced():
				return errors.New("no group of SPAKE is approved where FIPS 140-3 is enforced (GODEBUG=fips140=only)")
			}
			return fmt.Errorf("groups of SPAKE %q: want edwards25519 and P-256", groups)
		})
		s.spakeGroups = spake.Groups(groups)
	}
}

// WithoutTimestamps makes the KDC take no encrypted timestamps, as
// disable_encrypted_timestamp does in MIT's. With [WithSPAKE] that leaves SPAKE alone.
func WithoutTimestamps() Option { return func(s *settings) { s.noTimestamps = true } }

// maxSPAKE bounds the exchanges of SPAKE that have begun; more than a test makes.
const maxSPAKE = 1 << 12

// spakeExchanges are those that have begun, by their cookies.
type spakeExchanges struct {
	begun lru.Map[string, *spakeExchange]
	mu    sync.Mutex // guards answers
}

// A spakeExchange is one whose challenge was sent.
type spakeExchange struct {
	client  string
	key     krb.Key
	group   int32
	private []byte
	said    []byte // hash of the transcript
	answer  [sha256.Size]byte
}

func (e *spakeExchanges) add(cookie string, x *spakeExchange) { e.begun.Put(cookie, x, maxSPAKE) }

// take returns the exchange of a cookie for its one answer, which may be sent again as
// it is: a client over UDP makes up for lost packets so.
func (e *spakeExchanges) take(cookie string, answer []byte) *spakeExchange {
	x, ok := e.begun.Get(cookie)
	sum := sha256.Sum256(answer)
	e.mu.Lock()
	defer e.mu.Unlock()
	if !ok || x.answer != sum && x.answer != [sha256.Size]byte{} {
		return nil
	}
	x.answer = sum
	return x
}

// spake takes one message of SPAKE, which gives the reply a key of its own once the
// client's was proved.
func (r *Realm) spake(q *request, p *principal, value []byte, rep *proof, now time.Time) *refusal {
	failed := func(text string) *refusal {
		return r.preauthNeeded(q, p, krb.CodePreauthFailed, text, now)
	}
	m, err := krb.ParseSPAKE(value)
	switch {
	case err != nil:
		return failed("malformed PA-SPAKE")
	case m.Support != nil:
		return r.challengeSPAKE(q, p, m.Support, value, now)
	case m.Response == nil:
		return failed("PA-SPAKE of a kind that clients do not send")
	}
	cookie, _ := q.find(krb.PAFXCookie)
	x := r.spakes.take(string(cookie), q.raw)
	if x == nil || x.client != p.name.String() {
		return failed("SPAKE response without a challenge")
	}
	party, err := spake.ResumeKDC(x.group, x.key, x.private)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	if err := party.Meet(m.Response.Public); err != nil {
		return failed("SPAKE response with a public key that is none")
	}
	said := party.Transcript(x.said, m.Response.Public)
	proof, err := party.Key(1, said, q.body)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	plain, err := proof.OpenData(krb.UsageSPAKE, m.Response.Factor)
	if err != nil {
		return failed("wrong password")
	}
	if f, err := krb.ParseSPAKEFactor(plain); err != nil || f.Type != krb.SPAKEFactorNone {
		return failed("SPAKE response with another factor")
	}
	if rep.key, err = party.Key(0, said, q.body); err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	return nil
}

// challengeSPAKE answers what groups a client has.
func (r *Realm) challengeSPAKE(q *request, p *principal, support []int32, value []byte, now time.Time) *refusal {
	i := slices.IndexFunc(support, func(g int32) bool { return slices.Contains(r.spakeGroups, g) })
	if i < 0 {
		return r.preauthNeeded(q, p, krb.CodePreauthFailed, "no group of SPAKE in common", now)
	}
	key, ok := p.keys[0].key(p.keyed(q.Etypes))
	if !ok {
		return refuse(krb.CodeEtypeNoSupport, "client has no such key")
	}
	party, err := spake.NewKDC(support[i], key)
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	challenge, err := (&krb.SPAKE{Challenge: &krb.SPAKEChallenge{
		Group: support[i], Public: party.Public, Factors: []krb.SPAKEFactor{{Type: krb.SPAKEFactorNone}},
	}}).Marshal()
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	cookie := make([]byte, 16)
	rand.Read(cookie) // never fails since Go 1.24
	r.spakes.add(string(cookie), &spakeExchange{
		client: p.name.String(), key: key, group: support[i], private: party.Private(), said: party.Transcript(nil, value, challenge),
	})
	no := r.preauthNeeded(q, p, krb.CodeMorePreauthData, "SPAKE challenge", now)
	edata, err := krb.MarshalPADatas([]krb.PAData{{Type: krb.PASPAKE, Value: challenge}, {Type: krb.PAFXCookie, Value: cookie}})
	if err != nil {
		return refuse(krb.CodeGeneric, err.Error())
	}
	no.edata = edata
	return no
}
