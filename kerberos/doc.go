// Package kerberos makes tokens. Begin with [FromEnvironment], which returns a
// [Source] of service tickets with the credentials that kinit left, or with
// [FromCCache], [FromKeytab] or [FromPassword]; package kerberos/gokrb5 has a source
// for a gokrb5 client. [NewInitiator] then makes the initiator that the stages need,
// which turns a ticket into a security context for one request (RFC 4121, RFC 4178,
// RFC 4559).
//
// Nothing runs in the background. A ticket is fetched when it is first needed, once
// for all who wait for it, and kept until shortly before it ends.
package kerberos
