package fakeweb

import (
	"crypto/tls"
	"io"
	"net/http"

	"golang.org/x/net/http2"
)

// requireHTTP1 makes a server offer HTTP/2 and end every stream of it with
// HTTP_1_1_REQUIRED (RFC 9113 section 7), as http.sys does for resources that
// want Windows authentication.
func requireHTTP1(s *http.Server) {
	s.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
		http2.NextProtoTLS: func(_ *http.Server, c *tls.Conn, _ http.Handler) { resetStreams(c) },
	}
}

// resetStreams serves one connection, until it breaks off or the client does
// what it must not.
func resetStreams(c *tls.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	f := http2.NewFramer(c, c)
	err := f.WriteSettings()
	for err == nil {
		var frame http2.Frame
		if frame, err = f.ReadFrame(); err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				err = f.WritePing(true, frame.Data)
			}
		case *http2.HeadersFrame:
			if frame.HeadersEnded() {
				err = f.WriteRSTStream(frame.StreamID, http2.ErrCodeHTTP11Required)
			}
		case *http2.ContinuationFrame:
			if frame.HeadersEnded() {
				err = f.WriteRSTStream(frame.StreamID, http2.ErrCodeHTTP11Required)
			}
		}
	}
}
