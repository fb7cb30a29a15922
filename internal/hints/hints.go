// Package hints holds what errors suggest to try: the same words for one cause, whoever
// heard of it.
package hints

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// The hints that belong to no code of a KRB-ERROR.
const (
	// Unreachable is for a KDC that does not answer.
	Unreachable = "is the KDC up, and does a firewall let port 88 through, UDP and TCP?"
	changeIt    = "the password has expired: change it with kpasswd"
	setClock    = "set the clock of one of the two right (NTP)"
)

// NoKDC is for a realm whose KDCs are not known.
func NoKDC(realm string) string {
	return printable.Text(fmt.Sprintf("add `%[1]s = { kdc = host }` to [realms] in krb5.conf, or publish _kerberos._udp.%[1]s in DNS and set dns_lookup_kdc; is the realm spelled right, in capitals?", realm))
}

// Join returns those hints that are not empty, one after the other.
func Join(all ...string) string {
	said := slices.DeleteFunc(slices.Clone(all), func(hint string) bool { return hint == "" })
	return strings.Join(said, "; ")
}

// KDC returns what to try after a KDC refused a request with the code of a KRB-ERROR
// (RFC 4120 section 7.5.9), "" where nothing can be said without knowing the request.
func KDC(code int32) string { return ofKDC[code] }

var ofKDC = map[int32]string{
	krb.CodePolicy:          "the KDC's policy forbids it: ask the realm's administrator",
	krb.CodeBadOption:       "the ticket at hand does not allow it: a renewable or forwardable one is needed (kinit -r, kinit -f)",
	krb.CodeClientExpired:   "the account has expired: ask the realm's administrator",
	krb.CodeClientRevoked:   "the account is locked, disabled or expired: ask the realm's administrator",
	krb.CodeKeyExpired:      changeIt,
	krb.CodePreauthFailed:   "the password or key is wrong; to try it again may lock the account. A keytab goes stale when the password changes",
	krb.CodeUnavailable:     "the KDC is busy or starting: try again later",
	krb.CodeTicketNotYet:    "the ticket is not valid yet: check the clocks",
	krb.CodeSkew:            setClock,
	krb.CodeResponseTooBig:  "the answer does not fit into a datagram and the KDC is configured for UDP alone: let it be asked over TCP",
	krb.CodePreauthRequired: "the KDC wants another kind of pre-authentication than an encrypted timestamp",
}

// NTStatus returns what to try where the KDC of a domain gives its reason, "" for a
// status that says nothing of what to try.
func NTStatus(s krb.NTStatus) string { return ofStatus[s] }

var ofStatus = map[krb.NTStatus]string{
	krb.StatusAccountDisabled:        "the account is disabled: ask the domain's administrator",
	krb.StatusAccountExpired:         "the account has expired: ask the domain's administrator",
	krb.StatusAccountLockedOut:       "the account is locked after wrong passwords: wait, or have it unlocked, and look for who still uses an old password or a stale keytab",
	krb.StatusPasswordExpired:        changeIt,
	krb.StatusPasswordMustChange:     "the password must be changed before it can be used: change it with kpasswd",
	krb.StatusInvalidLogonHours:      "the account may not log on at this hour: ask the domain's administrator (logonHours)",
	krb.StatusInvalidWorkstation:     "the account may not log on from this machine: ask the domain's administrator (userWorkstations)",
	krb.StatusAccountRestriction:     "a restriction of the account forbids it, such as Protected Users, an authentication policy or an empty password: ask the domain's administrator",
	krb.StatusLogonTypeNotGranted:    "the account has no right to this kind of logon: ask the domain's administrator",
	krb.StatusSmartcardLogonRequired: "the account must log on with a smart card: log on with one, and use the system's credentials or a cache",
	krb.StatusAuthenticationFirewall: "the service's domain trusts ours selectively: have the account allowed to authenticate to the service's computer there",
	krb.StatusTimeDifferenceAtDC:     setClock,
}
