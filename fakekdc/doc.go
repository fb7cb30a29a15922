// Package fakekdc is a Kerberos realm inside a test: a KDC on UDP and TCP of one
// loopback port.
//
//	realm := fakekdc.Start(t,
//		fakekdc.WithUser("alice", "secret"),
//		fakekdc.WithService("HTTP/localhost"))
//
// Package fakeweb has web services of the realm that verify HTTP Negotiate (RFC 4559),
// fakewinrm endpoints of WinRM, and [Realm.Accept] is the service's side of all other
// protocols. Package client/clienttest makes clients of ours that have logged in.
//
// It is strict always: keys are random and belong to one [Realm], passwords and
// pre-authentication are checked, tickets are opened, authenticators may be
// used once. It is rude by request: [Realm.FailNext] makes the KDC fail in the
// ways that real ones do.
//
// Realms can trust each other ([Realm.Trust]), refer clients and users to one
// another ([Realm.Refer], [Realm.ReferUsers]), have several KDCs that fail one by
// one ([Realm.AddKDC]) and be reached over https (fakeweb.KDCProxy). Services may
// act for users ([AllowedToDelegateTo], [AllowedToDelegateFrom], [TrustedToAuth]),
// users be services to each other ([UserToUserOnly]) and change their passwords
// ([WithKpasswd]), and tickets say who is in which groups ([WithPAC]).
//
// Real clients take it for a realm: give them [Realm.Config] as their krb5.conf
// and [Realm.Keytab] or [Realm.CCache] for credentials. What they did is in
// [Realm.Exchanges]. Nothing is written to disk unless [Realm.Environ] or
// [Realm.WriteFiles] is asked to, nothing is shared between realms, and a process may
// run hundreds of them. [WithoutSockets] does without a network.
//
// TEST ONLY. The realm keeps passwords and keys in memory in clear, hands them
// to anyone who asks its methods, and listens on the loopback interface alone
// unless [WithRemoteAddress] says otherwise.
//
// The package does not import testing, so a program can embed a realm: see
// [New].
package fakekdc
