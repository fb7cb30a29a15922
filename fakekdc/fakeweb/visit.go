package fakeweb

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/internal/offer"
	visited "github.com/kerbchain/kerbchain/fakekdc/internal/visit"
	"github.com/kerbchain/kerbchain/internal/cbt"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/spnego"
)

// A visit is one request on its way through a Handler.
type visit struct {
	h      *Handler
	q      Quirks
	w      *writer
	r      *http.Request
	conn   *conn
	rec    *Record
	scheme string // of the credentials, as offered
	raw    bool   // the client's token is not SPNEGO's
}

// ServeHTTP authenticates the request and passes it on.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil { // as no server leaves it
		r = r.WithContext(r.Context())
		r.Body = http.NoBody
	}
	v := &visit{h: h, q: h.quirksFor(r), r: r, conn: h.connOf(r), scheme: h.opts.Schemes[0]}
	v.rec = h.begin(r, v.conn)
	v.w = &writer{ResponseWriter: w, before: v.status, taken: http.StatusOK}
	if r.Method != http.MethodConnect && r.Header.Get("Upgrade") != "" {
		v.w.taken = http.StatusSwitchingProtocols
	}
	v.serve()
	v.w.finish()
}

// note changes the record, which others may be reading.
func (v *visit) note(f func(*Record)) {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	f(v.rec)
}

func (v *visit) status(status int) { v.note(func(r *Record) { r.Status = status }) }

// header returns the name of a header field, or of its proxy twin, as the key of an
// [http.Header]. Those who call a handler by themselves look for nothing else.
func (v *visit) header(own, proxy string) string {
	if v.h.opts.Proxy {
		return http.CanonicalHeaderKey(proxy)
	}
	return http.CanonicalHeaderKey(own)
}

func (v *visit) serve() {
	if v.q.Before != nil {
		v.q.Before.ServeHTTP(v.w, v.r)
		return
	}
	lines := v.r.Header.Values(v.header("Authorization", "Proxy-Authorization"))
	if len(lines) > 1 {
		http.Error(v.w, "more than one line of credentials", http.StatusBadRequest)
		return
	}
	if len(lines) == 0 {
		if v.h.opts.ConnectionBound {
			if by := v.h.resume(v.conn); by != nil {
				v.pass(by, nil, nil)
				return
			}
		}
		v.challenge(nil)
		return
	}
	scheme, text, _ := strings.Cut(lines[0], " ")
	token, err := base64.StdEncoding.DecodeString(strings.Trim(text, " "))
	v.note(func(r *Record) { r.Scheme, r.Token = scheme, len(token) })
	i := slices.IndexFunc(v.h.opts.Schemes, func(s string) bool { return strings.EqualFold(s, scheme) })
	if i < 0 {
		v.challenge(nil)
		return
	}
	v.scheme = v.h.opts.Schemes[i]
	switch {
	case v.q.Hangup:
		v.conn.hangUp()
	case err != nil || len(token) == 0:
		v.reject(refuse(krb.CodeGeneric, "credentials are not base64"), false)
	default:
		v.negotiate(token)
	}
}

// negotiate takes one token of the client.
func (v *visit) negotiate(token []byte) {
	if spnego.Classify(token) == spnego.NegTokenResp {
		v.next(token)
		return
	}
	in, err := offer.Open(token)
	if err != nil {
		v.reject(refuse(krb.CodeGeneric, err.Error()), false)
		return
	}
	v.raw = in.Raw
	p := &pending{mechs: in.Mechs}
	if in.Framed == nil || !in.Raw && v.q.ExtraLeg == LegAgain {
		p.mic = true
		v.conn.wait(v.h, p)
		v.challenge(v.resp(spnego.Resp{State: spnego.RequestMIC, SupportedMech: v.oid()}))
		return
	}
	v.accept(in.Framed, p)
}

