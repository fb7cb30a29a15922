package fakekdc

import "net/netip"

// answerOnce is answer, once for the same bytes. A client that has no answer after a second
// sends them again, over UDP or TCP, so on a machine that stands still for a while it does so
// although the first ones arrived. As with MIT's KDC, that is no second exchange: who sends
// them gets the reply of the first. Faults and records know of one. While a reply is being
// made, a datagram is dropped, since the reply answers it too, and a connection waits.
//
// Replies alone are remembered: what comes again after silence, or after bytes that are
// none, is another try. So is what comes through a KDC proxy, where no client asks again
// before it has an answer.
func (k *KDC) answerOnce(network string, sender netip.Addr, packet []byte) outcome {
	if k.forgetful {
		return k.answer(k, network, sender, packet)
	}
	for {
		e, first := k.seen.Begin(sender, packet, func(out outcome) bool { return network == "udp" || !out.tooBig })
		if first {
			var out outcome
			defer func() { k.seen.End(e, out, out.repeatable()) }()
			out = k.answer(k, network, sender, packet)
			return out
		}
		if network == "udp" && !e.Ended() || !e.Wait(k.done) || k.down() {
			return outcome{how: sendNothing}
		}
		if e.Known {
			return e.Answer
		}
	}
}

// repeatable reports whether a client that asks again would be given the same.
func (o outcome) repeatable() bool { return o.reply != nil && o.how == sendWhole && !o.junk }
