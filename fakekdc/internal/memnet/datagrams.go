package memnet

import (
	"net"
	"net/netip"
)

// Datagrams are those of one client over a pipe, of which each write is one, in the form that a
// socket has them.
type Datagrams struct {
	net.Conn
	From netip.AddrPort // of the client
}

// ReadFromUDPAddrPort returns what the client wrote at once.
func (d Datagrams) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	n, err := d.Read(p)
	if err != nil {
		err = net.ErrClosed // either end of the pipe is
	}
	return n, d.From, err
}

// WriteToUDPAddrPort writes to the client.
func (d Datagrams) WriteToUDPAddrPort(p []byte, _ netip.AddrPort) (int, error) { return d.Write(p) }
