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
	"github.com/kerbchain/kerbchain/middleware"
)

// forgeryReasons say why each forgery is refused: with AES, and with RC4 where
// that differs. ReasonNone stands for an error that is not of the stage.
var forgeryReasons = map[string]struct{ aes, rc4 middleware.Reason }{
	"first bit of the signature":     {aes: middleware.Malformed},
	"last bit of the signature":      {aes: middleware.Tampered},
	"first bit of the data":          {aes: middleware.Tampered},
	"middle bit of the data":         {aes: middleware.Tampered},
	"last bit of the data":           {aes: middleware.Tampered},
	"signature of zeros":             {aes: middleware.Malformed},
	"data of zeros":                  {aes: middleware.Tampered},
	"data in clear":                  {aes: middleware.Tampered},
	"blocks swapped":                 {aes: middleware.Tampered},
	"data cut by one":                {aes: middleware.Tampered, rc4: middleware.Malformed},
	"data longer by one":             {aes: middleware.Tampered, rc4: middleware.Malformed},
	"data cut to nothing":            {aes: middleware.Tampered, rc4: middleware.Malformed},
	"signature cut by one":           {aes: middleware.Tampered, rc4: middleware.Malformed},
	"signature longer by one":        {aes: middleware.Tampered, rc4: middleware.Malformed},
	"signature cut to one byte":      {aes: middleware.Malformed},
	"no signature":                   {aes: middleware.Malformed},
	"MIC in place of the message":    {aes: middleware.Malformed},
	"signed and not sealed":          {aes: middleware.Unsealed},
	"AP-REP in place of the message": {aes: middleware.Malformed},

	"AES, token of the initiator": {aes: middleware.Reflected},
	"AES, not sealed":             {aes: middleware.Unsealed},
	"AES, another key":            {aes: middleware.WrongKey},
	"AES, filler":                 {aes: middleware.Malformed},
	"AES, extra count":            {aes: middleware.Tampered},
	"AES, rotation":               {aes: middleware.Tampered},
	"AES, rotation of all":        {aes: middleware.Tampered},
	"AES, next number":            {aes: middleware.Tampered},
	"AES, earlier number":         {aes: middleware.Tampered},
	"AES, copy of the header":     {aes: middleware.Tampered},
	"AES, MAC":                    {aes: middleware.Tampered},
	"AES, confounder":             {aes: middleware.Tampered},

	"RC4, algorithm of the checksum": {rc4: middleware.Malformed},
	"RC4, not sealed":                {rc4: middleware.Unsealed},
	"RC4, number":                    {rc4: middleware.Tampered},
	"RC4, direction":                 {rc4: middleware.Reflected},
	"RC4, checksum":                  {rc4: middleware.Tampered},
	"RC4, confounder":                {rc4: middleware.Tampered},
	"RC4, length of the frame":       {rc4: middleware.Malformed},

	"replayed":                        {aes: middleware.Replayed},
	"signature of the answer before":  {aes: middleware.Tampered},
	"data of the answer before":       {aes: middleware.Tampered},
	"one dropped":                     {aes: middleware.OutOfOrder},
	"many dropped":                    {aes: middleware.OutOfOrder},
	"the next one first":              {aes: middleware.OutOfOrder},
	"the one before again":            {aes: middleware.Replayed},
	"twice":                           {aes: middleware.Replayed},
	"reflected":                       {aes: middleware.Reflected},
	"sealed as the initiator":         {aes: middleware.Reflected},
	"of another context":              {aes: middleware.Tampered},
	"under the session key":           {aes: middleware.WrongKey, rc4: middleware.Tampered},
	"under the session key as subkey": {aes: middleware.Tampered},

	"length too small":          {aes: middleware.Malformed},
	"length too great":          {aes: middleware.Malformed},
	"length huge":               {aes: middleware.Malformed},
	"length beyond counting":    {aes: middleware.Malformed},
	"length negative":           {aes: middleware.Malformed},
	"no length":                 {aes: middleware.Malformed},
	"two lengths":               {aes: middleware.Malformed},
	"signature length huge":     {aes: middleware.Malformed},
	"signature length of all":   {aes: middleware.Malformed},
	"signature length zero":     {aes: middleware.Malformed},
	"no end":                    {aes: middleware.Malformed},
	"half":                      {aes: middleware.Malformed},
	"head alone":                {aes: middleware.Malformed},
	"end alone":                 {aes: middleware.Malformed},
	"more after the end":        {aes: middleware.Malformed},
	"another boundary":          {aes: middleware.Malformed},
	"no inner type":             {aes: middleware.Malformed},
	"no original content":       {aes: middleware.Malformed},
	"no octet-stream":           {aes: middleware.Malformed},
	"inner CredSSP":             {aes: middleware.Malformed},
	"message in clear after it": {aes: middleware.Tampered},
	"message in clear in it":    {aes: middleware.Malformed},
	"headers without end":       {aes: middleware.Malformed},

	"in clear":                      {aes: middleware.Unsealed},
	"in clear, fault":               {aes: middleware.Unsealed},
	"in clear, said to be sealed":   {aes: middleware.Malformed},
	"page of a proxy":               {aes: middleware.Unsealed},
	"redirect":                      {aes: middleware.Unsealed},
	"redirect without a body":       {aes: middleware.UnverifiedRedirect},
	"sealed, said to be in clear":   {aes: middleware.Unsealed},
	"no content type":               {aes: middleware.Unsealed},
	"content type without protocol": {aes: middleware.Malformed},
	"CredSSP":                       {aes: middleware.Malformed},
	"content type that is none":     {aes: middleware.Malformed},
	"boundary of another":           {aes: middleware.Malformed},
	"connection breaks off":         {},
}

// Whatever is done to a sealed answer, it is refused for the right reason, nothing
// of it reaches the caller, and the next message goes over a context of its own.
func TestWinRMForgeries(t *testing.T) {
	forgeries := fakekdc.Forgeries()
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
			w := startWinRM(t, fakekdc.WinRMOptions{}, fakekdc.ServerOptions{}, etype)
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

func (w *winRM) refuses(t *testing.T, forge fakekdc.Forgery, reason middleware.Reason) {
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
			w := startWinRM(t, fakekdc.WinRMOptions{}, fakekdc.ServerOptions{}, etype)
			a, b := w.client(t), w.client(t)
			const message = "the very same message on both of them"
			w.echo(t, a, message)
			w.echo(t, b, message)
			var stolen []byte
			w.end.SetForgery(func(s *fakekdc.SealedAnswer) { stolen = s.Body })
			w.echo(t, a, message)
			w.end.SetForgery(func(s *fakekdc.SealedAnswer) { s.Body = stolen })
			_, _, err := w.post(t, b, message)
			var e *middleware.Error
			if !errors.As(err, &e) || !errors.Is(err, middleware.ErrNotVerified) || e.Reason != middleware.Tampered {
				t.Errorf("error %v", err)
			}
		})
	}
}