// next takes a NegTokenResp, which goes on with what the connection began.
func (v *visit) next(token []byte) {
	p := v.conn.take(v.h)
	if p == nil {
		v.reject(refuse(krb.CodeGeneric, "NegTokenResp without a context on this connection"), false)
		return
	}
	resp, err := spnego.ParseResp(token)
	switch {
	case err != nil:
		v.reject(refuse(krb.CodeGeneric, "malformed NegTokenResp"), false)
	case p.sc == nil:
		p.early = resp.MechListMIC
		v.accept(resp.ResponseToken, p)
	case p.mic && !p.sc.VerifyMIC(p.mechs, resp.MechListMIC):
		v.reject(refuse(krb.CodeBadIntegrity, "mechListMIC is wrong or missing"), p.sc.Caller().Mutual)
	case v.q.ExtraLeg == LegForever:
		v.conn.wait(v.h, p)
		v.challenge(v.resp(spnego.Resp{State: spnego.AcceptIncomplete}))
	default:
		// The proof went out with the leg before.
		v.established(p.sc, nil)
	}
}

// accept takes the mechanism's own token, framed.
func (v *visit) accept(framed []byte, p *pending) {
	o := fakekdc.AcceptOptions{Service: v.h.service, Bindings: v.h.opts.Bindings, NoSubkey: v.q.NoSubkey}
	if cert := v.h.endPointCert(v.r, v.conn); cert != nil {
		if data, err := cbt.EndPoint(cert); err == nil {
			o.EndPoint = data // else RFC 5929 defines none
		}
	}
	sc, no := v.acceptFramed(framed, o)
	if no == nil && v.q.Reject {
		no = refuse(v.q.RejectCode, "as ordered")
		if no.Code == 0 {
			no.Code = krb.CodeGeneric
		}
	}
	if no != nil {
		v.reject(no, offer.WantsMutual(framed))
		return
	}
	p.sc = sc
	switch {
	case p.mic && p.early != nil && !sc.Caller().Mutual:
		v.exchangeMICs(p)
	case !v.moreLegs(p):
		v.established(sc, v.token(sc))
	}
}

func (v *visit) acceptFramed(framed []byte, o fakekdc.AcceptOptions) (*fakekdc.SecurityContext, *fakekdc.AcceptError) {
	if _, err := offer.APReq(framed); err != nil {
		return nil, refuse(krb.CodeGeneric, err.Error())
	}
	sc, err := v.h.realm.Accept(framed, o)
	if err == nil {
		return sc, nil
	}
	if no, ok := errors.AsType[*fakekdc.AcceptError](err); ok {
		return nil, no
	}
	return nil, refuse(krb.CodeNotUs, err.Error())
}

func refuse(code int32, reason string) *fakekdc.AcceptError {
	return &fakekdc.AcceptError{Code: code, Reason: reason}
}

// exchangeMICs ends a context whose client needs no AP-REP, and so could send
// its mechListMIC at once.
func (v *visit) exchangeMICs(p *pending) {
	if !p.sc.VerifyMIC(p.mechs, p.early) {
		v.reject(refuse(krb.CodeBadIntegrity, "mechListMIC is wrong"), false)
		return
	}
	mic, err := p.sc.MIC(p.mechs)
	if err != nil {
		v.broken(err)
		return
	}
	v.established(p.sc, v.resp(spnego.Resp{State: spnego.AcceptCompleted, MechListMIC: mic}))
}

// moreLegs answers a token that would do with the wish for another one.
func (v *visit) moreLegs(p *pending) bool {
	resp := spnego.Resp{State: spnego.AcceptIncomplete, SupportedMech: v.oid()}
	switch {
	case v.raw:
		return false // without SPNEGO there are no further legs
	case p.mic:
		resp.SupportedMech = "" // named in the leg before
	case v.q.ExtraLeg == LegMIC:
		p.mic = true
		resp.State = spnego.RequestMIC
	case v.q.ExtraLeg != LegIncomplete && v.q.ExtraLeg != LegForever:
		return false
	}
	if p.sc.Caller().Mutual {
		resp.ResponseToken = v.proof(p.sc)
		v.note(func(r *Record) { r.Proved = true })
	}
	if p.mic {
		mic, err := p.sc.MIC(p.mechs)
		if err != nil {
			v.broken(err)
			return true
		}
		resp.MechListMIC = mic
	}
	v.conn.wait(v.h, p)
	v.challenge(v.resp(resp))
	return true
}

