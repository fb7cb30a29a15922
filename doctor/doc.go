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
// It asks KDCs and DNS what a client would ask, asks each KDC once more over UDP and
// over TCP, and sends the server two requests: one without a token and, if there is a
// ticket, one with it. A server that AllowedHosts leaves out gets neither. Where a
// login is needed, the password or key is used once. Nothing in a report is secret:
// there are names, addresses, times and sizes in it, and no key, password or token.
package doctor
