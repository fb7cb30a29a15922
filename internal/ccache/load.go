package ccache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/kerbchain/kerbchain/internal/krb"
)

// Load reads the cache that n names, of a DIR collection the primary one. Types
// other than FILE and DIR give an [*UnsupportedTypeError]. The file is opened
// anew each time, since kinit replaces it. Errors wrap [fs.ErrNotExist] and its like, or are of type
// [*ParseError].
func Load(n Name) (*Cache, error) {
	path, err := File(n, krb.Principal{})
	if err != nil {
		return nil, err
	}
	b, err := readFile(path)
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
