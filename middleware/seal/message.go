package seal

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/kerbchain/kerbchain/internal/stage"
	"github.com/kerbchain/kerbchain/internal/winrm"
	"github.com/kerbchain/kerbchain/middleware"
)

// pack makes out, a copy of the caller's request, the one that is sent. One
// without a body has nothing to seal.
func (c *call) pack(out *http.Request, w *watch) error {
	out.GetBody, out.TransferEncoding, out.Trailer = nil, nil, nil
	if !stage.HasBody(c.r) {
		return nil
	}
	protocol := winrm.ProtocolOf(string(c.peer.sc.Target().Scheme))
	b, err := winrm.Seal(nil, protocol, c.peer.sealer, mediaType(c.r), c.body)
	if err != nil {
		if _, ok := errors.AsType[*middleware.Error](err); ok {
			return err
		}
		return &middleware.Error{Stage: name, Kind: middleware.ErrToken, Host: stage.Host(c.r), Err: err}
	}
	out.Body, out.ContentLength = w.body(b), int64(len(b))
	// The transport may ask for it while nothing was written, and then finds
	// another connection, which the watch knows.
	out.GetBody = func() (io.ReadCloser, error) { return w.body(b), nil }
	out.Header = stage.CloneHeader(c.r.Header)
	out.Header.Set("Content-Type", protocol.ContentType())
	out.Header.Del("Content-Length")
	return nil
}

// mediaType returns the type of what r carries, as it is spelled in the framing:
// without blanks, and as Windows spells it where that is what it means.
func mediaType(r *http.Request) string {
	t := r.Header.Get("Content-Type")
	if t == winrm.SOAP {
		return t
	}
	t = strings.Trim(strings.NewReplacer(" ", "", "\t", "").Replace(t), ";")
	for _, same := range []string{"", "application/soap+xml", winrm.SOAP, `application/soap+xml;charset="UTF-8"`} {
		if strings.EqualFold(t, same) {
			return winrm.SOAP
		}
	}
	return t
}

// open returns what the caller gets for an answer to a sealed request.
func (c *call) open(resp *http.Response) (*http.Response, error) {
	kind := resp.Header.Get("Content-Type")
	b, err := readAnswer(resp, c.MaxBody)
	switch {
	case err != nil:
		return nil, c.broken(err)
	case len(b) == 0 && resp.StatusCode >= 300 && resp.StatusCode < 400:
		return nil, c.fail(middleware.ReasonUnverifiedRedirect, nil)
	case len(b) == 0:
		resp.Body, resp.Request = http.NoBody, c.r
		return resp, nil
	}
	m, err := winrm.Open(kind, b, c.peer.sealer)
	if err != nil {
		return nil, c.refuse(err, resp, kind, len(b))
	}
	fields := [...]string{m.Type, strconv.Itoa(len(m.Plain))}
	out := &http.Response{
		Status: resp.Status, StatusCode: resp.StatusCode,
		Proto: resp.Proto, ProtoMajor: resp.ProtoMajor, ProtoMinor: resp.ProtoMinor,
		Header: http.Header{"Content-Type": fields[:1:1], "Content-Length": fields[1:]},
		Body:   newReader(m.Plain), ContentLength: int64(len(m.Plain)),
		Close: resp.Close, TLS: resp.TLS,
		Request: middleware.WithSecurity(c.r, c.peer.sc),
	}
	for _, field := range []string{"Date", "Server"} {
		if v := resp.Header.Values(field); len(v) > 0 {
			out.Header[field] = slices.Clone(v)
		}
	}
	return out, nil
}

// report tells what became of an answer to a sealed request.
func (c *call) report(status int, resp *http.Response, err error) {
	ctx := c.r.Context()
	if !middleware.Tracing(ctx) {
		return
	}
	e := middleware.VerdictEvent{Host: stage.Host(c.r), SPN: stage.SPN(c.peer.sc), Mode: middleware.ModeSealed, Status: status, Err: err}
	known, ok := errors.AsType[*middleware.Error](err)
	switch {
	case ok:
		e.Reason = known.Reason
	case err == nil && resp.Body == http.NoBody:
		e.Reason = middleware.ReasonNoToken
	default:
		e.Verified = err == nil
	}
	middleware.Emit(ctx, e)
}

// refuse names what is wrong with an answer that does not open.
func (c *call) refuse(err error, resp *http.Response, kind string, n int) error {
	known, ok := errors.AsType[*middleware.Error](err)
	switch {
	case ok:
		e := c.fail(known.Reason, known.Err)
		e.Hint, e.Principal = known.Hint, known.Principal
		return e
	case errors.Is(err, winrm.ErrNotEncrypted):
		return c.fail(middleware.ReasonUnsealed, fmt.Errorf("status %d with %d bytes of type %.80q", resp.StatusCode, n, kind))
	}
	return c.fail(middleware.ReasonMalformed, err)
}
