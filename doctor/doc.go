// Package doctor says why a request with Kerberos works or does not: it looks at all
// that is between the credentials and the answer of one URL, in the order in which a
// request meets it, and ends with what to try. Begin with [Examine]:
//
//	report, err := doctor.Examine(ctx, "https://www.example.com/", doctor.Options{})
//	if err != nil {
//		return err
//	}
//	fmt.Print(report)
//
// The command kerbchain doctor prints the same.
//
// It asks KDCs and DNS what a client would ask, and each KDC once more over UDP and over
// TCP for a principal kerbchain-doctor, which is nowhere, so that it counts against
// nobody's account. The server gets a GET without a token, and, if there is a ticket,
// what a client sends: another one, and with a token once it is asked for. No redirect is
// followed. A server that AllowedHosts leaves out gets nothing. Where a login is needed,
// the password or key is used once, no password is changed (NewPassword), and no ticket is
// written to a cache. Nothing in a report is secret: there are names, addresses, times and
// sizes in it, and no key, password or token.
package doctor
