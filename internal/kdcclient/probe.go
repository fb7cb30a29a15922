package kdcclient

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// A Probe is what came of asking one KDC over one network.
type Probe struct {
	Address string // as in [Attempt]
	Network string
	Took    time.Duration
	// Clock is how far the KDC's clock is ahead of ours, if it told the time.
	Clock time.Duration
	Timed bool
	Err   error // why there was no answer; nil where there was one, a KRB-ERROR too
}

// probing is how long KDCs are waited for that are asked all at once: those that do not
// answer within five seconds answer nobody in time.
var probing = Pacing{Next: time.Second, Passes: []time.Duration{time.Second, 2 * time.Second}, Connected: 3 * time.Second}

// Probe asks every KDC of client's realm for a first ticket of client, at each address and
// over each network that it is known for, all at the same time. Nothing proves who asks,
// so that a KDC that works answers with an error: of a client that does not exist none
// can be locked. What is found out does not change whom c asks next. The error says that
// the KDCs are not known.
func (c *Client) Probe(ctx context.Context, client krb.Principal) ([]Probe, error) {
	realm := client.Realm
	kdcs, err := c.Locate(ctx, realm)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errNoKDC, err)
	case len(kdcs) == 0:
		return nil, errNoKDC
	}
	o := c.o
	o.Pacing, o.Timeout, o.Lookup = probing, 0, nil
	var out []Probe
	var alone []KDC // for each of out, nobody but that one
	for _, k := range kdcs {
		addrs, err := c.addresses(ctx, k)
		if err != nil {
			out, alone = append(out, Probe{Address: k.address(), Network: k.Network, Err: err}), append(alone, KDC{})
			continue
		}
		for _, at := range addrs {
			networks := []string{at.Network}
			if at.Network == "" {
				networks = []string{"udp", "tcp"}
			}
			for _, network := range networks {
				at.Network = network
				shown := (&try{kdc: k, address: at.address()}).shown()
				out, alone = append(out, Probe{Address: shown, Network: network}), append(alone, at)
			}
		}
	}
	if len(out) > maxTries {
		out, alone = out[:maxTries], alone[:maxTries]
	}
	// KDCs that remember what they were asked answer the same bytes once.
	messages := make([][]byte, len(out))
	for i := range messages {
		a := &asCall{c: c, r: ASRequest{Client: client, Server: krb.TGS(realm, realm)}, etypes: c.o.Etypes, call: call{realm: realm}}
		if _, messages[i], err = a.request(); err != nil {
			return nil, err
		}
	}
	var wg sync.WaitGroup
	for i := range out {
		if out[i].Err == nil {
			wg.Go(func() { New(o).probe(ctx, &out[i], realm, alone[i], messages[i]) })
		}
	}
	wg.Wait()
	return out, nil
}

// addresses returns k once for each address of its name.
func (c *Client) addresses(ctx context.Context, k KDC) ([]KDC, error) {
	if _, err := netip.ParseAddr(k.Host); err == nil || c.o.Lookup == nil || k.Network == "unix" || k.Network == "https" {
		return []KDC{k}, nil
	}
	addrs, err := c.o.Lookup(ctx, k.Host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: errNoAddress.Error(), Name: k.Host, IsNotFound: true}
	}
	if err != nil {
		return nil, err
	}
	out := make([]KDC, min(len(addrs), maxAddresses))
	for i := range out {
		out[i] = k
		out[i].Host = addrs[i].Unmap().String()
	}
	return out, nil
}

func (c *Client) probe(ctx context.Context, p *Probe, realm string, k KDC, msg []byte) {
	begin := time.Now()
	r, attempts, err := c.sendTo(ctx, asking{name: "AS"}, krb.MsgASRep, realm, msg, &chosen{kdcs: []KDC{k}})
	p.Took = time.Since(begin)
	switch {
	case err != nil:
		p.Err = err
		for _, a := range attempts {
			if a.Err != nil {
				p.Err = a.Err
			}
		}
	case r.err != nil:
		p.Clock, p.Timed = skewOf(r), true
	}
}
