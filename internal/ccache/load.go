package ccache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Load reads the cache that n names. Only type FILE can be read; others give an
// [*UnsupportedTypeError]. The file is opened anew each time, since kinit
// replaces it. Errors wrap [fs.ErrNotExist] and its like, or are of type
// [*ParseError].
func Load(n Name) (*Cache, error) {
	if n.Type != "FILE" {
		return nil, &UnsupportedTypeError{n}
	}
	b, err := readFile(n.Residual)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "; run kinit, or set KRB5CCNAME to a cache that exists"
		}
		return nil, fmt.Errorf("credential cache %s: %w%s", n, err, hint)
	}
	c, err := Parse(b)
	if pe, ok := errors.AsType[*ParseError](err); ok {
		pe.Name = n.String()
	}
	return c, err
}

func readFile(path string) ([]byte, error) {
	// Asked before opening: to open a named pipe waits for a writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxSize+1))
}
