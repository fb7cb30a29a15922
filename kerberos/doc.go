// Package kerberos is where tokens come from. A [TicketSource] finds service
// tickets: in a credential cache that kinit left, with a keytab, or with a
// password; package kerberos/gokrb5 has one for a gokrb5 client. An initiator, made
// by [NewInitiator], turns a service ticket into a security context for one request
// (RFC 4121, RFC 4178, RFC 4559).
//
// Nothing here runs in the background. Tickets are fetched when they are asked
// for, once however many ask, and kept until shortly before they end.
package kerberos