func (v *visit) broken(err error) {
	http.Error(v.w, err.Error(), http.StatusInternalServerError)
}

// established passes on an authenticated request.
func (v *visit) established(sc *fakekdc.SecurityContext, answer *answer) {
	if v.h.opts.ConnectionBound {
		v.h.began(v.conn, sc)
	}
	v.pass(sc, sc, answer)
}

// pass lets Next serve the request of whom a context authenticated, and adds our token to
// its response. sc is the context if this request established it.
func (v *visit) pass(by, sc *fakekdc.SecurityContext, answer *answer) {
	c := by.Caller()
	v.note(func(r *Record) { r.Caller = c })
	v.w.before = func(status int) {
		proved := false
		if answer != nil && (v.q.ProofOn == nil || v.q.ProofOn(status)) {
			v.w.Header().Add(v.header("WWW-Authenticate", "Proxy-Authenticate"), answer.line)
			proved = answer.genuine
		}
		if v.h.opts.SignalPersistent {
			v.w.Header().Set("Persistent-Auth", fmt.Sprint(v.h.opts.ConnectionBound))
		}
		v.note(func(r *Record) { r.Status, r.Proved = status, r.Proved || proved })
	}
	ctx := context.WithValue(ContextWithCaller(v.r.Context(), c), ticketKey{}, by.Ticket())
	ctx = visited.With(ctx, &visited.Visit{
		Conn: v.conn.number, Scheme: v.scheme, Established: sc,
		Load:   func() any { return v.conn.load(v.h) },
		Store:  func(value any) { v.conn.store(v.h, value) },
		Forget: func() { v.conn.forget(v.h) },
	})
	v.h.opts.Next.ServeHTTP(v.w, v.r.WithContext(ctx))
}

// reject answers a token that is not accepted.
func (v *visit) reject(no *fakekdc.AcceptError, mutual bool) {
	v.note(func(r *Record) { r.Code, r.Reason = no.Code, no.Reason })
	v.h.ended(v.conn)
	switch v.q.Rejection {
	case RejectPlain:
		v.challenge(nil)
	case RejectState:
		v.challenge(v.resp(spnego.Resp{State: spnego.Reject}))
	case RejectNTLM:
		v.challenge(v.bytes(ntlmChallenge()))
	case RejectNothing:
		v.challenge(&answer{})
	default:
		if !mutual {
			v.challenge(nil)
			return
		}
		framed, err := v.krbError(no)
		if err != nil {
			v.broken(err)
			return
		}
		v.challenge(v.mech(framed, spnego.Reject))
	}
}

// maxDrain bounds what is read of a body before a 401.
const maxDrain = 1 << 28

// challenge answers 401 or 407: with the offer, or with a token in its place.
func (v *visit) challenge(a *answer) {
	head := v.w.Header()
	name := v.header("WWW-Authenticate", "Proxy-Authenticate")
	switch {
	case a == nil && v.q.Challenge != nil:
		head[name] = slices.Clone(v.q.Challenge)
	case a == nil:
		head[name] = slices.Clone(v.h.opts.Schemes)
	case a.line != "":
		head.Set(name, a.line)
	}
	if v.q.EarlyChallenge {
		head.Set("Connection", "close")
	} else if _, err := io.Copy(io.Discard, io.LimitReader(v.r.Body, maxDrain)); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
	status := http.StatusUnauthorized
	if v.h.opts.Proxy {
		status = http.StatusProxyAuthRequired
	}
	head.Set("Content-Type", "text/plain; charset=utf-8")
	v.w.WriteHeader(status)
	v.body(status)
}

func (v *visit) body(status int) {
	left := v.q.ChallengeBody
	if left <= 0 {
		_, _ = io.WriteString(v.w, http.StatusText(status)+"\n")
		return
	}
	chunk := []byte(strings.Repeat("unauthorized ", 100))
	for left > 0 {
		n := min(left, len(chunk))
		if _, err := v.w.Write(chunk[:n]); err != nil {
			return // the client is gone
		}
		v.w.Flush()
		left -= n
	}
}
