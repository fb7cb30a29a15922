package client_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/kerbchain/kerbchain/fakekdc"
	"github.com/kerbchain/kerbchain/fakekdc/fakeweb"
	"github.com/kerbchain/kerbchain/fakekdc/fakewinrm"
	"github.com/kerbchain/kerbchain/middleware"
)

// forgeryReasons say why each forgery is refused: with AES, and with RC4 where
// that differs. ReasonNone stands for an error that is not of the stage.
var forgeryReasons = map[string]struct{ aes, rc4 middleware.Reason }{
	"first bit of the signature":     {aes: middleware.ReasonMalformed},
	"last bit of the signature":      {aes: middleware.ReasonTampered},
	"first bit of the data":          {aes: middleware.ReasonTampered},
	"middle bit of the data":         {aes: middleware.ReasonTampered},
	"last bit of the data":           {aes: middleware.ReasonTampered},
	"signature of zeros":             {aes: middleware.ReasonMalformed},
	"data of zeros":                  {aes: middleware.ReasonTampered},
	"data in clear":                  {aes: middleware.ReasonTampered},
	"blocks swapped":                 {aes: middleware.ReasonTampered},
	"data cut by one":                {aes: middleware.ReasonTampered, rc4: middleware.ReasonMalformed},
	"data longer by one":             {aes: middleware.ReasonTampered, rc4: middleware.ReasonMalformed},
	"data cut to nothing":            {aes: middleware.ReasonTampered, rc4: middleware.ReasonMalformed},
	"signature cut by one":           {aes: middleware.ReasonTampered, rc4: middleware.ReasonMalformed},
	"signature longer by one":        {aes: middleware.ReasonTampered, rc4: middleware.ReasonMalformed},
	"signature cut to one byte":      {aes: middleware.ReasonMalformed},
	"no signature":                   {aes: middleware.ReasonMalformed},
	"MIC in place of the message":    {aes: middleware.ReasonMalformed},
	"signed and not sealed":          {aes: middleware.ReasonUnsealed},
	"AP-REP in place of the message": {aes: middleware.ReasonMalformed},

	"AES, token of the initiator": {aes: middleware.ReasonReflected},
	"AES, not sealed":             {aes: middleware.ReasonUnsealed},
	"AES, another key":            {aes: middleware.ReasonWrongKey},
	"AES, filler":                 {aes: middleware.ReasonMalformed},
	"AES, extra count":            {aes: middleware.ReasonTampered},
	"AES, rotation":               {aes: middleware.ReasonTampered},
	"AES, rotation of all":        {aes: middleware.ReasonTampered},
	"AES, next number":            {aes: middleware.ReasonTampered},
	"AES, earlier number":         {aes: middleware.ReasonTampered},
	"AES, copy of the header":     {aes: middleware.ReasonTampered},
	"AES, MAC":                    {aes: middleware.ReasonTampered},
	"AES, confounder":             {aes: middleware.ReasonTampered},

	"RC4, algorithm of the checksum": {rc4: middleware.ReasonMalformed},
	"RC4, not sealed":                {rc4: middleware.ReasonUnsealed},
	"RC4, number":                    {rc4: middleware.ReasonTampered},
	"RC4, direction":                 {rc4: middleware.ReasonReflected},
	"RC4, checksum":                  {rc4: middleware.ReasonTampered},
	"RC4, confounder":                {rc4: middleware.ReasonTampered},
	"RC4, length of the frame":       {rc4: middleware.ReasonMalformed},

	"replayed":                        {aes: middleware.ReasonReplayed},
	"signature of the answer before":  {aes: middleware.ReasonTampered},
	"data of the answer before":       {aes: middleware.ReasonTampered},
	"one dropped":                     {aes: middleware.ReasonOutOfOrder},
	"many dropped":                    {aes: middleware.ReasonOutOfOrder},
	"the next one first":              {aes: middleware.ReasonOutOfOrder},
	"the one before again":            {aes: middleware.ReasonReplayed},
	"twice":                           {aes: middleware.ReasonReplayed},
	"reflected":                       {aes: middleware.ReasonReflected},
	"sealed as the initiator":         {aes: middleware.ReasonReflected},
	"of another context":              {aes: middleware.ReasonTampered},
	"under the session key":           {aes: middleware.ReasonWrongKey, rc4: middleware.ReasonTampered},
	"under the session key as subkey": {aes: middleware.ReasonTampered},

	"length too small":          {aes: middleware.ReasonMalformed},
	"length too great":          {aes: middleware.ReasonMalformed},
	"length huge":               {aes: middleware.ReasonMalformed},
	"length beyond counting":    {aes: middleware.ReasonMalformed},
	"length negative":           {aes: middleware.ReasonMalformed},
	"no length":                 {aes: middleware.ReasonMalformed},
	"two lengths":               {aes: middleware.ReasonMalformed},
	"signature length huge":     {aes: middleware.ReasonMalformed},
	"signature length of all":   {aes: middleware.ReasonMalformed},
	"signature length zero":     {aes: middleware.ReasonMalformed},
	"no end":                    {aes: middleware.ReasonMalformed},
	"half":                      {aes: middleware.ReasonMalformed},
	"head alone":                {aes: middleware.ReasonMalformed},
	"end alone":                 {aes: middleware.ReasonMalformed},
	"more after the end":        {aes: middleware.ReasonMalformed},
	"another boundary":          {aes: middleware.ReasonMalformed},
	"no inner type":             {aes: middleware.ReasonMalformed},
	"no original content":       {aes: middleware.ReasonMalformed},
	"no octet-stream":           {aes: middleware.ReasonMalformed},
	"inner CredSSP":             {aes: middleware.ReasonMalformed},
	"message in clear after it": {aes: middleware.ReasonTampered},
	"message in clear in it":    {aes: middleware.ReasonMalformed},
	"headers without end":       {aes: middleware.ReasonMalformed},

	"in clear":                      {aes: middleware.ReasonUnsealed},
	"in clear, fault":               {aes: middleware.ReasonUnsealed},
	"in clear, said to be sealed":   {aes: middleware.ReasonMalformed},
	"page of a proxy":               {aes: middleware.ReasonUnsealed},
	"redirect":                      {aes: middleware.ReasonUnsealed},
	"redirect without a body":       {aes: middleware.ReasonUnverifiedRedirect},
	"sealed, said to be in clear":   {aes: middleware.ReasonUnsealed},
	"no content type":               {aes: middleware.ReasonUnsealed},
	"content type without protocol": {aes: middleware.ReasonMalformed},
	"CredSSP":                       {aes: middleware.ReasonMalformed},
	"content type that is none":     {aes: middleware.ReasonMalformed},
	"boundary of another":           {aes: middleware.ReasonMalformed},
	"connection breaks off":         {},
}

