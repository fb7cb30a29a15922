// Package logging is the stage that writes a log: to logrus, to a [slog.Handler], or
// to both. Give one of them to [New]. No other package of this module writes to a
// log.
//
// There are two logger names, after those of requests-kerberos, and every
// record names its own in the field "logger":
//
//   - [Root], "requests_kerberos": one record per call, when it has ended. Its
//     fields are method, url (without user and query), status or error,
//     duration_ms, requests (the most requests that a signing stage took for it,
//     where that is known) and verified. Level Info, or Warn for a call that
//     failed.
//   - [Kerberos], "requests_kerberos.kerberos_": what happened inside, at the
//     time at which it happens, from the events of package middleware:
//     challenges, tickets and where they come from, exchanges with KDCs, tokens
//     and their lengths, requests sent, verdicts and their reasons. Level
//     Debug, or Warn for what went wrong.
//
// All records of a call bear the same number in the field "call". It counts
// within one wiring of the stage.
//
// # Levels
//
// Options.Levels sets a level by logger name. The level of the logrus.Logger or
// slog.Handler is obeyed in any case, so it must be as verbose as the most verbose name.
// Without a logger and a handler, New returns a stage that does nothing.
//
// # Secrets
//
// No record holds a token, a key, a password, a header, a cookie, a query string or a
// body, at any level. Only known authentication schemes are written, and paths
// without their parameters (";jsessionid=..."). The path itself is written, and so
// are host names, principals and the names of credential caches. URLs in the text of
// errors are written without user and query, and secrets of the request, which
// another transport might put there, are removed.
//
// # Order
//
// The stage stands outermost (first in [kerbchain.Chain]), where it sees whole
// calls and hears every stage. Further in it reports on what is inside of it:
// below negotiate, each request is a call. It may stand in both places.
//
// # When to leave it out
//
// Leave it out where a trace (middleware.WithTrace) does the job, and to keep logrus
// out of a program.
package logging
