//go:build unix

package ccache

import (
	"context"
	"fmt"
	"testing"

	"github.com/kerbchain/kerbchain/internal/childtest"
)

func TestMain(m *testing.M) {
	childtest.Main(m, map[string]func([]string) error{
		"add":          func(args []string) error { return addMany(args[0], args[1], args[2]) },
		"full":         func(args []string) error { return addToFull(args[0]) },
		"replace-full": func(args []string) error { return replaceFull(args[0]) },
	})
}

// addMany adds so many credentials to a cache, one after the other.
func addMany(path, name, count string) error {
	var n int
	if _, err := fmt.Sscan(count, &n); err != nil {
		return err
	}
	c, err := OpenFile(path).Load(context.Background())
	if err != nil {
		return err
	}
	for i := range n {
		if err := OpenFile(path).Add(context.Background(), like(c.Credentials[1], name, i)); err != nil {
			return err
		}
	}
	return nil
}