// Whatever is done to a sealed answer, it is refused for the right reason, nothing
// of it reaches the caller, and the next message goes over a context of its own.
func TestWinRMForgeries(t *testing.T) {
	t.Parallel()
	forgeries := fakewinrm.Forgeries()
	if len(forgeries) < 60 {
		t.Errorf("%d forgeries", len(forgeries))
	}
	for _, name := range slices.Sorted(maps.Keys(forgeryReasons)) {
		if forgeries[name] == nil {
			t.Errorf("no forgery is called %q", name)
		}
	}
	for _, etype := range allEtypes {
		t.Run(fmt.Sprint("etype ", etype), func(t *testing.T) {
			w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{InMemory: etype != fakekdc.AES256SHA1}, etype)
			for name, forge := range forgeries {
				want, ok := forgeryReasons[name]
				reason := want.aes
				if etype == fakekdc.RC4HMAC {
					reason = cmp.Or(want.rc4, want.aes)
				}
				switch {
				case !ok:
					t.Errorf("nothing is known of the forgery %q", name)
				case etype == fakekdc.RC4HMAC && strings.HasPrefix(name, "AES"), etype != fakekdc.RC4HMAC && strings.HasPrefix(name, "RC4"):
				default:
					t.Run(name, func(t *testing.T) { w.refuses(t, forge, reason) })
				}
			}
		})
	}
}

const winRMSecret = "nothing of this may be seen by anyone else"

func (w *winRM) refuses(t *testing.T, forge fakewinrm.Forgery, reason middleware.Reason) {
	w.options.Sessions = 1
	c := w.client(t)
	w.echo(t, c, strings.Repeat("x", len(winRMSecret)))
	w.end.SetForgery(forge)
	resp, err := c.Do(w.request(t.Context(), t, winRMSecret))
	w.end.SetForgery(nil)
	if resp != nil {
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body) // that there is a response is bad enough
		t.Fatalf("taken: %v %q", resp, b)
	}
	var e *middleware.Error
	switch {
	case reason == middleware.ReasonNone:
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error %v", err)
		}
	case !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != reason || e.Stage != "seal" || e.Host == "":
		t.Errorf("error %v, want reason %v", err, reason)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, e), winRMSecret) {
		t.Errorf("error with the message in it: %v", err)
	}
	before := w.end.Requests()
	w.echo(t, c, "and one comes after them, on a new context")
	if fresh := w.end.Requests()[len(before):]; len(fresh) != 2 || fresh[0].Scheme == "" {
		t.Errorf("after it: %v", fresh)
	}
}

// An answer of one connection is none for another, though both have the same
// numbers, user and server.
func TestWinRMSwapped(t *testing.T) {
	for _, etype := range allEtypes {
		t.Run(fmt.Sprint("etype ", etype), func(t *testing.T) {
			w := startWinRM(t, fakewinrm.Options{}, fakeweb.ServerOptions{}, etype)
			a, b := w.client(t), w.client(t)
			const message = "the very same message on both of them"
			w.echo(t, a, message)
			w.echo(t, b, message)
			var stolen []byte
			w.end.SetForgery(func(s *fakewinrm.SealedAnswer) { stolen = s.Body })
			w.echo(t, a, message)
			w.end.SetForgery(func(s *fakewinrm.SealedAnswer) { s.Body = stolen })
			_, _, err := w.post(t, b, message)
			var e *middleware.Error
			if !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != middleware.ReasonTampered {
				t.Errorf("error %v", err)
			}
		})
	}
}
