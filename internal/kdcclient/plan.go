package kdcclient

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// maxAddresses bounds what one name stands for.
const maxAddresses = 16

// A try is one KDC asked over one network: at one address, or by a name whose
// addresses, once they are known, take its place.
type try struct {
	kdc     KDC
	network string
	address string // host:port
	name    string // the host, as long as its addresses are to be looked up
	late    int    // the lower, the sooner it is asked

	begun     time.Time
	conn      net.Conn // once connected
	connected time.Time
	done      bool
	err       error // when done: why it failed, or the KRB-ERROR that came
}

// where is what a Client remembers of those that did not answer.
func (t *try) where() string {
	if t.name != "" {
		return "name " + t.name
	}
	return t.network + " " + t.address
}

// same reports whether two tries would be the same.
func (t *try) same(o *try) bool {
	return t.network == o.network && t.address == o.address && t.kdc.URL == o.kdc.URL
}

// transport is the network to dial.
func (t *try) transport() string {
	if t.network == "https" {
		return "tcp"
	}
	return t.network
}

// shown returns the address for people: host:port, and behind a name what it
// stood for.
func (t *try) shown() string {
	located := t.kdc.address()
	if located == t.address {
		return t.address
	}
	host, _, err := net.SplitHostPort(t.address)
	if err != nil {
		return t.address
	}
	return located + " [" + host + "]"
}

// alive reports whether an answer may still come.
func (t *try) alive() bool { return !t.begun.IsZero() && !t.done }

// address returns host:port, or the path of a socket.
func (k KDC) address() string {
	if k.Network == "unix" {
		return k.Host
	}
	return net.JoinHostPort(k.Host, strconv.Itoa(k.port()))
}

// plan lists what to try: every KDC over the first network, then over the
// second; sockets and proxies, which have but one, with the first. What cannot
// be tried at all comes back as failed.
func (c *Client) plan(kdcs []KDC, first, second string) (tries []*try, failed []Attempt) {
	for _, network := range []string{first, second} {
		for _, k := range kdcs {
			if len(tries) == maxTries {
				return tries, failed
			}
			t := &try{kdc: k, network: network, address: k.address()}
			switch k.Network {
			case "":
				if network == "" {
					continue
				}
			case "unix", "https":
				if network != first {
					continue
				}
				t.network = k.Network
			case "udp", "tcp":
				if network != k.Network {
					continue
				}
			default:
				if network == first {
					failed = append(failed, Attempt{Network: k.Network, Address: t.address, Err: errNoNetwork})
				}
				continue
			}
			if slices.ContainsFunc(tries, t.same) {
				continue
			}
			if _, err := netip.ParseAddr(k.Host); err != nil && t.network != "unix" && c.o.Lookup != nil {
				t.name = k.Host
			}
			t.late = c.lateness(t)
			tries = append(tries, t)
		}
	}
	return tries, failed
}

// spared leaves out what would go to one of the addresses.
func spared(tries []*try, except []string) []*try {
	return slices.DeleteFunc(tries, func(t *try) bool { return slices.Contains(except, t.address) })
}

// lateness says when to ask t: those that did not answer of late last, and
// before them those that did not over another network. A host that is down is
// so for UDP and TCP, and whoever found out waits once.
func (c *Client) lateness(t *try) int {
	switch {
	case c.isShunned(t.where()):
		return 2
	case t.name != "":
		return 0
	case t.network == "udp" && c.isShunned("tcp "+t.address), t.network == "tcp" && c.isShunned("udp "+t.address):
		return 1
	}
	return 0
}

// capacity returns how many tries there may come to be.
func capacity(tries []*try) int {
	if slices.ContainsFunc(tries, func(t *try) bool { return t.name != "" }) {
		return 2 * maxTries // those by name, and those by address
	}
	return len(tries)
}

// overTCP returns what to try after a KDC has said that its answer does not fit
// into a datagram: first that KDC at the same address, if it takes TCP.
func overTCP(from *try, tries []*try) []*try {
	i := slices.IndexFunc(tries, func(t *try) bool { return t.network == "tcp" && t.kdc.address() == from.kdc.address() })
	if i < 0 {
		return tries
	}
	again := &try{kdc: tries[i].kdc, network: "tcp", address: from.address, late: -1}
	tries = slices.DeleteFunc(tries, again.same)
	return slices.Insert(tries, 0, again)
}

// next returns whom to ask now, nil if there is nobody.
func (x *exchange) next() *try {
	var best *try
	for _, t := range x.tries {
		if !t.begun.IsZero() || best != nil && best.late <= t.late {
			continue
		}
		// One lookup is for all networks.
		if t.name != "" && slices.ContainsFunc(x.asked, func(o *try) bool { return o.name == t.name && o.alive() }) {
			continue
		}
		best = t
	}
	return best
}

// lookup is the goroutine of a try by name.
func (x *exchange) lookup(ctx context.Context, t *try) {
	addrs, err := x.c.o.Lookup(ctx, t.name)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: errNoAddress.Error(), Name: t.name, IsNotFound: true}
	}
	if err != nil {
		x.events <- event{t: t, err: err}
		return
	}
	x.events <- event{t: t, addrs: addrs[:min(len(addrs), maxAddresses)]}
}

// expand puts the addresses of a name in the place of its tries.
func (x *exchange) expand(by *try, addrs []netip.Addr) {
	x.c.forgive(by.where())
	by.done = true
	x.asked = slices.DeleteFunc(x.asked, func(t *try) bool { return t == by })
	left := maxTries // room for addresses
	for _, t := range x.tries {
		if t.name == "" {
			left--
		}
	}
	var out []*try
	for _, t := range x.tries {
		if t.name != by.name {
			out = append(out, t)
			continue
		}
		for _, a := range addrs {
			fresh := &try{kdc: t.kdc, network: t.network, address: net.JoinHostPort(a.Unmap().String(), strconv.Itoa(t.kdc.port()))}
			if left <= 0 || slices.Contains(x.except, fresh.address) || slices.ContainsFunc(out, fresh.same) || slices.ContainsFunc(x.tries, func(o *try) bool { return o.name == "" && o.same(fresh) }) {
				continue
			}
			left--
			fresh.late = x.c.lateness(fresh)
			out = append(out, fresh)
		}
	}
	x.tries = out
}

// forget drops what is still to be tried of a name.
func (x *exchange) forget(name string) {
	x.tries = slices.DeleteFunc(x.tries, func(t *try) bool { return t.name == name && t.begun.IsZero() })
}
