// Package hints holds what errors suggest to try: the same words for one cause, whoever
// heard of it.
package hints

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/kerbchain/kerbchain/internal/krb"
	"github.com/kerbchain/kerbchain/internal/printable"
)

// The hints that belong to no code of a KRB-ERROR.
const (
	changeIt = "the password has expired: change it with kpasswd"
	setClock = "set the clock of one of the two right (NTP)"
)

// UseName is for a service whose name is an address, which hardly any realm knows.
const UseName = "write the server's name in the URL, in place of its address"

// HostTicket is for a cache that is to armour logins, and cannot be used.
const HostTicket = "get a ticket for the host there (kinit -k -c), or armour with another cache, or with the host's keytab"

// What to try about a keytab that is named as a cache. kinit puts a cache in its place.
const (
	Keytab      = "it is a keytab, which kinit would replace: name it as Keytab or in KRB5_CLIENT_KTNAME"
	ArmorKeytab = "it is a keytab, which kinit -k -c would replace: armour with what kerberos.FromKeytab makes of it"
)

// An At is where somebody was asked: over "udp", "tcp", "https" or "unix", at host:port,
// after which may follow what the host stands for.
type At struct{ Network, Address string }

// Unreachable is for KDCs that do not answer.
func Unreachable(asked ...At) string {
	return "is the KDC up" + firewall(asked, "88", ", UDP and TCP")
}

// NoChange is for servers that do not answer and would change passwords.
func NoChange(asked ...At) string {
	return "is it up" + firewall(asked, "464", "") + " The password is the old one still"
}

// firewall goes on with the ports at which somebody was asked.
func firewall(asked []At, port, networks string) string {
	var ports []string
	for _, at := range asked {
		address, _, _ := strings.Cut(at.Address, " ")
		_, p, err := net.SplitHostPort(address)
		switch {
		case err != nil || at.Network == "unix":
			continue
		case at.Network == "https":
			networks = ""
		}
		if !slices.Contains(ports, p) {
			ports = append(ports, p)
		}
	}
	switch {
	case len(asked) == 0:
		ports = []string{port}
	case len(ports) == 0: // sockets of this machine alone
		return "?"
	}
	noun := "port "
	if len(ports) > 1 {
		noun = "ports "
	}
	return printable.Text(", and does a firewall let " + noun + strings.Join(ports, " and ") + " through" + networks + "?")
}

// NoKDC is for a realm whose KDCs are not known.
func NoKDC(realm string) string {
	how := fmt.Sprintf("add `%[1]s = { kdc = host }` to [realms] in krb5.conf, or publish _kerberos._udp.%[1]s in DNS and set dns_lookup_kdc", realm)
	if capitals := Capitals(realm); capitals != "" {
		return capitals + "; or " + printable.Text(how)
	}
	return printable.Text(how) + "; is the realm spelled right?"
}

// Capitals is for the commonest mistake with names of realms, "" where it was not made.
func Capitals(realm string) string {
	if up := strings.ToUpper(realm); up != realm {
		return printable.Text("write the realm in capitals: " + up)
	}
	return ""
}

// Join returns those hints that are not empty, one after the other.
func Join(all ...string) string {
	var b strings.Builder
	for _, hint := range all {
		switch said := b.String(); {
		case hint == "":
			continue
		case strings.HasSuffix(said, "?"):
			b.WriteString(" ")
		case said != "":
			b.WriteString("; ")
		}
		b.WriteString(hint)
	}
	return b.String()
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
