package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	progressAfter = time.Second            // what takes less needs no bar
	progressEvery = 100 * time.Millisecond // how often the bar is drawn at most
	progressWidth = 60                     // columns that a line with a bar needs: a narrower terminal would wrap it
)

// A progress is a bar on a terminal that says how far a long transfer is. The line
// is the bar's until something else is to be written there, by [progress.Write]. A nil
// one shows nothing.
type progress struct {
	terminal *os.File
	now      func() time.Time

	mu       sync.Mutex
	shown    bool // there is a bar on the terminal
	transfer int  // which one is shown: others that still go on are not
}

// progressOn returns a bar for a transfer to out, nil where none is wanted: standard
// error is no terminal, or what arrives is written to one.
func progressOn(stderr, out any, now func() time.Time) *progress {
	t, ok := terminal(stderr)
	if _, busy := terminal(out); !ok || busy {
		return nil
	}
	if width, _, err := term.GetSize(int(t.Fd())); err != nil || width < progressWidth {
		return nil
	}
	return &progress{terminal: t, now: now}
}

// terminal returns the file that w is, if it is a terminal.
func terminal(w any) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && f != nil && term.IsTerminal(int(f.Fd()))
}

// start begins a transfer of total bytes, -1 for an unknown number, and returns what
// is to be called with the number of each piece.
func (p *progress) start(what string, total int64) func(n int) {
	if p == nil {
		return func(int) {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	p.transfer++
	bar := progressbar.NewOptions64(max(total, -1),
		progressbar.OptionSetWriter(p.terminal), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionUseIECUnits(true),
		// What brackets would take leaves room for the ^C that a terminal shows.
		progressbar.OptionFullWidth(), progressbar.OptionSetTheme(progressbar.Theme{Saucer: "=", SaucerHead: ">", SaucerPadding: " "}),
		progressbar.OptionThrottle(progressEvery), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine
	)
	bar.StartWithoutRender()
	transfer, begin, done := p.transfer, p.now(), int64(0)
	return func(n int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		done += int64(n)
		if p.transfer == transfer && p.now().Sub(begin) >= progressAfter {
			p.shown = true
			bar.Set64(done) // an error says that more came than was told
		}
	}
}

// end ends the transfer, and gives its line back.
func (p *progress) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.transfer++
	p.wipe()
}

// wipe clears the line, if there is a bar on it. It writes blanks, which every terminal
// knows.
func (p *progress) wipe() {
	if !p.shown {
		return
	}
	p.shown = false
	if width, _, err := term.GetSize(int(p.terminal.Fd())); err == nil {
		io.WriteString(p.terminal, "\r"+strings.Repeat(" ", max(width-1, 0))+"\r")
	}
}

// Write writes to the terminal in the place of the bar.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	return p.terminal.Write(b)
}

// received returns a response's body that tells of what is read.
func (p *progress) received(resp *http.Response) io.Reader {
	if p == nil {
		return resp.Body
	}
	return &counted{resp.Body, p.start("received", resp.ContentLength)}
}

// sends lets the bodies of a request, each time it is sent, tell of what is read.
func (p *progress) sends(r *http.Request) {
	if p == nil || r.GetBody == nil && !isStream(r) {
		return
	}
	if open := r.GetBody; open != nil {
		r.GetBody = func() (io.ReadCloser, error) {
			body, err := open()
			if err != nil {
				return nil, err
			}
			return &countedBody{counted{body, p.start("sent", r.ContentLength)}, body}, nil
		}
	}
	r.Body = &countedBody{counted{r.Body, p.start("sent", r.ContentLength)}, r.Body}
}

// A counted reader tells how much is read.
type counted struct {
	io.Reader
	add func(int)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.add(n)
	return n, err
}

type countedBody struct {
	counted
	io.Closer
}
