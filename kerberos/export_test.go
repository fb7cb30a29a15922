package kerberos

import (
	"time"

	"github.com/kerbchain/kerbchain/internal/ccache"
	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/middleware"
)

// CopyUnverified returns a context as it was before the server's answer.
func CopyUnverified(sc middleware.SecurityContext) middleware.SecurityContext {
	c := sc.(*securityContext)
	return &securityContext{in: c.in, target: c.target, ticket: c.ticket, spn: c.spn, gss: c.gss, begun: true, bound: c.bound}
}

// SetAfter puts another timer in the place of KeepFresh's.
func (s *Source) SetAfter(after func(time.Duration) <-chan time.Time) { s.after = after }

// OTPTokenOf returns what is told of a token.
func OTPTokenOf(t krb.OTPToken) OTPToken { return otpToken(t) }

// ForgetRevival makes the source take a ticket that is found dead for the first
// one in a minute.
func (s *Source) ForgetRevival() {
	for _, p := range s.sessions.All() {
		fresh := *p.session()
		fresh.revived = time.Time{}
		p.held.Store(&fresh)
	}
}

// SetOurs says which users' files are the process's own.
func (s *Source) SetOurs(ours func(uid int) bool) { s.ours = ours }

// Getenv is SecureGetenv in a program that has more rights than its user, or not.
func Getenv(name string, elevated bool) string { return getenv(name, elevated) }

// Ours reports whether files of a user are the process's own.
func Ours(uid int) bool { return ours(uid) }

// On makes the rules of an operating system hold for a source.
func On(goos string, o SourceOptions) SourceOptions {
	o.goos = goos
	return o
}

// Locked calls f while the source is being changed.
func (s *Source) Locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.creds.(*cacheCredentials); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
	}
	f()
}

// SetCollection puts a collection in the place of the one that the source's cache is
// of.
func (s *Source) SetCollection(name ccache.Name, c ccache.Collection) {
	creds := s.creds.(*cacheCredentials)
	creds.name, creds.collection = name, c
}
